"""fault → first clean answer: ``make bench-failover``.

Starts ``pointsman demo --headless`` as anybody would, makes faults in its lab, and asks its DNS over UDP from this
process, from outside, a question every millisecond. The time of a fault is the lab's own, taken when the fault is there
(a killed process: just after the kill); the time of the answer is its arrival here. Detection runs at its default settings; only the
way back is shortened (no hold, no ramp), since it is not what is measured and the faults would take hours.

    python -m bench.failover [--faults 50] [--kinds routes,router] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dnslib

from core.control.remote import RemoteClient
from core.errors import PointsmanError
from core.lab.client import LabClient
from core.model import Event, EventName
from core.snapshot import ClusterState, Snapshot

KINDS = ("containers", "routes", "vswitch", "runtime", "machine", "database", "router", "network")
CLUSTERS = ("tokyo", "osaka", "fukuoka")
DOMAIN = "svc1.net."
PACE = 0.001
GIVE_UP = 15.0
LAST = 6.0
"""Seconds that a silence stands: one of less than five is taken for a gap of the link, and the next is waited for longer."""
STEPS = (
    EventName.FAULT_SEEN,
    EventName.EXTERNAL_ANOMALY,
    EventName.SWITCH_ORDERED,
    EventName.ADDRESS_ERASED,
    EventName.FIRST_CLEAN_ANSWER,
)
UNDER_TEST = {"POINTSMAN_RECOVERY__HOLD": "0", "POINTSMAN_RECOVERY__RAMP": "[100]"}


class Watcher(threading.Thread):
    """Asks DNS at a steady pace and notes, for every answer, when it came and which addresses it held."""

    def __init__(self, port: int, pace: float = PACE) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._pace = pace
        self._over = threading.Event()
        self.answers: list[tuple[float, frozenset[str]]] = []
        self.unanswered = 0

    def run(self) -> None:
        query = bytearray(dnslib.DNSRecord.question(DOMAIN, "A").pack())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self._port))
            number = 0
            while not self._over.is_set():
                number = (number + 1) % 65536
                query[0:2] = number.to_bytes(2, "big")
                try:
                    sock.send(query)
                    packet = sock.recv(4096) if select.select([sock], [], [], 0.5)[0] else b""
                except ConnectionRefusedError:  # nobody listens there yet, or any more
                    packet = b""
                if packet:
                    self.answers.append((time.time(), addresses(packet)))
                else:
                    self.unanswered += 1
                time.sleep(self._pace)

    def end(self) -> None:
        self._over.set()
        self.join()

    def first_without(self, address: str, after: float) -> float | None:
        """The arrival of the first answer after an instant that lacks the address, if every later one lacks it too."""
        since = [(at, held) for at, held in self.answers if at >= after]
        clean = next((at for at, held in since if address not in held), None)
        if clean is not None and any(address in held for at, held in since if at > clean):
            raise AssertionError(f"{address} came back into an answer after the first clean one")
        return clean


def addresses(packet: bytes) -> frozenset[str]:
    """The IPv4 addresses of an answer that holds A records alone, each with its name compressed."""
    count = int.from_bytes(packet[6:8], "big")
    end = packet.index(0, 12) + 5
    return frozenset(socket.inet_ntoa(packet[end + i * 16 + 12 : end + i * 16 + 16]) for i in range(count))


class Bench:
    def __init__(self, directory: Path, port: int) -> None:
        self._lab = LabClient(directory)
        self._client = RemoteClient(directory / "control.sock")
        self._port = port
        self.times: dict[str, list[float]] = defaultdict(list)
        self.shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.missed: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.unanswered = 0

    async def run(self, kinds: tuple[str, ...], faults: int) -> None:
        for number in range(faults):
            for offset, kind in enumerate(kinds):
                await self._one(kind, CLUSTERS[(number + offset) % len(CLUSTERS)])
            print(f"\r{number + 1}/{faults} rounds", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        await self._client.close()

    async def _one(self, kind: str, cluster: str) -> None:
        before = await self._all_serving()
        [address] = next(view.addresses for view in before.clusters if view.name == cluster)
        others = {a for view in before.clusters if view.name != cluster for a in view.addresses}
        watcher = Watcher(self._port)
        watcher.start()
        async with asyncio.timeout(GIVE_UP):  # the snapshot knows of a return a moment before DNS does
            while not watcher.answers or not {address, *others} <= watcher.answers[-1][1]:
                await asyncio.sleep(0.005)
        whole = len(watcher.answers)
        fault = await self._lab.break_(cluster, kind)
        clean = None
        deadline = time.time() + GIVE_UP
        while clean is None and time.time() < deadline:
            await asyncio.sleep(0.02)
            clean = watcher.first_without(address, fault.at)
        await asyncio.sleep(0.1)
        watcher.end()
        self.unanswered += watcher.unanswered
        self.wrong[kind] += sum(not others <= held for _, held in watcher.answers[whole:])
        if clean is None:
            self.missed[kind] += 1
        else:
            self.times[kind].append((clean - fault.at) * 1000)
            await self._note_steps(kind, cluster, fault.at)
        if kind == "network":
            await asyncio.sleep(max(0.0, fault.at + LAST - time.time()))
        await self._lab.mend(cluster, kind)

    async def _note_steps(self, kind: str, cluster: str, fault_at: float) -> None:
        events = await self._client.events(since=fault_at - 0.5, cluster=cluster)
        last = fault_at
        for name in STEPS:
            at = next((event.at for event in events if event.name is name and event.at >= fault_at - 0.06), None)
            if at is not None:
                self.shares[kind][name].append((at - last) * 1000)
                last = at

    async def _all_serving(self) -> Snapshot:
        """Wait until everything serves again; an operator's restore spares the hold."""
        async with asyncio.timeout(60):
            while True:
                snapshot = await self._client.snapshot()
                if not snapshot.starting and all(view.state is ClusterState.OK for view in snapshot.clusters):
                    return snapshot
                await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Demo:
    """A demo under test, with its lab, in a directory of its own."""

    directory: Path
    port: int
    pid: int

    def events(self) -> list[Event]:
        """Everything that has happened since the start."""

        async def ask() -> list[Event]:
            client = RemoteClient(self.directory / "control.sock")
            try:
                return await client.events(limit=10_000)
            finally:
                await client.close()

        return asyncio.run(ask())


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and for TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            with suppress(OSError):
                tcp.bind(udp.getsockname())
                return int(udp.getsockname()[1])


@contextmanager
def demo(environment: Mapping[str, str]) -> Iterator[Demo]:
    """``pointsman demo --headless``, as a process of its own, ready. Ends the program when it does not come up."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as scratch:
        command = [sys.executable, "-m", "core.cli", "demo", "--headless", "--dir", scratch, "--dns-port", str(port)]
        log = Path(scratch, "stderr")
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=errors
            )
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                sys.exit(f"the demo did not start: {log.read_text()[-500:]}")
            yield Demo(Path(scratch), port, process.pid)
        finally:
            process.terminate()
            process.wait(60)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def report(bench: Bench, kinds: tuple[str, ...]) -> None:
    print("fault → first clean answer, milliseconds, asked from outside over UDP")
    print(f"{'fault':<12}{'n':>4}{'p50':>8}{'p99':>8}{'max':>8}{'missed':>8}{'wrong':>7}   mean of each step")
    everything: list[float] = []
    for kind in kinds:
        values = bench.times[kind]
        everything += values
        if not values:
            print(f"{kind:<12}{0:>4}{'':>24}{bench.missed[kind]:>8}{bench.wrong[kind]:>7}")
            continue
        steps = "  ".join(f"{name} {statistics.mean(ms):+.1f}" for name, ms in bench.shares[kind].items())
        print(
            f"{kind:<12}{len(values):>4}{percentile(values, 0.5):>8.1f}{percentile(values, 0.99):>8.1f}{max(values):>8.1f}"
            f"{bench.missed[kind]:>8}{bench.wrong[kind]:>7}   {steps}"
        )
    if everything:
        print(
            f"{'all':<12}{len(everything):>4}{percentile(everything, 0.5):>8.1f}{percentile(everything, 0.99):>8.1f}"
            f"{max(everything):>8.1f}"
        )
    print(f"wrong: answers that lacked a healthy cluster's address; unanswered questions: {bench.unanswered}")


def main() -> int:
    parser = argparse.ArgumentParser(description="fault → first clean answer in the lab")
    parser.add_argument("--faults", type=int, default=50, help="faults of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--json", type=Path, help="write every single time there")
    parser.add_argument("--bed", action="store_true", help="on real clusters (bench.bed), gdnsd and a prober beside it")
    options = parser.parse_args()
    if options.bed:
        return subprocess.call([sys.executable, "-m", "bench.bed", "--peers", "--rounds", str(options.faults)])
    kinds = tuple(options.kinds.split(","))
    with demo(UNDER_TEST) as running:
        bench = Bench(running.directory, running.port)
        try:
            asyncio.run(bench.run(kinds, options.faults))
        except PointsmanError as error:
            sys.exit(f"bench: {error}")
    report(bench, kinds)
    if options.json:
        options.json.write_text(json.dumps(bench.times))
    return 1 if bench.missed or any(bench.wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
