"""The one loop that runs :func:`core.step.step` and its effects.

Owns the state, the heartbeats and the order of effects: *save, then publish the table, then tell*. Probes call the
sink methods, the control API calls :meth:`Engine.order`; all of it on one asyncio loop. A step is taken the moment its
input comes, so that nothing that matters waits behind heartbeats; effects are carried out one batch after the other.

A step that raises is a defect: it is told, and as a step is pure, the state is as if its input had never come. The
loop goes on, for the answers must.

An automatic change waits for the store no longer than :data:`SAVE_DEADLINE`: no client is sent to a dead cluster
because a disk is full or slow. Must not import dnsserver, probes or the console; :mod:`core.app` injects them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from core.clock import Clock
from core.detection.internal import stale_after
from core.errors import CommandRefused, PointsmanError
from core.hands.hand import Hand, Target
from core.hands.target import target
from core.latency import Latency
from core.model import (
    Event,
    EventName,
    Evidence,
    HandKind,
    Kind,
    Order,
    OrderResult,
    Result,
    Silence,
    SourceId,
    SourceStatus,
)
from core.recording.tape import Tape
from core.records import RecordTable
from core.renewals import Renewals
from core.saver import Saver
from core.shared import Document, Peers
from core.state import (
    CleanAnswer,
    Effect,
    Emit,
    Gaps,
    Publish,
    Published,
    Reload,
    Renewal,
    Reply,
    RouterTold,
    Save,
    State,
    Tell,
    Tick,
)
from core.step import Input, step
from core.switching.table import StandingKey
from core.world import World

TICK = 0.025
JOBS = 1000
"""Steps whose effects may wait: while the store is waited for, more become one."""
SAVE_DEADLINE = 0.05
ORDER_SAVE_DEADLINE = 5.0
EVENTS_KEPT = 1000


class Publisher(Protocol):
    """The DNS server as the engine sees it."""

    def publish(self, table: RecordTable) -> None: ...


_log = structlog.get_logger()
CleanCheck = Callable[[str, tuple[str, ...]], Coroutine[Any, Any, bool]]


@dataclass(slots=True)
class Job:
    """The effects of one step; whoever gave the order waits for ``published`` and then for ``saved``."""

    effects: tuple[Effect, ...]
    durable: bool
    published: asyncio.Future[asyncio.Future[None]] | None = None


class Engine:
    """Runs the state; implements :class:`core.probes.sink.ProbeSink`. Use from one asyncio loop; :meth:`run` until cancelled."""

    def __init__(
        self,
        state: State,
        saver: Saver,
        last_event_id: int,
        publisher: Publisher,
        tell: Callable[[Target], None],
        clean: CleanCheck,
        clock: Clock,
        log: Callable[[Event], None],
    ) -> None:
        self.state = state
        self.started_at = clock.now()
        self.saver = saver
        self.latencies: dict[str, Latency] = {}
        self.heard_at: dict[SourceId, float] = {}
        self.recent: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.version = 0
        self.last_event_id = last_event_id
        self._tape: Tape | None = None
        self._publisher = publisher
        self._tell_hands = tell
        self._published = state.table
        self._clean = clean
        self._clock = clock
        self._log = log
        # In the order of its instants, on the clock of the time that we listened.
        self._heard: dict[SourceId, float] = {}
        self._renewals = Renewals()
        self._defects: dict[str, str] = {}
        self._listened = 0.0
        self._result_at = 0.0
        self._ticked_at = clock.now()
        self._look_took = 0.0
        self._jobs: deque[Job] = deque()
        self._work = asyncio.Event()
        self._news = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    # --- what probes call ---

    def result(self, result: Result) -> None:
        if result.check.kind is Kind.CONFIRM:
            latency = self.latencies.setdefault(result.check.cluster, Latency())
            latency.note(self._clock.now(), result.took if isinstance(result, Evidence) else None)
        self._result_at = now = self._clock.now()
        if self._tape:
            self._tape.result(result, now)
        if result.check.source not in self._heard:  # from its first result on silence counts
            self._heard[result.check.source] = self._until(now)
            if self._tape:
                self._tape.heard(result.check.source)
        if not self._renewals.keep(result, self.state.clusters.get(result.check.cluster), now):
            self._take(result)
            if self._fell_silent(result) and now - self._ticked_at > 2 * self._look_took:
                self._look(now)

    def heard(self, source: SourceId, at: float) -> None:
        self._heard.pop(source, None)  # what is put in is the newest
        self._heard[source] = self._until(at)
        self.heard_at[source] = at
        if self._tape:
            self._tape.heard(source)

    def status(self, status: SourceStatus) -> None:
        self._take(status)

    # --- what those who are told call ---

    def confirmed(self, hand: Hand, target: Target) -> None:
        if hand.kind is HandKind.ROUTER:
            self._take(RouterTold(hand.cluster, hand.cluster in target.stopped, hand.address))

    # --- what other instances tell ---

    def hear(self, given: Peers | Document) -> None:
        self._take(given)

    # --- what the control API calls ---

    async def order(self, order: Order) -> OrderResult:
        """Carry an order out; raises CommandRefused. When this returns, DNS answers by it and it is on disk."""
        try:
            self.state, effects = step(self.state, order, self._clock.now())
        except Exception as error:
            self._defect(f"{order.action}", error)
            raise CommandRefused("not carried out: a defect of pointsman, see its log") from error
        revisions = tuple((name, self.state.revisions.get(name, 0)) for name in order.clusters)
        reply = next(effect for effect in effects if isinstance(effect, Reply))
        if reply.refused:
            raise CommandRefused(reply.refused, reply.revision)
        if self._tape:
            self._tape.given(order, self._clock.now())
        published: asyncio.Future[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self._add(Job(effects, durable=True, published=published))
        saved = await published
        try:
            await asyncio.wait_for(asyncio.shield(saved), ORDER_SAVE_DEADLINE)
        except (PointsmanError, TimeoutError) as error:
            reason = str(error) or f"the store has not answered for {ORDER_SAVE_DEADLINE:.0f} s"
            raise CommandRefused(f"carried out, but it will be lost at a restart: {reason}", reply.revision) from error
        return OrderResult(reply.said, self.state.table.serial, revisions)

    @contextmanager
    def recorded(self) -> Iterator[Tape]:
        """A recording of what comes in from now on. Raises CommandRefused while there is another."""
        if self._tape:
            raise CommandRefused("a recording is under way already")
        self._tape = Tape(self.state, self._heard, self._clock.now())
        try:
            yield self._tape
        finally:
            self._tape = None

    @property
    def waiting(self) -> int:
        """How many steps have effects that are not carried out yet."""
        return len(self._jobs)

    @property
    def trouble(self) -> tuple[str, ...]:
        """What is wrong with pointsman itself, one line each."""
        return (*filter(None, (self.saver.trouble, self._stopped())), *self._defects.values())

    def _stopped(self) -> str:
        """Not one result from anywhere for so long that every verdict is over its deadline: whoever asks has stopped."""
        world = self.state.world
        ago = self._clock.now() - max(self._result_at, self.started_at)
        if not any(plan.expected for plan in world.clusters.values()) or ago <= stale_after(world):
            return ""
        return f"the monitor has stopped: no result from any node or router for {ago:.0f} s"

    def reload(self, world: World) -> None:
        """New settings. Sessions may begin anew: who was heard until now has time to connect again, as at the start.

        Raises CommandRefused, and then nothing has changed here.
        """
        if not self._take(Reload(world)):
            raise CommandRefused("not reloaded: a defect of pointsman, see its log")
        quiet = {source for cluster in self.state.clusters.values() for source in cluster.quiet}
        self._heard = {source: at for source, at in self._heard.items() if source in quiet}
        self.tell(Event(EventName.RELOADED, self._clock.now(), serial=self.state.table.serial))

    def tell(self, event: Event) -> None:
        """One line of the history that no step has decided."""
        self._add(Job((Emit(event),), durable=False))

    async def news(self, seen: int, within: float) -> int:
        """Wait, at most ``within`` seconds, until something has happened since version ``seen``; the present version."""
        if self.version == seen:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), within)
        return self.version

    # --- the loop ---

    async def run(self) -> None:
        """Until cancelled; what was decided until then is carried out before it ends."""
        table = self.state.table
        started = Event(EventName.STARTED, self._clock.now(), serial=table.serial)
        self._add(Job((Save("table", table), Emit(started)), durable=True))
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self.saver.run(), name="engine saver")
            group.create_task(self._tick(), name="engine ticks")
            try:
                while True:
                    await self._work.wait()
                    self._work.clear()
                    await self._carry_out()
            finally:
                self._hand_over()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._look(self._clock.now())

    def _look(self, now: float) -> None:
        """At who is silent: once a tick, and when a router has fallen silent, for half of the time at the most."""
        self._listened = self._until(now)
        self._ticked_at = now
        if self._tape:
            self._tape.tick(now, self._listened, self._heard)
        if renewed := self._renewals.due(now):
            self._take(Renewal(renewed))
        self._take(Tick(Gaps(self._heard, self._listened)))
        self._look_took = self._clock.now() - now

    def _fell_silent(self, result: Result) -> bool:
        """Whether it is a router that has not answered, and did until then."""
        if not isinstance(result, Silence) or result.check.kind is not Kind.CONFIRM:
            return False
        cluster = self.state.clusters.get(result.check.cluster)
        found = cluster.checks.get(result.check) if cluster else None
        return found is not None and found.missed == 1

    def _until(self, now: float) -> float:
        """Seconds in which we have listened until then: a stall of our own counts as two ticks."""
        return self._listened + min(now - self._ticked_at, 2 * TICK)

    def _take(self, given: Input) -> bool:
        now = self._clock.now()
        if self._tape:
            self._tape.given(given, now)
        try:
            self.state, effects = step(self.state, given, now)
        except Exception as error:
            self._defect(type(given).__name__, error)
            return False
        if effects:
            self._add(Job(effects, durable=False))
        return True

    def _defect(self, what: str, error: Exception) -> None:
        """Told once for each kind of input, for ticks come 40 times a second."""
        if what not in self._defects:
            _log.error("step_failed", input=what, exc_info=error)
        self._defects[what] = f"a defect: the step of {what} failed ({type(error).__name__}: {error}); see the log"

    def _add(self, job: Job) -> None:
        self._jobs.append(job)
        self._work.set()
        if len(self._jobs) > JOBS:
            self._melt()

    def _melt(self) -> None:
        """One job instead of many: the store and the log take what is theirs at once, and of the tables the newest is published.
        Nothing is lost by it, and nothing comes later; whoever gave an order goes on waiting."""
        jobs = tuple(self._jobs)
        self._hand_over()
        tables = [effect for job in jobs for effect in job.effects if isinstance(effect, Publish)]
        if tables:
            erased = tuple(dict.fromkeys(key for table in tables for key in table.erased))
            self._jobs.append(Job((Publish(tables[-1].table, erased),), durable=any(job.durable for job in jobs)))
        self._jobs.extend(Job((), durable=True, published=job.published) for job in jobs if job.published)

    async def _carry_out(self) -> None:
        jobs = list(self._jobs)
        saved = self._hand_over()
        if any(isinstance(effect, Publish) for job in jobs for effect in job.effects):
            await asyncio.wait({saved}, timeout=SAVE_DEADLINE)
            self._publish([effect for job in jobs for effect in job.effects if isinstance(effect, Publish)])
        elif any(isinstance(effect, Tell) for job in jobs for effect in job.effects):
            self._tell_hands(target(self.state))
        for job in jobs:
            if job.published and not job.published.done():
                job.published.set_result(saved)
        self.version += 1
        self._news.set()
        self._news = asyncio.Event()

    def _hand_over(self) -> asyncio.Future[None]:
        """Everything decided so far goes to the store and the log; the future is done when it is on disk."""
        jobs, self._jobs = self._jobs, deque()
        effects = [effect for job in jobs for effect in job.effects]
        events = []
        for effect in effects:
            if isinstance(effect, Emit):
                self.last_event_id += 1
                event = replace(effect.event, id=self.last_event_id)
                events.append(event)
                self.recent.append(event)
                if self._tape:
                    self._tape.event(event)
                self._log(event)
        saves = [effect for effect in effects if isinstance(effect, Save)]
        return self.saver.put(saves, events, any(job.durable for job in jobs))

    def _publish(self, published: list[Publish]) -> None:
        """The newest table goes to DNS; what it no longer answers is asked for from outside."""
        table = published[-1].table
        self._publisher.publish(table)
        erased = tuple({key: None for effect in published for key in effect.erased if _is_out(table, key)})
        before, self._published = self._published, table
        self._take(Published(before, table, erased))
        self._tell_hands(target(self.state))
        assert self._group is not None
        for domain, cluster in erased:
            self._group.create_task(self._ask(domain, cluster, table.serial), name=f"clean answer {domain} {cluster}")

    async def _ask(self, domain: str, cluster: str, serial: int) -> None:
        plan = self.state.world.clusters.get(cluster)
        try:
            if plan and await self._clean(domain, plan.cluster.places):
                self._take(CleanAnswer(domain, cluster, serial))
        except Exception as error:
            self._defect("the question to our own DNS", error)


def _is_out(table: RecordTable, key: StandingKey) -> bool:
    domain, cluster = key
    app = table.apps.get(domain)
    return app is None or all(record.cluster != cluster for record in app.records)
