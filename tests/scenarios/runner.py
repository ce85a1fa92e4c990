"""Runs a scenario file: a timeline of events in, decisions and answers out, in simulated time.

A file is settings in TOML over those of ``base.toml``, a line ``---``, then lines ``TIME WORD …`` in order of time (seconds), and comments (#).
The runner keeps the truth about every check and reports it every ``interval`` and at each change, as probes would;
sources beat at every tick unless muted.

    1.0 break a/n1/routes: no rules listed     the check fails from now on; ``mend`` undoes it, ``hush`` makes it silent
    1.0 pod a/n1 default/web-1 dead|running|gone
    1.0 mute a   ·  mute a/n1  ·  unmute a     nothing is heard of a cluster or a source
    1.0 queue a  ·  serve a                    a cluster's nodes wait for their turn to be connected to: nothing came of it yet
    1.0 poll b                                 its nodes are asked once a second, there is no line per tick
    1.0 rename a/n1/routes new                 the check is told under another name from now on
    1.0 stall 0.5                              this process itself runs nothing for so long
    1.0 order drain a: why  ·  for 5 order …   (+force) an operator's order; ``refused WORDS`` right after expects a refusal
    1.0 restart                                kill -9 and start: only what was saved is left
    1.0 reload KEY = VALUE  ·  without a/n1    other settings, in TOML; a node less
    2.0 answers svc1.net.: b c                 what DNS answers now, by cluster; ``~`` before the list for fail-open
    2.0 share svc1.net. a: 25
    2.0 ttl svc1.net.: 5
    2.0 phase svc1.net. a: erased
    2.0 verdict a: fail fail                   internal and external
    2.0 weight a default/web-1: 0
    2.0 events a: fault_seen … address_erased  these events of the cluster happened since the last ``events``, in this order
    2.0 never a: address_restored              none of these since the last ``events``
    2.0 suspect: yes | no
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.model import (
    Action,
    CheckId,
    Event,
    Evidence,
    Kind,
    Order,
    PodReport,
    Silence,
    SourceId,
    SourceKind,
    SourceStatus,
    Verdict,
)
from core.records import RecordTable
from core.restore import encode, restore
from core.settings import Settings
from core.state import CleanAnswer, Emit, Publish, Published, Reload, Reply, Save, State, Tick
from core.step import Input, step
from core.switching.standing import Standing
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
    reply: Reply | None = None
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
        return source.kind is not SourceKind.NODE or self.now >= self.polled.get(source.cluster, 0.0)

    def report(self, check: CheckId) -> None:
        truth = self.truth[check]
        if self.is_queued(check.source):
            return
        if self.is_muted(check.source):
            if check.source.kind in {SourceKind.ROUTER, SourceKind.DATABASE}:
                self.feed(Silence(check, "no answer in 0.5 s", self.now, 0.5))
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
                    self.heard[source] = self.listened
            self.polled = {name: at + 1.0 if self.now >= at else at for name, at in self.polled.items()}
            if self.now - self.reported >= interval:
                self.reported = self.now
                for check in self.truth:
                    self.report(check)
            self.feed(Tick({source: self.listened - at for source, at in self.heard.items()}))

    def changed(self, check: CheckId, outcome: str, said: str) -> None:
        self.truth[check] = Truth(outcome, said or "fine")
        self.report(check)

    def check(self, text: str) -> CheckId:
        cluster, source, kind = text.split("/")
        found = [c for c in self.truth if (c.cluster, c.source.name, c.kind) == (cluster, source, kind)]
        assert found, f"no check {text}"
        return found[0]


def run_file(path: Path) -> None:
    header, _, timeline = ("\n" + path.read_text()).partition("\n---\n")
    base = tomllib.loads(path.with_name("base.toml").read_text())
    raw = _merged(base, tomllib.loads(header))
    run = Run(Settings(**raw), raw)
    for number, line in enumerate(timeline.splitlines(), header.count("\n") + 2):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        at, word, *rest = text.split(maxsplit=2)
        run.advance(START + float(at))
        try:
            WORDS[word](run, rest[0] if rest else "")
        except AssertionError as failed:
            events = "\n".join(
                f"  {e.at - START:7.3f} {e.name} {e.cluster} {e.app} {e.cause} {e.evidence}" for e in run.history[-25:]
            )
            raise AssertionError(f"{path.name}:{number}: {text}\n{failed}\nlast events:\n{events}") from failed


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merged(base[key], over[key]) for key in base.keys() & over.keys() if isinstance(over[key], dict)}
    return {**base, **over, **both}


def _split(text: str) -> tuple[str, str]:
    head, _, tail = text.partition(": ")
    return head.strip().removesuffix(":"), tail.strip()


def _truth(outcome: str) -> Any:
    def change(run: Run, text: str) -> None:
        check, said = _split(text)
        run.changed(run.check(check), outcome, said)

    return change


def _pod(run: Run, text: str) -> None:
    source, pod, what = text.split()
    cluster, node = source.split("/")
    where = SourceId(cluster, node, SourceKind.NODE)
    if what == "gone":
        run.pods[where].pop(pod, None)
    else:
        run.pods[where][pod] = what
    run.report(CheckId(where, Kind.CONTAINERS))


def _stall(run: Run, text: str) -> None:
    """Nothing runs: the wall goes on, what came in meanwhile is read first, and only one step was listened to."""
    run.now += float(text)
    run.listened += 2 * TICK
    for source in run.heard:
        run.heard[source] = run.listened


def _order(run: Run, text: str, until: float | None = None) -> None:
    head, why = _split(text)
    action, *clusters = head.split()
    force = "+force" in clusters
    names = tuple(name for name in clusters if name != "+force")
    expected = tuple((name.split("@")[0], int(name.split("@")[1])) for name in names if "@" in name)
    order = Order(Action(action), tuple(n.split("@")[0] for n in names), "alice", why, until, expected, force=force)
    run.reply = None
    run.feed(order)


def _refused(run: Run, text: str) -> None:
    assert run.reply is not None
    assert run.reply.refused, f"was carried out: {run.reply.said}"
    assert text in run.reply.refused, run.reply.refused


def _restart(run: Run, text: str) -> None:
    before = run.state.table
    run.boot()
    assert dict(run.state.table.apps) == dict(before.apps), "a restart changed the answers"
    assert run.state.table.serial > before.serial, "a serial may be used twice"


def _poll(run: Run, text: str) -> None:
    run.polled[text] = run.now
    for node in run.world.clusters[text].nodes:
        run.feed(SourceStatus(node, "poll", True))


def _rename(run: Run, text: str) -> None:
    where, name = text.split()
    old = run.check(where)
    run.truth[CheckId(old.source, old.kind, name)] = Truth()
    del run.truth[old]


def _reload(run: Run, text: str) -> None:
    if text.startswith("without "):
        cluster, node = text.removeprefix("without ").split("/")
        for each in run.raw["cluster"]:
            if each["name"] == cluster:
                each["node"] = [n for n in each["node"] if n["name"] != node]
    else:
        run.raw = _merged(run.raw, tomllib.loads(text))
    run.reload(Settings(**run.raw))


def _answers(run: Run, text: str) -> None:
    domain, wanted = _split(text)
    app = run.state.table.apps[domain]
    found = ("~ " if app.fail_open else "") + " ".join(record.cluster for record in app.records)
    assert found.split() == wanted.split(), f"answers {found or 'nothing'}"


def _share(run: Run, text: str) -> None:
    where, wanted = _split(text)
    domain, cluster = where.split()
    shares = {record.cluster: record.share for record in run.state.table.apps[domain].records}
    assert shares.get(cluster, 0) == int(wanted), f"shares {shares}"


def _ttl(run: Run, text: str) -> None:
    domain, wanted = _split(text)
    assert run.state.table.apps[domain].ttl == int(wanted), f"TTL {run.state.table.apps[domain].ttl}"


def _phase(run: Run, text: str) -> None:
    where, wanted = _split(text)
    domain, cluster = where.split()
    standing = run.state.standings.get((domain, cluster), Standing())
    assert standing.phase == wanted, standing


def _verdict(run: Run, text: str) -> None:
    cluster, wanted = _split(text)
    found = run.state.assessments[cluster]
    assert [found.internal, found.external] == wanted.split(), found


def _weight(run: Run, text: str) -> None:
    where, wanted = _split(text)
    cluster, pod = where.split()
    found = [p for p in run.state.clusters[cluster].pods.values() if p.pod == pod]
    weights = {0 if p.check.verdict is Verdict.FAIL else 100 for p in found}
    assert weights == {int(wanted)}, found


def _events(run: Run, text: str) -> None:
    cluster, wanted = _split(text)
    names = [e.name for e in run.history[run.seen.get(cluster, 0) :] if e.cluster == cluster or cluster == "*"]
    run.seen[cluster] = len(run.history)
    left = iter([str(name) for name in names])
    missing = [name for name in wanted.split() if name not in left]
    assert not missing, f"happened: {' '.join(names)}"
    assert wanted or not names, f"happened: {' '.join(names)}"


def _never(run: Run, text: str) -> None:
    cluster, unwanted = _split(text)
    names = {str(e.name) for e in run.history[run.seen.get(cluster, 0) :] if e.cluster == cluster}
    assert not names & {*unwanted.split()}, f"happened: {names}"


def _suspect(run: Run, text: str) -> None:
    assert bool(run.state.suspicion) == (text == "yes"), run.state.suspicion


WORDS: dict[str, Any] = {
    "break": _truth("bad"),
    "mend": _truth("good"),
    "hush": _truth("silent"),
    "pod": _pod,
    "mute": lambda run, text: run.muted.add(text),
    "unmute": lambda run, text: run.muted.discard(text),
    "queue": lambda run, text: run.queued.add(text),
    "serve": lambda run, text: run.queued.discard(text),
    "poll": _poll,
    "rename": _rename,
    "reload": _reload,
    "stall": _stall,
    "order": _order,
    "for": lambda run, text: _order(run, text.partition(" order ")[2], run.now + float(text.split()[0])),
    "refused": _refused,
    "restart": _restart,
    "answers": _answers,
    "share": _share,
    "ttl": _ttl,
    "phase": _phase,
    "verdict": _verdict,
    "weight": _weight,
    "events": _events,
    "never": _never,
    "suspect:": _suspect,
    "nothing": lambda run, text: None,
}
