"""All probes of the process: one worker for each source, started, restarted and replaced (spec S36).

Called by the engine and by ``pointsman check --probe``. Owns the workers' tasks; what they find goes to the ProbeSink.
"""

from __future__ import annotations

import asyncio
import random as randomness
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from core.clock import Clock
from core.model import CheckId, Kind, Result, Silence, SourceId, SourceKind, SourceStatus
from core.probes import canary, confirm, database, kinds
from core.probes.check import Check
from core.probes.session import Session
from core.probes.sink import ProbeSink
from core.probes.ssh import Ssh, Target
from core.probes.transport import LocalTransport, Transport
from core.probes.turns import Turns
from core.settings import Cluster, Database, Machine, Node, Settings
from core.world import build

_log = structlog.get_logger()
_RESTART = 1.0  # seconds until a worker that raised is started again


@dataclass(frozen=True, slots=True)
class _Worker:
    """How one source is watched. ``settings`` is all that it depends on: where that is equal, no restart is needed.
    ``start`` runs it until cancelled and sets the event when every check of the source has had a result.
    """

    source: SourceId
    settings: tuple[object, ...]
    start: Callable[[ProbeSink, asyncio.Event], Awaitable[None]]


class Probes:
    """Every probe of the settings. ConfigError, also from :meth:`replace`, when keys, hosts or checks cannot be used.

    ``reach`` connects to nodes and machines where that shall be done in another way than the settings say."""

    def __init__(
        self,
        settings: Settings,
        sink: ProbeSink,
        clock: Clock,
        *,
        random: randomness.Random | None = None,
        reach: Callable[[SourceId], Awaitable[Transport]] | None = None,
    ) -> None:
        self._sink, self._clock, self._reach = sink, clock, reach
        self._random = random or randomness.Random()  # noqa: S311 - spreads attempts in time, protects nothing
        self._turns = Turns()
        self._settings = settings
        self._ssh = _ssh(settings)
        self._workers = self._plan(settings)
        self._running: dict[SourceId, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Probes until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for worker in self._workers.values():
                    self._begin(worker)
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            self._running.clear()
            await self._close_ssh()

    async def replace(self, settings: Settings) -> None:
        """Takes new settings: what did not change runs on, unless it has to connect again (with keys and hosts read anew)."""
        workers = self._plan(settings)
        if self._ssh and settings.ssh == self._settings.ssh:
            self._ssh.read()
        else:
            ssh = _ssh(settings)
            await self._close_ssh()
            self._ssh = ssh
        old, self._workers, self._settings = self._workers, workers, settings
        changed = {s for s, w in old.items() if s not in workers or workers[s].settings != w.settings}
        stopped = [task for source in changed if (task := self._running.pop(source, None))]
        for task in stopped:
            task.cancel()
        if stopped:
            await asyncio.wait(stopped)
        for source, worker in workers.items():
            if self._tasks and source not in self._running:
                self._begin(worker)

    async def check_once(self, timeout: float) -> list[Result]:  # noqa: ASYNC109 - not an error at its end: part of the results say so
        """The first whole round of every source: one result a check, silence for a source that was not done in time."""
        collected = _Collected()
        rounds = {source: asyncio.Event() for source in self._workers if source.kind is not SourceKind.CANARY}
        tasks = [asyncio.ensure_future(self._keep(self._workers[s], collected, first)) for s, first in rounds.items()]
        waits = [asyncio.ensure_future(event.wait()) for event in rounds.values()]
        try:
            if waits:
                await asyncio.wait(waits, timeout=timeout)
        finally:
            for task in (*tasks, *waits):
                task.cancel()
            await asyncio.gather(*tasks, *waits, return_exceptions=True)
            await self._close_ssh()
        for source, event in rounds.items():
            if not event.is_set():
                collected.result(Silence(CheckId(source, Kind.WATCH), f"not done in {timeout:g} s", self._clock.now()))
        return list(collected.results.values())

    # --- workers ------------------------------------------------------------------------------------------------------

    def _begin(self, worker: _Worker) -> None:
        assert self._tasks is not None
        keep = self._keep(worker, self._sink, asyncio.Event())
        self._running[worker.source] = self._tasks.create_task(keep, name=f"probe {worker.source}")

    async def _keep(self, worker: _Worker, sink: ProbeSink, first_round: asyncio.Event) -> None:
        """A worker that raises is a defect: it is reported, started again, and takes nobody with it."""
        while True:
            try:
                await worker.start(sink, first_round)
            except Exception as error:
                _log.exception("probe_worker_failed", source=str(worker.source))
                reason = f"a defect in the probe ended it, see the log: {type(error).__name__}"
                sink.result(Silence(CheckId(worker.source, Kind.WATCH), reason, self._clock.now()))
            await asyncio.sleep(_RESTART)

    def _plan(self, settings: Settings) -> dict[SourceId, _Worker]:
        """Those whose results count in this mode, with these kinds of check (spec S10–S12)."""
        counted = {source for plan in build(settings).clusters.values() for source in plan.sources}
        workers = (worker for cluster in settings.cluster for worker in self._cluster(settings, cluster))
        watched = {worker.source: worker for worker in workers if worker.source in counted}
        return watched | {source: self._canary(source) for source in build(settings).canaries}

    def _canary(self, source: SourceId) -> _Worker:
        return _Worker(source, (), lambda sink, first: canary.worker(source.name, sink, self._clock))

    def _cluster(self, settings: Settings, cluster: Cluster) -> Iterator[_Worker]:
        for node in cluster.node:
            checks = kinds.node_checks(settings, cluster, node)
            yield self._session(settings, SourceId(cluster.name, node.name), node, checks)
        for machine in cluster.machine:
            source = SourceId(cluster.name, machine.name, SourceKind.MACHINE)
            yield self._session(settings, source, machine, kinds.machine_checks(settings, cluster, machine))
        for entry in cluster.database:
            source = SourceId(cluster.name, entry.name, SourceKind.DATABASE)

            def ask(sink: ProbeSink, first: asyncio.Event, entry: Database = entry) -> Awaitable[None]:
                return database.worker(settings, cluster, entry, _FirstResult(sink, first), self._clock)

            yield _Worker(source, (entry, settings.detection), ask)
        if cluster.confirm:

            def send(sink: ProbeSink, first: asyncio.Event) -> Awaitable[None]:
                return confirm.worker(settings, cluster, _FirstResult(sink, first), self._clock)

            source = SourceId(cluster.name, "router", SourceKind.ROUTER)
            yield _Worker(source, (cluster.confirm, cluster.addresses, settings.app, settings.detection), send)

    def _session(self, settings: Settings, source: SourceId, place: Node | Machine, checks: Sequence[Check]) -> _Worker:
        target = None if place.local else Target.parse(place.ssh, settings.ssh.user)

        async def connect() -> Transport:
            if self._reach:
                return await self._reach(source)
            if target is None:
                return LocalTransport()
            assert self._ssh is not None
            return await self._ssh.connect(target)

        def start(sink: ProbeSink, first_round: asyncio.Event) -> Awaitable[None]:
            return Session(
                source,
                checks,
                connect,
                detection=settings.detection,
                ssh=settings.ssh,
                sink=sink,
                clock=self._clock,
                random=self._random,
                turns=self._turns,
                first_round=first_round,
                local=place.local,
            ).run()

        return _Worker(source, (place, settings.app, settings.detection, settings.ssh), start)

    async def _close_ssh(self) -> None:
        if self._ssh:
            await self._ssh.close()


def _ssh(settings: Settings) -> Ssh | None:
    """None where no source is reached over SSH: then keys and known hosts need not exist."""
    clusters = settings.cluster
    local = all(node.local for c in clusters for node in c.node) and all(m.local for c in clusters for m in c.machine)
    return None if local else Ssh(settings.ssh)


class _FirstResult:
    """A sink that tells when the first result has gone through."""

    def __init__(self, sink: ProbeSink, first: asyncio.Event) -> None:
        self._first = first
        self._to, self.heard, self.status = sink.result, sink.heard, sink.status

    def result(self, result: Result) -> None:
        self._to(result)
        self._first.set()


class _Collected:
    """A sink that keeps the first result of each check."""

    def __init__(self) -> None:
        self.results: dict[CheckId, Result] = {}

    def result(self, result: Result) -> None:
        self.results.setdefault(result.check, result)

    def heard(self, source: SourceId, at: float) -> None:
        """Only results count here."""

    def status(self, status: SourceStatus) -> None:
        """Only results count here."""
