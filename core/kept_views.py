"""The views of a cluster's checks, sources and pods, of which only those are made anew that have changed.

Of 10,000 nodes with six checks each hardly any says something new in half a second; to make 100,000 views all the same takes half
a second itself, in which nothing is decided. What is kept is compared by identity, for everything in a state is immutable. Called by
:mod:`core.views` alone; no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from core.detection.hysteresis import CheckState, Outcome
from core.detection.internal import ClusterState
from core.detection.pods import PodState
from core.model import INTERNAL_KINDS, CheckId, Kind, SourceId, SourceStatus, Verdict
from core.snapshot import CheckView, PodView, SourceView
from core.world import ClusterPlan, World, matches

NOTHING = ClusterState()
_INTERNAL = {str(kind) for kind in INTERNAL_KINDS}


@dataclass(slots=True)
class _Source:
    """One source: where its checks stand among those of the cluster, by kind and name, and what its view was made from."""

    places: list[int]
    watch: int | None
    checks: tuple[CheckView, ...] = ()
    status: SourceStatus | None = None
    silent: bool = False
    view: SourceView | None = None


@dataclass(slots=True)
class Kept:
    """One cluster. :meth:`look` first, then whatever is asked for is that of the state looked at."""

    plan: ClusterPlan
    world: World
    found: ClusterState = NOTHING
    internal: list[CheckState] = field(default_factory=list)
    external: list[CheckState] = field(default_factory=list)
    pods: tuple[PodView, ...] = ()
    bad_pods: list[PodState] = field(default_factory=list)
    weighed: tuple[PodView, ...] = ()
    weighed_of: tuple[object, ...] = ()
    _ids: list[CheckId] = field(default_factory=list)
    _states: list[CheckState] = field(default_factory=list)
    _sources: dict[SourceId, _Source] = field(default_factory=dict)
    _owners: list[SourceId] = field(default_factory=list)
    _stale: set[SourceId] = field(default_factory=set)

    def look(self, found: ClusterState) -> None:
        if found.pods is not self.found.pods:
            self.pods = tuple(_pod(self.world, self.plan, pod) for pod in found.pods.values())
            self.bad_pods = [pod for pod in found.pods.values() if pod.check.verdict is not Verdict.OK]
        if found.checks is not self.found.checks:
            self._look_at_checks(found)
        self.found = found

    def _look_at_checks(self, found: ClusterState) -> None:
        ids, states = list(found.checks), list(found.checks.values())
        if ids != self._ids:
            self._ids, self._owners = ids, [check.source for check in ids]
            self._sources = dict(self._placed())
            self._stale = {*self._owners}
        else:
            old = self._states
            self._stale |= {self._owners[i] for i, state in enumerate(states) if state is not old[i]}
        self._states = states
        kinds = [check.kind._value_ for check in ids]
        self.internal = [state for kind, state in zip(kinds, states, strict=True) if kind in _INTERNAL]
        self.external = [state for kind, state in zip(kinds, states, strict=True) if kind == "confirm"]

    def _placed(self) -> Iterator[tuple[SourceId, _Source]]:
        places: dict[SourceId, list[int]] = {}
        for place in sorted(range(len(self._ids)), key=lambda i: (self._ids[i].kind, self._ids[i].name)):
            places.setdefault(self._owners[place], []).append(place)
        for source, own in places.items():
            watch = next((place for place in own if self._ids[place].kind is Kind.WATCH), None)
            yield source, _Source([place for place in own if place != watch], watch)

    def source(self, source: SourceId, heard_at: float) -> SourceView:
        kept = self._sources.get(source)
        if kept is None:
            kept = self._sources[source] = _Source([], None)
        status, silent, stale = self.found.status.get(source), source in self.found.unknown, source in self._stale
        same = not stale and status is kept.status and silent is kept.silent
        if same and (view := kept.view):
            if view.heard_at != heard_at:  # written out: `replace` takes three times as long, and there are thousands
                kept.view = SourceView(
                    view.name,
                    view.kind,
                    view.verdict,
                    heard_at,
                    view.mode,
                    view.detail,
                    view.event_driven,
                    view.checks,
                    view.tick,
                    view.periods,
                    view.late,
                    view.cost,
                )
            return kept.view or view
        if not same:
            kept.checks = tuple(_check(self._ids[place], self._states[place], silent) for place in kept.places)
            kept.status, kept.silent = status, silent
            self._stale.discard(source)
        kept.view = self._made(source, kept, heard_at)
        return kept.view

    def _made(self, source: SourceId, kept: _Source, heard_at: float) -> SourceView:
        status, silent = kept.status, kept.silent
        verdicts = {check.verdict for check in kept.checks}
        verdict = next((v for v in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.OK) if v in verdicts), Verdict.UNKNOWN)
        detail = status.detail if status else ""
        watch = None if kept.watch is None else self._states[kept.watch]
        if silent and watch and watch.outcome is Outcome.SILENT:
            detail = watch.said
        return SourceView(
            source.name,
            source.kind,
            Verdict.UNKNOWN if silent and verdict is Verdict.OK else verdict,
            heard_at,
            status.mode if status else "",
            detail,
            status.event_driven if status else (),
            kept.checks,
            status.tick if status else None,
            status.periods if status else (),
            status.late if status else None,
            status.cost if status else None,
        )

    def checks(self) -> Iterator[tuple[CheckId, CheckState]]:
        return zip(self._ids, self._states, strict=True)

    def fails(self) -> int:
        """The longest run of results that are not good and have not flipped a verdict yet."""
        return max((s.run for s in self._states if s.outcome is not Outcome.GOOD and _is_unflipped(s)), default=0)


def _is_unflipped(found: CheckState) -> bool:
    return found.verdict is Verdict.OK and found.outcome in {Outcome.BAD, Outcome.SILENT}


def bad(checks: Sequence[CheckState]) -> int:
    """How many of them are not well."""
    return sum(check.verdict is not Verdict.OK for check in checks)


def _check(check: CheckId, state: CheckState, silent: bool) -> CheckView:
    verdict = Verdict.UNKNOWN if silent and state.verdict is Verdict.OK else state.verdict
    return CheckView(check.kind, check.name, verdict, state.said, state.at, state.took, state.since, state.run)


def _pod(world: World, plan: ClusterPlan, pod: PodState) -> PodView:
    names = tuple(app.domain for app in plan.apps if any(matches(rule, pod.pod) for rule in world.rules[app.domain]))
    weight = 0 if pod.check.verdict is Verdict.FAIL else 100
    return PodView(pod.pod, pod.node.name, names, pod.check.verdict, weight, pod.check.said, pod.check.since)
