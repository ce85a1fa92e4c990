"""Nodes and routers for :mod:`bench.scale`: what a real watch script printed, played back by one process for thousands of nodes.

Before it begins, the real ``watch.sh`` runs once in bash on this machine, with real checks and stubs of the tools (``crictl``, ``nft``,
…: shell scripts that print what such tools print), over the local transport; every octet that it prints for each command is
kept (:func:`record`). The :class:`Fleet` then speaks for each node: the greeting, a tick line at each period, and, when a command is run, the recorded
lines with the node's own token and run: ``b`` at once, what it printed 15 ms later, or that it is what is known.

A tick's number is the microsecond of the monotonic clock at which it was written, so that whoever reads it knows how late it is.
Confirmation messages are answered by one HTTP server for all routers, as 127.x.y.z.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import re
import resource
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import uvloop

from core.clock import Clock
from core.model import CheckId, Kind, Result, Silence
from core.probes.check import Check
from core.probes.link import Link
from core.probes.transport import Channel, LocalTransport, Receiver
from core.settings import Detection

TICK_SLOTS = 50
END_AFTER = 0.015
CONTAINERS = 10
NFT = "nft list ruleset"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Recorded:
    """What one command printed: the data of its ``o`` lines, its exit code, its standard error, as the script wrote them."""

    output: list[str] = field(default_factory=list)
    code: str = "0"
    error: str = ""

    @cached_property
    def sum(self) -> str:
        return hashlib.sha256("".join(f"{line}\n" for line in self.output).encode()).hexdigest()


Recording = dict[str, Recorded]
EMPTY = Recorded()
"""What a command prints that finds nothing: for routes, definite evidence."""


def stubs(directory: Path, nodes: int) -> None:
    """Tools that print what real ones do on a node with ten containers, and on a machine with that many domains."""
    pid = os.getpid()  # a process that lives: every sentinel watches it
    ids = [f"{number:064x}" for number in range(CONTAINERS)]
    containers = [
        {
            "id": one,
            "podSandboxId": f"{number:064x}",
            "metadata": {"name": "web", "attempt": 0},
            "image": {"image": "registry.example/web:1", "annotations": {}},
            "imageRef": f"sha256:{one}",
            "state": "CONTAINER_RUNNING",
            "createdAt": str(1_700_000_000_000_000_000 + number),
            "labels": {
                "io.kubernetes.container.name": "web",
                "io.kubernetes.pod.name": f"web-{number}",
                "io.kubernetes.pod.namespace": "default",
                "io.kubernetes.pod.uid": f"00000000-0000-0000-0000-{number:012}",
            },
            "annotations": {"io.kubernetes.container.restartCount": "0"},
        }
        for number, one in enumerate(ids)
    ]
    domains = "".join(f" {n:<5} n{n:<9} running\n" for n in range(1, nodes + 1))
    rules = "".join(f"    ip daddr 10.96.0.{n} tcp dport 80 dnat to 10.244.0.{n}:8080\n" for n in range(1, 31))
    processes = "".join(f"{n} [kworker/{n}:0-events]\n" for n in range(2, 100))
    processes += "".join(
        f"{pid} /usr/bin/qemu-system-x86_64 -name guest=n{n},debug-threads=on\n" for n in range(1, nodes + 1)
    )
    said = {
        "crictl": json.dumps({"containers": containers}, indent=2),
        "nft": f"table ip nat {{\n  chain services {{\n{rules}  }}\n}}",
        "ps": f"1 /sbin/init\n{processes}{pid} ovs-vswitchd unix:/var/run/openvswitch/db.sock -vconsole:emer",
        "ovs-appctl": "ovs-vswitchd (Open vSwitch) 3.1.0",
        "systemctl": f"Id=containerd.service\nLoadState=loaded\nActiveState=active\nSubState=running\nMainPID={pid}\nResult=success",
        "virsh": f" Id    Name       State\n---------------------------\n{domains}",
    }
    for name, text in said.items():
        told = "cat <<'END'\n" + text + "\nEND"
        if name == "crictl":
            pids = "".join(f"echo {one} {pid}; " for one in ids)
            told = f"case $* in *inspect*) {pids};; *) {told}\n;; esac"
        file = directory / name
        file.write_text(f"#!/bin/sh\ncase $* in *monitor*|*event*) exec sleep 600;; esac\n{told}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)


class _Tee(LocalTransport):
    """Keeps what the script prints and what it is told, octet by octet."""

    def __init__(self) -> None:
        super().__init__()
        self.printed, self.told = bytearray(), bytearray()

    async def open(self, command: str, receiver: Receiver) -> Channel:
        tee = self

        class Both:
            ended, error = receiver.ended, receiver.error

            def data(self, octets: bytes) -> None:
                tee.printed += octets
                receiver.data(octets)

            def write(self, octets: bytes) -> None:
                tee.told += octets
                channel.write(octets)

            def close(self) -> None:
                channel.close()

        both = Both()
        channel = await super().open(command, both)
        return both


async def record(directory: Path, checks: Sequence[Check], nodes: int) -> Recording:
    """Runs the real script here until every check has answered twice; what each command printed, by the command."""
    stubs(directory, nodes)
    path, os.environ["PATH"] = os.environ["PATH"], f"{directory}:{os.environ['PATH']}"
    try:
        answered, enough = Counter[CheckId](), asyncio.Event()

        def report(result: Result) -> None:
            answered[result.check] += 1
            if isinstance(result, Silence) or not result.healthy:
                raise AssertionError(result)
            if all(answered[check.id] > 1 or check.id.kind is Kind.MACHINE for check in checks):
                enough.set()

        detection = Detection.model_validate({"interval": 0.5, "timeout": 10})
        link = Link(checks, detection, Clock(), "token", heard=lambda at: None, report=report, changed=lambda: None)
        transport = _Tee()
        await link.start(transport)
        async with asyncio.timeout(30):
            await enough.wait()
        link.close()
        await transport.close()
    finally:
        os.environ["PATH"] = path
    return _sorted(transport.printed.decode(), transport.told.decode())


def _sorted(printed: str, told: str) -> Recording:
    commands = dict(line.split(" ", 2)[1:] for line in told.splitlines() if line.startswith("c "))
    runs: defaultdict[tuple[str, str], Recorded] = defaultdict(Recorded)
    found: Recording = {}
    for line in printed.splitlines():
        _, op, number, run, data, error, *_ = *line.split(" "), "", "", "", "", ""
        if op == "o":
            runs[number, run].output.append(data)
        elif op == "x":
            runs[number, run].code, runs[number, run].error = data, error
            found[commands[number]] = runs[number, run]
    return found


class Fleet:
    """Speaks for every node that connects, and answers for every router. Runs until cancelled.

    A connection begins with a line: the node's name (or ``-``), and the command that it was asked to run.
    """

    def __init__(self, recording: Recording, tick: float) -> None:
        self.recording, self._tick = recording, tick
        self.named: dict[str, _Node] = {}
        self._slots: list[list[_Node]] = [[] for _ in range(TICK_SLOTS)]
        self._joined = 0
        self.late = 0.0
        """The longest that a tick was written after its time: then it is the fleet that is late, not who reads it."""

    def join(self, node: _Node) -> None:
        self.named[node.name] = node
        self._slots[self._joined % TICK_SLOTS].append(node)
        self._joined += 1

    async def run(self) -> None:
        """Writes the ticks."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            for nodes in self._slots:
                due += self._tick / TICK_SLOTS
                await asyncio.sleep(due - loop.time())
                self.late = max(self.late, loop.time() - due)
                for node in nodes:
                    node.beat()


class _Node(asyncio.Protocol):
    """One watch script: see ``core/probes/watch.sh`` for what it is told and says."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self.name, self._token = fleet, "", ""
        self._rest, self._commands, self._run, self._greeted = b"", dict[str, str](), 0, False
        self.fails_at: list[float] = []
        self.broken = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._told(line.decode())

    def _told(self, line: str) -> None:
        if not self._token:
            found = re.search(r"echo (\S+) s bash", line)
            assert found
            self.name, self._token = line.split(" ", 1)[0], found[1]
            self._say("s bash")
        elif not self._greeted:  # the script itself, whose last line starts it
            if line == "watch":
                self._greeted = True
                self._say("h 0 0 5.2")
                self._fleet.join(self)
        elif line.startswith("c "):
            _, number, command = line.split(" ", 2)
            self._commands[number] = command
        elif line.startswith("r "):
            _, number, known, *_ = *line.split(" "), ""
            self._begin(number, known)

    def _begin(self, number: str, known: str) -> None:
        self._run += 1
        run = f"{number} {self._run}"
        self._say(f"b {run}")
        broken = bool(self.broken) and self.broken in self._commands[number]
        said = EMPTY if broken else self._fleet.recording[self._commands[number]]
        end = f"{said.code} {said.error}"
        output = [f"o {run} {data}" for data in said.output]
        lines = [f"i {run} {known} {end}"] if known == said.sum else [*output, f"x {run} {end}"]
        asyncio.get_running_loop().call_later(END_AFTER, self._end, lines, broken)

    def _end(self, lines: list[str], broken: bool) -> None:
        if broken:
            self.fails_at.append(time.monotonic())
        self._say(*lines)

    def beat(self) -> None:
        self._say(f"t {time.monotonic_ns() // 1000}")

    def event(self) -> None:
        """An event of the routing table: the check is run."""
        for number, command in self._commands.items():
            if NFT in command:
                self._say(f"v {number}")

    def _say(self, *lines: str) -> None:
        if not self._transport.is_closing():
            self._transport.write("".join(f"{self._token} {line}\n" for line in lines).encode())


class _Router(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(OK)


class _Control(asyncio.Protocol):
    """Orders of the bench, a line each: ``break NODE``, ``mend NODE``, ``late``; each is answered by a line.

    Broken is the routing table: an event is told, and what is listed from then on is empty."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        order, name = data.decode().split()
        if order == "late":
            said, self._fleet.late = f"{self._fleet.late}", 0.0
        else:
            node = self._fleet.named[name]
            node.broken = NFT if order == "break" else ""
            said = " ".join(f"{at}" for at in (*node.fails_at[:1], time.monotonic()))
            node.fails_at.clear()
            node.event()
        self._transport.write(f"{said}\n".encode())


async def serve(directory: Path, recording: Recording, tick: float, ready: Callable[[int, int], None]) -> None:
    """Serves on the sockets ``nodes`` and ``control`` in ``directory``; ``ready`` is told the TCP ports of nodes and routers."""
    fleet = Fleet(recording, tick)
    loop = asyncio.get_running_loop()
    piped = await loop.create_unix_server(lambda: _Node(fleet), str(directory / "nodes"), backlog=1000)
    control = await loop.create_unix_server(lambda: _Control(fleet), str(directory / "control"))
    relayed = await loop.create_server(lambda: _Node(fleet), "127.0.0.1", 0, backlog=1000)
    routing = await loop.create_server(_Router, "0.0.0.0", 0, backlog=1000)
    ready(*(server.sockets[0].getsockname()[1] for server in (relayed, routing)))
    async with piped, control, relayed, routing:
        await fleet.run()


def _main(directory: str, recording: Recording, tick: float, ports: Connection) -> None:
    """The process of the fleet."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(directory), recording, tick, lambda *both: ports.send(both)))


@contextmanager
def running(directory: Path, recording: Recording, tick: float) -> Iterator[tuple[int, int]]:
    """The fleet in a process of its own; the TCP ports of nodes and routers."""
    spawned = multiprocessing.get_context("spawn")
    here, there = spawned.Pipe(duplex=False)
    process = spawned.Process(target=_main, args=(str(directory), recording, tick, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()
