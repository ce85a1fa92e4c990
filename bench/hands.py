"""fault → the first clean answer of everybody who is told: ``make bench-hands``.

Starts ``pointsman demo --headless`` with real name servers around it: NSD, Knot, BIND and PowerDNS as secondaries; ``pointsman internal-dns``,
unbound, BIND and Knot Resolver as caches that are told; BIND, Knot and PowerDNS as other people's primaries, kept by RFC 2136 and by the API; and one unbound that
nobody tells, to compare with. The lab breaks a router; another process asks all of them at a steady pace. The clock starts with the lab's own time of the
fault. Detection runs at its default settings; the TTL is 5 s; the way back is shortened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dns.message

from bench.failover import CLUSTERS, DOMAIN, UNDER_TEST, Demo, demo, percentile
from core.control.remote import RemoteClient
from core.lab.client import LabClient
from core.snapshot import ClusterState
from tests.live.caching_servers import KINDS as CACHES
from tests.live.caching_servers import caching
from tests.live.name_servers import Wanted, free_ports, new_key, running
from tests.live.primaries import API_KEY, primary

GIVE_UP = 30.0
OURS, UNTOLD = "pointsman", "unbound, not told"
PLACES = {OURS: "the DNS of pointsman", UNTOLD: "a cache, until its TTL"}


class Around:
    """The servers around one demo: names with their ports, and the settings that tell pointsman of them."""

    def __init__(self, directory: Path, running: Demo, stack: ExitStack) -> None:
        self._directory = directory
        self._port = running.port
        self._stack = stack
        self._key_file, self._key = new_key(directory, "bench")
        self.ports = {OURS: running.port}
        self.kinds = dict(PLACES)
        self.settings: list[str] = []

    def caches(self) -> None:
        """Those that are told, and one that is not."""
        port = free_ports(1)[0]
        command = [
            sys.executable,
            "-m",
            "core.cli",
            "internal-dns",
            "--listen",
            f"127.0.0.1:{port}",
            "--domain",
            DOMAIN,
        ]
        command += ["--upstream", f"127.0.0.1:{self._port}", "--tsig", str(self._key_file)]
        log = (self._directory / "internal-dns.log").open("wb")
        config = self._directory / "empty.toml"
        config.touch()
        environment = {**os.environ, "POINTSMAN_CONFIG": str(config)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        self._cache("pointsman internal-dns", port, {"kind": "pointsman", "tsig": str(self._key_file)})
        for kind in CACHES:
            place = self._directory / f"cache-{kind}"
            place.mkdir()
            found = self._stack.enter_context(caching(place, kind, DOMAIN, self._port))
            self._cache(f"{kind} (cache)", found.server.port, found.settings)
        place = self._directory / "untold"
        place.mkdir()
        self.ports[UNTOLD] = self._stack.enter_context(caching(place, "unbound", DOMAIN, self._port)).server.port

    def providers(self) -> None:
        """Other people's primaries."""
        api_key = self._directory / "api.key"
        api_key.write_text(API_KEY)
        for name, kind in (("bind", "bind"), ("knot", "knot"), ("powerdns", "powerdns"), ("powerdns-api", "powerdns")):
            place = self._directory / f"provider-{name}"
            place.mkdir()
            found = self._stack.enter_context(primary(place, kind, DOMAIN, self._key))
            how: dict[str, Any] = {"tsig": str(self._key_file)}
            if name.endswith("api"):
                how = {"kind": "powerdns", "url": found.api, "api_key_file": str(api_key)}
            label = f"{kind} (API)" if name.endswith("api") else f"{kind} (RFC 2136)"
            self.ports[label] = found.server.port
            self.kinds[label] = "other people's DNS"
            self._table("provider", name=name, zone=DOMAIN, server=f"127.0.0.1:{found.server.port}", **how)

    def secondaries(self) -> Sequence[int]:
        """Their ports; they run once :meth:`transfer` is entered."""
        ports = free_ports(4)
        self._table("zone", name=DOMAIN, tsig=str(self._key_file), transfer_to=[f"127.0.0.1:{port}" for port in ports])
        return ports

    def transfer(self, ports: Sequence[int]) -> None:
        for server in self._stack.enter_context(running(self._directory, Wanted(DOMAIN, self._port, self._key), ports)):
            self.ports[f"{server.name} (secondary)"] = server.port
            self.kinds[f"{server.name} (secondary)"] = "secondary"

    def _cache(self, label: str, port: int, settings: dict[str, Any]) -> None:
        self.ports[label] = port
        self.kinds[label] = "internal DNS"
        name = label.replace(" ", "-").replace("(", "").replace(")", "")
        self._table("internal_dns", name=name, address=f"127.0.0.1:{port}", domains=[DOMAIN], **settings)

    def _table(self, header: str, **values: Any) -> None:
        lines = (f"{key} = {json.dumps(value)}" for key, value in values.items())
        self.settings.append("\n".join((f"\n[[{header}]]", *lines, "")))


@contextmanager
def around(running_demo: Demo) -> Iterator[Around]:
    """Everybody runs, and has confirmed."""
    with tempfile.TemporaryDirectory(prefix="pointsman-hands-") as scratch, ExitStack() as stack:
        found = Around(Path(scratch), running_demo, stack)
        found.caches()
        found.providers()
        ports = found.secondaries()
        with (running_demo.directory / "config.toml").open("a") as config:
            config.writelines(found.settings)
        asyncio.run(_reload(running_demo))
        found.transfer(ports)
        asyncio.run(_confirmed(running_demo))
        yield found


async def _reload(running_demo: Demo) -> None:
    client = RemoteClient(running_demo.directory / "control.sock")
    await client.reload()
    await client.close()


async def _confirmed(running_demo: Demo) -> None:
    """Until every hand has confirmed and every cluster serves."""
    client = RemoteClient(running_demo.directory / "control.sock")
    until = time.monotonic() + GIVE_UP
    waits = [""]
    while waits and time.monotonic() < until:
        await asyncio.sleep(0.05)
        snapshot = await client.snapshot()
        waits = [f"{hand.name}: {hand.said}" for hand in snapshot.hands if not hand.done]
        waits += [f"{view.name} is {view.state}" for view in snapshot.clusters if view.state is not ClusterState.OK]
    await client.close()
    if waits:
        raise SystemExit(f"not confirmed within {GIVE_UP:.0f} s: {waits}")


async def rounds(
    running_demo: Demo, watcher: Connection, labels: dict[int, str], number: int, again: Counter[int]
) -> dict[str, list[float]]:
    """Milliseconds from each fault to the first clean answer, by label."""
    lab = LabClient(running_demo.directory)
    client = RemoteClient(running_demo.directory / "control.sock")
    times: dict[str, list[float]] = defaultdict(list)
    for done in range(number):
        await _confirmed(running_demo)
        snapshot = await client.snapshot()
        cluster = CLUSTERS[done % len(CLUSTERS)]
        [address] = next(view.addresses for view in snapshot.clusters if view.name == cluster)
        watcher.send(address)
        await _heard(watcher, set(labels), Counter(), held=True)
        fault = await lab.break_(cluster, "router")
        for port, at in (await _heard(watcher, set(labels), again, held=False)).items():
            times[labels[port]].append((at - fault.at) * 1000)
        await lab.mend(cluster, "router")
        print(f"\r{done + 1}/{number} faults", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    await client.close()
    return times


async def _heard(watcher: Connection, left: set[int], again: Counter[int], *, held: bool) -> dict[int, float]:
    """When each port's answers began, or ceased, to hold the address; ``again`` counts those that took it back."""
    found: dict[int, float] = {}
    while left - found.keys():
        if not await asyncio.to_thread(watcher.poll, GIVE_UP):
            raise SystemExit(f"ports {left - found.keys()} {'never held' if held else 'still hold'} the address")
        port, holds, at = watcher.recv()
        if holds is held:
            found.setdefault(port, at)
        elif found.pop(port, None) is not None:
            again[port] += 1
    return found


def watch(report: Connection, ports: Sequence[int], pace: float) -> None:
    """Asks every server each ``pace`` seconds, and reports when the address that it was sent last comes or goes."""
    query = dns.message.make_query(DOMAIN, "A").to_wire()
    socks = {}
    for port in ports:
        socks[port] = sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
    address, held = b"", dict[int, bool]()
    report.send("ready")
    while True:
        if report.poll():
            wanted = report.recv()
            if wanted is None:
                return
            address, held = socket.inet_aton(wanted), {}
        for sock in socks.values():
            sock.send(query)
        time.sleep(pace)
        for port, sock in socks.items():
            while packet := _receive(sock):
                holds = address in packet[12:]
                if address and packet[7] and holds is not held.get(port):  # an answer without records is none
                    held[port] = holds
                    report.send((port, holds, time.time()))


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(4096)
    except (BlockingIOError, ConnectionRefusedError):
        return b""


def main() -> None:
    parser = argparse.ArgumentParser(description="fault → the first clean answer of everybody who is told")
    parser.add_argument("--faults", type=int, default=15)
    parser.add_argument("--pace", type=float, default=0.004, help="seconds between two questions to one server")
    options = parser.parse_args()
    spawned = multiprocessing.get_context("spawn")
    with demo({**UNDER_TEST, "POINTSMAN_DNS__TTL": "5"}) as running_demo, around(running_demo) as found:
        here, there = spawned.Pipe()
        watcher = spawned.Process(target=watch, args=(there, [*found.ports.values()], options.pace), daemon=True)
        watcher.start()
        here.recv()
        again: Counter[int] = Counter()
        labels = {port: label for label, port in found.ports.items()}
        times = asyncio.run(rounds(running_demo, here, labels, options.faults, again))
        here.send(None)
        watcher.join()
    print(f"fault (router killed) → first clean answer, milliseconds, {options.faults} faults")
    print(f"{'':<26}{'':<24}{'n':>4}{'p50':>8}{'p99':>8}{'max':>8}{'again':>7}")
    for label, kind in sorted(found.kinds.items(), key=lambda each: (list(PLACES).count(each[0]) == 0, each[1])):
        values = times[label]
        figures = f"{percentile(values, 0.5):>8.1f}{percentile(values, 0.99):>8.1f}{max(values):>8.1f}"
        print(f"{label:<26}{kind:<24}{len(values):>4}{figures}{again[found.ports[label]]:>7}")
    print("again: the address came back into an answer after the first clean one; the last clean one counts")


if __name__ == "__main__":
    main()
