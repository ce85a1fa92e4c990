"""Real traffic through a real HAProxy that pointsman weighs and closes, beside the same HAProxy left to itself.

Four pods, each a process of its own (HAProxy that returns the pod's name), behind one HAProxy as the cluster's router.
Clients of another process keep their connections, or make a new one for each request, as fast as the machine carries. A
pod is killed with SIGKILL; the containers check sees it by a list of these processes in podman's form. What is printed is
counted at the clients. Run with ``make bench-traffic``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from core.model import Action, HandKind
from core.snapshot import PodView
from tests.conftest import require
from tests.live.app_program import Program, program
from tests.live.haproxy import Client, Haproxy, free_port

PODS = tuple(f"web-{n}" for n in range(4))
VICTIM = "web-0"
KEPT, NEW = 24, 8
RAMP = (10, 25, 50, 100)
STEP = 4.0
WATCHED = 10.0
"""Seconds after a kill in which failures are counted."""
REDISPATCH = "option redispatch 1"
CHECKS = "default-server check inter 2s fall 3 rise 2"
CONFIG = """
[dns]
listen = ["127.0.0.1:0"]
[store]
directory = "state"
[control]
socket = "control.sock"
[detection]
sudo = ""
checks = ["containers"]
commands.containers_podman = "{python} {directory}/podman.py ps -a"
[recovery]
ramp = {ramp}
ramp_step = {step}
[[app]]
domain = "svc1.net."
clusters = ["a", "b"]
pods = ["default/web-*"]
min_healthy = 0
[[cluster]]
name = "a"
addresses = ["192.0.2.1"]
node = [{{ name = "n1", local = true, runtime = "podman" }}]
router = {{ kind = "haproxy", address = "{socket}", frontends = ["web"], stop = "{stop}", in_flight = 0.5 }}
[[cluster]]
name = "b"
addresses = ["192.0.2.2"]
"""
LISTING = """
import json, os, pathlib
here = pathlib.Path(__file__).parent
found = []
for number, (name, pid) in enumerate(json.loads((here / "pods.json").read_text()).items()):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = "X"
    up = state not in "ZX" and not (here / f"{name}.said-dead").exists()
    labels = {"io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.name": name, "io.kubernetes.container.name": "web"}
    found.append({"Id": f"{pid:064x}", "Names": [name], "Labels": labels, "State": "running" if up else "exited",
                  "Pid": pid if up else 0, "Restarts": number, "Created": 1, "ExitCode": 0 if up else 137})
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Asked:
    """One request: when it was sent and answered, by what kind of client, and what it got."""

    sent: float
    done: float
    kept: bool
    client: int
    got: str

    @property
    def failed(self) -> bool:
        return self.got not in PODS


@dataclass
class Pods:
    """The pods' processes."""

    directory: Path
    ports: dict[str, int] = field(default_factory=lambda: {pod: free_port() for pod in PODS})
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, pod: str) -> None:
        config = self.directory / f"{pod}.cfg"
        config.write_text(
            "defaults\n  mode http\n  timeout client 60s\n  timeout http-keep-alive 60s\n"
            f"frontend {pod}\n  bind 127.0.0.1:{self.ports[pod]}\n"
            f"  http-request return status 200 content-type text/plain string {pod}\n"
        )
        self.running[pod] = subprocess.Popen([require("haproxy"), "-db", "-q", "-f", str(config)])
        told = {name: process.pid for name, process in self.running.items()}
        (self.directory / "pods.new").write_text(json.dumps(told))
        (self.directory / "pods.new").rename(self.directory / "pods.json")

    def kill(self, pod: str) -> float:
        at = time.time()
        self.running[pod].send_signal(signal.SIGKILL)
        self.running[pod].wait()
        return at

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()


def main() -> None:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    print(f"{KEPT} clients with kept connections and {NEW} with a new one for each request, {os.cpu_count()} cores")
    _shares_and_detach()
    for name, extra, watched in (
        ("HAProxy alone", "", False),
        (f"HAProxy with `{CHECKS}`", CHECKS, False),
        (f"HAProxy with `{CHECKS}` and `{REDISPATCH}`", f"{CHECKS}\n  {REDISPATCH}", False),
        ("with pointsman", "", True),
        (f"with pointsman and `{REDISPATCH}`", REDISPATCH, True),
    ):
        _kill(name, extra, watched)
    for stop in ("never", "by-hand"):
        _erase(stop)


@contextmanager
def _bed(
    extra: str = "", *, stop: str = "by-hand", watched: bool = True
) -> Iterator[tuple[Haproxy, Pods, Program | None]]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pointsman-")))
        pods = Pods(directory)
        stack.callback(pods.close)
        for pod in PODS:
            pods.start(pod)
        (directory / "podman.py").write_text(LISTING)
        haproxy = Haproxy(directory, PODS, elsewhere=pods.ports, extra=extra)
        haproxy.start_now()
        stack.callback(haproxy.kill)
        config = CONFIG.format(
            python=sys.executable, directory=directory, ramp=list(RAMP), step=STEP, socket=haproxy.socket, stop=stop
        )
        (directory / "config.toml").write_text(config)
        found = None
        if watched:
            found = stack.enter_context(program(directory / "config.toml"))
            _until(lambda: all(pod.confirmed == 100 for pod in _pods(found)) and len(_pods(found)) == len(PODS))
        yield haproxy, pods, found


def _shares_and_detach() -> None:
    windows: list[tuple[int, float, float]] = []
    with _bed() as (haproxy, pods, found), _load(haproxy.port) as asked:
        assert found
        time.sleep(3)
        pods.kill(VICTIM)
        _until(lambda: _pod(found, VICTIM).confirmed == 0)
        pods.start(VICTIM)
        for share in RAMP:
            windows.append((share, *_window(found, share)))
        marker = pods.directory / f"{VICTIM}.said-dead"
        marker.touch()
        _until(lambda: _pod(found, VICTIM).confirmed == 0)
        confirmed = next(hand.since for hand in found.snapshot().hands if hand.kind is HandKind.ROUTER)
        time.sleep(3)
    everything = asked()
    print("\n| weight of one pod of four | its share | expected | off by |\n|---|---|---|---|")
    for share, began, ended in windows:
        got = Counter(each.got for each in everything if began < each.sent < ended)
        total, wanted = sum(got[pod] for pod in PODS), 100 * share / (300 + share)
        has = 100 * got[VICTIM] / total
        print(f"| {share} % | {has:.2f} % of {total} | {wanted:.2f} % | {abs(has - wanted):.2f} % |")
    after = [each for each in everything if each.sent > confirmed]
    print(
        f"\ndetached while it still serves: {sum(each.got == VICTIM for each in after)} of {len(after)} requests sent after the confirmation reached it"
    )


def _window(found: Program, share: int) -> tuple[float, float]:
    """From the confirmation of this share to the next step."""
    _until(lambda: _pod(found, VICTIM).confirmed == share)
    began = time.time()
    _until(lambda: _pod(found, VICTIM).weight != share or time.time() > began + STEP)
    return began, time.time() - 0.3


def _kill(name: str, extra: str, watched: bool) -> None:
    with _bed(extra, watched=watched) as (haproxy, pods, _), _load(haproxy.port) as asked:
        time.sleep(2)
        at = pods.kill(VICTIM)
        time.sleep(WATCHED)
    failed = [each for each in asked() if each.sent > at - 0.5 and each.failed]
    slow = [each for each in asked() if each.sent > at and not each.failed and each.done - each.sent > 0.5]
    last = max((each.done - at for each in failed), default=0.0)
    total = sum(each.sent > at for each in asked())
    print(
        f"\na pod killed, {name}: {len(failed)} of {total} requests failed in {WATCHED:.0f} s, the last after {last:.2f} s; {len(slow)} others took over 0.5 s"
    )


def _erase(stop: str) -> None:
    with _bed(stop=stop) as (haproxy, _, found), _load(haproxy.port) as asked:
        assert found
        time.sleep(2)
        at = time.time()
        found.order(Action.ERASE, "a")
        time.sleep(3)
    served = [each for each in asked() if each.sent > at and not each.failed]
    late = {each.client for each in served if each.sent > at + 1}
    last = max((each.done - at for each in served), default=0.0)
    print(
        f"\nerased, router.stop = {stop!r}: {len(late)} of {KEPT + NEW} clients still reached it after 1 s; the last answer {last:.3f} s after the order"
    )


def _pods(found: Program | None) -> tuple[PodView, ...]:
    assert found
    return found.cluster("a").pods


def _pod(found: Program | None, name: str) -> PodView:
    return next(pod for pod in _pods(found) if pod.pod == f"default/{name}")


def _until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends, "waited for a minute"
        time.sleep(0.02)


@contextmanager
def _load(port: int) -> Iterator[Callable[[], list[Asked]]]:
    """Clients in another process; once it is over, what they asked."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_clients, args=(port, theirs))
    process.start()
    found: list[Asked] = []
    try:
        yield lambda: found
    finally:
        ours.send("end")
        found.extend(ours.recv())
        process.join()


def _clients(port: int, control: Connection) -> None:
    asked: list[Asked] = []

    async def client(number: int, kept: bool) -> None:
        one = Client(port)
        while True:
            sent = time.time()
            try:
                got = await one.ask()
            except OSError as error:
                got = type(error).__name__
            asked.append(Asked(sent, time.time(), kept, number, got))
            if not kept or got not in PODS:
                await one.close()
            if got not in PODS:
                await asyncio.sleep(0.005)

    async def all_of_them() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(control.fileno(), ended.set)
        tasks = [asyncio.create_task(client(number, number < KEPT)) for number in range(KEPT + NEW)]
        await ended.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(all_of_them())
    control.send(asked)


if __name__ == "__main__":
    main()
