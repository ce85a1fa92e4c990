"""The engine's part and the probes', played in simulated time, for the scenario files of :mod:`tests.scenarios.timeline`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.detection.internal import is_known
from core.model import (
    CheckId,
    Event,
    Evidence,
    Kind,
    PodReport,
    Silence,
    SourceId,
    SourceKind,
)
from core.records import RecordTable
from core.restore import encode, restore
from core.settings import Settings
from core.shared import Document, Sight
from core.state import CleanAnswer, Emit, Gaps, Publish, Published, Reload, Renewal, Reply, Save, State, Tick
from core.step import Input, step
from core.world import World, build

TICK = 0.025
START = 1_000_000.0


@dataclass
class Truth:
    """What one check would say now."""

    outcome: str = "good"
    said: str = "fine"


@dataclass
class Run:
    """The engine's part, played in simulated time."""

    settings: Settings
    raw: dict[str, Any] = field(default_factory=dict)
    world: World = field(init=False)
    state: State = field(init=False)
    now: float = START
    listened: float = 0.0
    saved: dict[str, bytes] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    truth: dict[CheckId, Truth] = field(default_factory=dict)
    pods: dict[SourceId, dict[str, str]] = field(default_factory=dict)
    muted: set[str] = field(default_factory=set)
    queued: set[str] = field(default_factory=set)
    polled: dict[str, float] = field(default_factory=dict)
    heard: dict[SourceId, float] = field(default_factory=dict)
    reported: float = 0.0
    flickers: dict[str, tuple[float, float]] = field(default_factory=dict)
    canaries: bool = False
    sights: dict[str, Sight] = field(default_factory=dict)
    document: Document = field(default_factory=lambda: Document(0))
    reply: Reply | None = None
    together: bool = False
    """Whether results that say what is known are kept together, and gaps worked out when they are asked for, as the engine does."""
    known: dict[CheckId, Evidence] = field(default_factory=dict)
    answered: RecordTable = field(init=False)

    def __post_init__(self) -> None:
        self.world = build(self.settings)
        self.boot()
        for plan in self.world.clusters.values():
            for source, kinds in plan.expected.items():
                for kind in kinds:
                    self.truth[CheckId(source, kind)] = Truth()
            for number, node in enumerate(plan.nodes, 1):
                self.pods[node] = {f"default/{app.domain.split('.')[0]}-{number}": "running" for app in plan.apps}

    def boot(self) -> None:
        self.state = restore(self.world, self.saved, self.now)
        self.answered = self.state.table
        self.saved["table"] = encode(self.state.table)
        self.listened, self.heard, self.reported = 0.0, {}, 0.0

    def reload(self, settings: Settings) -> None:
        self.settings, self.world = settings, build(settings)
        self.feed(Reload(self.world))
        quiet = {source for cluster in self.state.clusters.values() for source in cluster.quiet}
        self.heard = {source: at for source, at in self.heard.items() if source in quiet}
        wanted = {
            (source, kind)
            for plan in self.world.clusters.values()
            for source, kinds in plan.expected.items()
            for kind in kinds
        }
        known = {(check.source, check.kind) for check in self.truth}
        self.truth = {check: truth for check, truth in self.truth.items() if (check.source, check.kind) in wanted}
        self.truth |= {CheckId(source, kind): Truth() for source, kind in wanted - known}

    def feed(self, given: Input) -> None:
        if isinstance(given, Evidence | Silence):
            self.heard.setdefault(given.check.source, self.listened)
            here = self.state.clusters.get(given.check.cluster)
            if self.together and here and isinstance(given, Evidence) and is_known(here, given):
                self.known[given.check] = given
                return
            self.known.pop(given.check, None)
        self.state, effects = step(self.state, given, self.now)
        for effect in effects:
            match effect:
                case Save(key, None):
                    self.saved.pop(key, None)
                case Save(key, value):
                    self.saved[key] = encode(value)
        for effect in effects:
            match effect:
                case Emit(event):
                    self.history.append(event)
                case Publish(table, erased):
                    before, self.answered = self.answered, table
                    self.feed(Published(before, table, erased))
                    for domain, cluster in erased:
                        self.feed(CleanAnswer(domain, cluster, table.serial))
                case Reply():
                    self.reply = effect

    def is_muted(self, source: SourceId) -> bool:
        return source.cluster in self.muted or str(source) in self.muted

    def is_queued(self, source: SourceId) -> bool:
        return source.cluster in self.queued and source.kind is SourceKind.NODE

    def beats(self, source: SourceId) -> bool:
        if self.is_muted(source) or self.is_queued(source):
            return False
        length, period = self.flickers.get(source.cluster, (0.0, 1.0))
        if (self.now - START) % period < length:
            return False
        return source.kind is not SourceKind.NODE or self.now >= self.polled.get(source.cluster, 0.0)

    def report(self, check: CheckId) -> None:
        truth = self.truth[check]
        if self.is_queued(check.source):
            return
        if self.is_muted(check.source):
            if check.source.kind in {SourceKind.ROUTER, SourceKind.DATABASE}:
                self.feed(Silence(check, "no answer in 0.4 s", self.now, 0.4))
            elif check.source not in self.heard:
                self.feed(Silence(CheckId(check.source, Kind.WATCH), "cannot connect", self.now, 0.5))
            return
        if truth.outcome == "silent":
            self.feed(Silence(check, truth.said, self.now))
            return
        pods = tuple(
            PodReport(
                pod,
                "main",
                state == "running",
                f"pod {pod} container main is {'Running' if state == 'running' else 'Exited (137)'}",
            )
            for pod, state in self.pods.get(check.source, {}).items()
            if check.kind is Kind.CONTAINERS
        )
        self.feed(Evidence(check, truth.outcome == "good", truth.said, self.now, 0.01, None, pods))

    def advance(self, until: float) -> None:
        interval = self.settings.detection.interval
        while self.now < until - 1e-9:
            self.now = min(until, self.now + TICK)
            self.listened += TICK
            for source in {check.source for check in self.truth}:
                if self.beats(source):
                    self.heard.pop(source, None)
                    self.heard[source] = self.listened
            if self.canaries:
                self.heard |= dict.fromkeys(self.world.canaries, self.listened)
            self.polled = {name: at + 1.0 if self.now >= at else at for name, at in self.polled.items()}
            if self.now - self.reported >= interval:
                self.reported = self.now
                for check in self.truth:
                    self.report(check)
            if self.together:
                known, self.known = self.known, {}
                self.feed(Renewal(tuple(known.values())))
                self.feed(Tick(Gaps(dict(self.heard), self.listened)))
            else:
                self.feed(Tick({source: self.listened - at for source, at in self.heard.items()}))

    def changed(self, check: CheckId, outcome: str, said: str) -> None:
        self.truth[check] = Truth(outcome, said or "fine")
        self.report(check)

    def check(self, text: str) -> CheckId:
        cluster, source, kind = text.split("/")
        found = [c for c in self.truth if (c.cluster, c.source.name, c.kind) == (cluster, source, kind)]
        assert found, f"no check {text}"
        return found[0]
