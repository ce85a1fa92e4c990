"""What many nodes cost: ``make bench-scale``.

The engine, the probes, the store and the DNS server of pointsman run in this process, as :mod:`core.app` joins them; another process plays the nodes
and routers (:mod:`bench.fleet`): what a real watch script printed, at its own pace. The sizes:

- ``six``: 3 clusters × 2 nodes, 10 ticks a second, full checks every 2 s, confirmation messages every 0.08 s;
- ``hundred``: 10 clusters × 10 nodes, the same;
- ``thousand``: 100 clusters × 10 nodes, the same;
- ``tenthousand``: 200 clusters × 50 nodes, a tick and a confirmation message a second, full checks every 10 s;
- ``ssh``: 20 clusters × 10 nodes as in ``thousand``, over asyncssh and OpenSSH's sshd, where a forced command relays each channel to the
  process that plays the nodes. The others are reached over Unix sockets.

Each node has the checks containers, routes, vswitch (two) and runtime, each cluster a machine with a domain for each of its nodes and a router.
A fault is a routing table that is empty from now on, told by an event; its time runs from the writing of the line that says so to
the moment when DNS answers without the address. CPU is this process's own, all of it: DNS, store and TLS too.

    python -m bench.scale [--only six,thousand] [--seconds 20] [--faults 50]
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench import fleet
from bench.failover import percentile
from bench.reach import PipeTransport, Sampled, sshd
from core import views
from core.app import SWITCH_INTERVAL
from core.clock import Clock
from core.collector import calm
from core.engine import Engine
from core.model import Evidence, Kind, Result, SourceId
from core.probes import kinds
from core.probes.frames import FrameParser
from core.probes.ssh import Ssh, Target
from core.probes.supervisor import Probes
from core.probes.transport import Transport
from core.records import RecordTable
from core.restore import restore
from core.saver import Saver
from core.selfcheck import SelfCheck
from core.settings import Settings
from core.state import Tick
from core.step import step
from core.store import Store
from core.world import build
from dnsserver.server import DnsServer

SAMPLED = 20
"""One in so many sources has its ticks looked at; each of them where there are few."""
PATIENCE = 400.0


@dataclass(frozen=True, slots=True)
class Size:
    clusters: int
    nodes: int
    tick: float = 0.1
    interval: float = 2.0
    confirm: float = 0.08
    ssh: bool = False

    def settings(self, directory: Path, routers: int, ssh: int) -> Settings:
        reach = {"ssh": f"127.0.0.1:{ssh}"} if ssh else {"local": True}
        names = [f"n{number}" for number in range(1, self.nodes + 1)]
        clusters = [
            {
                "name": f"c{number}",
                "addresses": [f"127.1.{number // 250}.{number % 250 + 1}"],
                "confirm": {"target": f":{routers}/healthz", "interval": self.confirm},
                "node": [{"name": name, **reach} for name in names],
                "machine": [{"name": "m", "domains": {name: name for name in names}, **reach}],
            }
            for number in range(self.clusters)
        ]
        apps = [
            {
                "domain": f"svc{first // 10}.net.",
                "clusters": [str(one["name"]) for one in clusters[first : first + 10]],
                "pods": ["default/web-*"],
            }
            for first in range(0, self.clusters, 10)
        ]
        detection = {"tick": self.tick, "interval": self.interval, "sudo": "", "silence": {"deadline": 10 * self.tick}}
        return Settings.model_validate(
            {
                "dns": {"listen": ["127.0.0.1:0"]},
                "store": {"directory": str(directory / "state")},
                "detection": detection,
                "recovery": {"hold": 0, "ramp": [100]},
                "ssh": {
                    "user": getpass.getuser(),
                    "keys": [str(directory / "id")],
                    "known_hosts": str(directory / "known_hosts"),
                },
                "app": apps,
                "cluster": clusters,
            }
        )


SIZES = {
    "six": Size(3, 2),
    "hundred": Size(10, 10),
    "thousand": Size(100, 10),
    "tenthousand": Size(200, 50, tick=1.0, interval=10.0, confirm=1.0),
    "ssh": Size(20, 10, ssh=True),
}


class _Counted(Engine):
    """Counts the results that came."""

    results = 0

    def result(self, result: Result) -> None:
        self.results += 1
        super().result(result)


class _Noting:
    """The DNS server, and when it began to answer from each table."""

    def __init__(self, dns: DnsServer) -> None:
        self._dns = dns
        self.tables: list[tuple[float, RecordTable]] = []

    def publish(self, table: RecordTable) -> None:
        self._dns.publish(table)
        self.tables.append((time.monotonic(), table))

    def without(self, cluster: str, since: float) -> float | None:
        """When the first table since then was answered that does not hold the cluster at all."""
        for at, table in self.tables:
            held = {record.cluster for app in table.apps.values() for record in app.records}
            if at >= since and cluster not in held:
                return at
        return None


@dataclass
class Measured:
    """What one size came to; shares of one core, seconds, octets."""

    size: Size
    begun: float = 0.0
    cpu: float = 0.0
    results: float = 0.0
    memory: float = 0.0
    fleet_late: float = 0.0
    parse: float = 0.0
    tick: float = 0.0
    same: float = 0.0
    whole: float = 0.0
    again: float = 0.0
    late: list[float] = field(default_factory=list)
    faults: list[float] = field(default_factory=list)
    events: list[float] = field(default_factory=list)

    def report(self, name: str) -> None:
        size, ms = self.size, 1000
        nodes = size.clusters * size.nodes
        ticks = nodes / size.tick
        print(
            f"\n{name}: {size.clusters} clusters x {size.nodes} nodes, {ticks:,.0f} ticks and {self.results:,.0f} results a second"
        )
        print(
            f"  CPU                {self.cpu:8.1%} of a core, {self.cpu / ticks * 1e6:.1f} µs for each node-tick, everything in it"
        )
        print(
            f"  of which           {self.parse * 1e6:8.2f} µs to read a tick line, {self.tick * ms:.2f} ms a step of time (40 a second), "
            f"{self.same * 1e6:.1f} µs a result that says the same"
        )
        print(f"  all heard          {self.begun:8.1f} s after the start")
        print(f"  memory             {self.memory / nodes / 1024:8.1f} KiB a node")
        print(
            f"  tick lateness      {percentile(self.late, 0.5) * ms:8.1f} ms p50, {percentile(self.late, 0.99) * ms:.1f} p99, "
            f"{max(self.late) * ms:.1f} max (the writer itself was at most {self.fleet_late * ms:.1f} late)"
        )
        print(f"  snapshot           {self.whole * ms:8.1f} ms the first, {self.again * ms:.1f} half a second later")
        for what, values in (("FAIL line in", self.faults), ("event line in", self.events)):
            if values:
                p50, p99 = (percentile(values, share) * ms for share in (0.5, 0.99))
                print(
                    f"  {what:<13} →    {p50:8.1f} ms p50, {p99:.1f} p99, {max(values) * ms:.1f} max until erased, n {len(values)}"
                )


class Bench:
    def __init__(self, directory: Path, size: Size, options: argparse.Namespace) -> None:
        self._directory, self._size, self._options = directory, size, options
        self._found = Measured(size)

    async def run(self) -> Measured:
        size, directory, found = self._size, self._directory, self._found
        (directory / "stubs").mkdir()
        first = size.settings(directory, 1, 0)
        cluster = first.cluster[0]
        checks = [
            *kinds.node_checks(first, cluster, cluster.node[0]),
            *kinds.machine_checks(first, cluster, cluster.machine[0]),
        ]
        recording = await fleet.record(directory / "stubs", checks, size.nodes)
        with (
            fleet.running(directory, recording, size.tick) as (relay, routers),
            sshd(directory, relay if size.ssh else 0) as ssh,
        ):
            settings = size.settings(directory, routers, ssh)
            async with self._pointsman(settings) as (engine, noting):
                self._control = await asyncio.open_unix_connection(str(directory / "control"))
                await asyncio.sleep(1)
                await self._ask("late", "-")
                found.late.clear()
                before, cpu, began = engine.results, time.process_time(), time.monotonic()
                await asyncio.sleep(self._options.seconds)
                took = time.monotonic() - began
                found.cpu, found.results = (time.process_time() - cpu) / took, (engine.results - before) / took
                found.fleet_late = float((await self._ask("late", "-"))[0])
                found.late = list(found.late)
                if not size.ssh:
                    await self._break(engine, noting)
                await self._units(engine)  # the last, for nobody is heard meanwhile
        return found

    @asynccontextmanager
    async def _pointsman(self, settings: Settings) -> AsyncIterator[tuple[_Counted, _Noting]]:
        """Joined as in :mod:`core.app`; every node is heard and the first round is over."""
        clock, path = Clock(), str(self._directory / "nodes")
        store = await Store.open(Path(settings.store.directory), settings.store.keep_events)
        state = restore(build(settings), await store.load(), clock.now())
        dns = DnsServer(settings, state.table, lambda error: sys.exit(f"the wire thread died: {error!r}"))
        dns.start()
        noting = _Noting(dns)
        check = SelfCheck(dns.addresses[0])
        engine = _Counted(
            state, Saver(store, clock), 0, noting, lambda told: None, check.clean, clock, lambda event: None
        )
        sources = [source for plan in state.world.clusters.values() for source in plan.nodes]
        sampled = {*sources[:: SAMPLED if len(sources) > 100 else 1]}
        ssh = Ssh(settings.ssh) if self._size.ssh else None

        async def reach(source: SourceId) -> Transport:
            plan = settings.cluster[0].node[0]
            transport: Transport = (
                await ssh.connect(Target.parse(plan.ssh, settings.ssh.user)) if ssh else PipeTransport(source, path)
            )
            return Sampled(transport, self._found.late) if source in sampled else transport

        probes = Probes(settings, engine, clock, reach=reach)
        memory = _resident()
        calmed = calm(lambda: engine.state.round_over, lambda: len(engine.heard_at))
        work = engine.run(), probes.run(), calmed
        tasks = [asyncio.ensure_future(part) for part in work]
        try:
            began = time.monotonic()
            while (missing := len({*sources} - engine.heard_at.keys())) or not engine.state.round_over:
                await asyncio.sleep(1)
                if time.monotonic() > began + PATIENCE:
                    sys.exit(f"bench: after {PATIENCE:g} s {missing} of {len(sources)} sources have not been heard")
            self._found.begun = time.monotonic() - began
            await asyncio.sleep(self._size.interval)
            self._found.memory = _resident() - memory
            yield engine, noting
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            dns.stop()
            await store.close()

    async def _ask(self, order: str, name: str) -> list[str]:
        reader, writer = self._control
        writer.write(f"{order} {name}\n".encode())
        return (await reader.readline()).decode().split()

    async def _units(self, engine: Engine) -> None:
        """CPU of single steps and of a snapshot, on the state as it is now."""
        found, state, now = self._found, engine.state, time.time()
        parser, line = FrameParser("0123456789ab"), b"0123456789ab t 1234567890123\n"
        found.parse = _cost(lambda: parser.beat(line, now), 2000)
        gaps = Tick(dict.fromkeys((source for plan in state.world.clusters.values() for source in plan.sources), 0.01))
        found.tick = _cost(lambda: step(state, gaps, now), 20)
        check, known = next((c, s) for c, s in state.clusters["c0"].checks.items() if c.kind is Kind.RUNTIME)
        found.same = _cost(lambda: step(state, Evidence(check, True, known.said, now, 0.01), now), 200)
        snapshots = views.Views()
        found.whole = _cost(
            lambda: [*snapshots.clusters(engine.state, views.Heard(now, 0, engine.heard_at, engine.latencies))], 1
        )
        costs = []
        for _ in range(5):
            await asyncio.sleep(0.5)
            heard = views.Heard(time.time(), 0, engine.heard_at, engine.latencies)
            costs.append(_cost(lambda heard=heard: [*snapshots.clusters(engine.state, heard)], 1))  # type: ignore[misc]
        found.again = statistics.median(costs)

    async def _break(self, engine: Engine, noting: _Noting) -> None:
        for number in range(self._options.faults):
            cluster = f"c{number % self._size.clusters}"
            noting.tables.clear()
            [at] = await self._ask("break", f"{cluster}/n1")
            async with asyncio.timeout(PATIENCE):
                while (erased := noting.without(cluster, float(at))) is None:
                    await asyncio.sleep(0.005)
            failed, _ = await self._ask("mend", f"{cluster}/n1")
            self._found.faults.append(erased - float(failed))
            self._found.events.append(erased - float(at))
            async with asyncio.timeout(PATIENCE):
                while noting.without(cluster, noting.tables[-1][0]):
                    await asyncio.sleep(0.05)
                    await self._ask("mend", f"{cluster}/n1")
            await asyncio.sleep(random.uniform(0.05, 0.15))


def _cost(work: Callable[[], object], times: int) -> float:
    before = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - before) / times


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _one(name: str, options: argparse.Namespace) -> None:
    sys.setswitchinterval(SWITCH_INTERVAL)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with (
        tempfile.TemporaryDirectory(prefix="pointsman-scale-") as scratch,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(Bench(Path(scratch), SIZES[name], options).run()).report(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="six,hundred,ssh,thousand,tenthousand")
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring, for each size")
    parser.add_argument("--faults", type=int, default=50)
    options = parser.parse_args()
    spawned = multiprocessing.get_context("spawn")
    for name in options.only.split(","):  # each in a process of its own, for memory and the collector
        process = spawned.Process(target=_one, args=(name, options))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
