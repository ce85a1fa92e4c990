"""The internal detector of one cluster (spec S4–S9, S25): every result it has, check by check and pod by pod. Pure.

It keeps what was found and judges nothing beyond the single check; :mod:`core.detection.external` decides whether the
cluster is abnormal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from core.detection.hysteresis import CheckState, Outcome, absorb, age, ages_at, renewed
from core.detection.pods import PodKey, Pods, PodState, absorb_reports
from core.detection.rhythm import STEADY, Rhythm
from core.model import CheckId, Evidence, Kind, Result, Silence, SourceId, SourceStatus, Verdict
from core.settings import PodRule
from core.world import World

ALIKE = 0.01
"""Seconds by which a router's answer time may differ and be the same."""


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What is known of one cluster. ``waiting``: nothing is known of it yet; ``quiet``: no line for a few ticks, and since
    when; ``gone``: quiet for longer than one lost packet takes; ``unknown``: quiet for the deadline; ``overdue``: its router is
    silent even for one that is silent alone; ``met``: since when its router is known. ``rhythms``: the history of those that had gaps; ``whole``: of all at once. ``settled``: of the
    checks that are well in all they speak for, the newest result that was looked at; ``ages_at``: no check grows old before."""

    checks: Mapping[CheckId, CheckState] = field(default_factory=dict)
    pods: Mapping[PodKey, PodState] = field(default_factory=dict)
    status: Mapping[SourceId, SourceStatus] = field(default_factory=dict)
    answered: frozenset[tuple[SourceId, Kind]] = field(default_factory=frozenset)
    waiting: frozenset[SourceId] = field(default_factory=frozenset)
    quiet: Mapping[SourceId, float] = field(default_factory=dict)
    gone: frozenset[SourceId] = field(default_factory=frozenset)
    unknown: frozenset[SourceId] = field(default_factory=frozenset)
    overdue: bool = False
    met: float | None = None
    rhythms: Mapping[SourceId, Rhythm] = field(default_factory=dict)
    whole: Rhythm = STEADY
    settled: Mapping[CheckId, Evidence] = field(default_factory=dict)
    ages_at: float = 0.0


def take(world: World, state: ClusterState, result: Result) -> ClusterState:
    """The cluster's state after one result."""
    check = result.check
    confirm = world.clusters[check.cluster].cluster.confirm
    detection = world.settings.detection
    fall, rise = detection.fall, detection.rise
    if check.kind is Kind.CONFIRM and confirm:
        fall, rise = confirm.fall, confirm.rise
    before = state.checks.get(check, CheckState())
    result = _unless_never_well(result, before)
    after = absorb(before, result, fall, rise)
    answered = state.answered
    if (check.source, check.kind) not in answered:
        answered = answered | {(check.source, check.kind)}
    pods = state.pods
    if isinstance(result, Evidence) and check.kind is Kind.CONTAINERS and result.healthy:
        rules = _rules(world, check.cluster)
        pods = absorb_reports(pods, result, rules, fall, rise)
    return replace(
        state,
        checks={**state.checks, check: after},
        answered=answered,
        pods=pods,
        settled=_settled(state, result, after, pods),
        ages_at=state.ages_at if after.outcome is Outcome.GOOD and before.at else 0.0,
    )


def _settled(
    state: ClusterState, result: Result, after: CheckState, pods: Mapping[PodKey, PodState]
) -> Mapping[CheckId, Evidence]:
    check = result.check
    well = isinstance(result, Evidence) and _is_well(after)
    if well and check.kind is Kind.CONTAINERS:
        well = all(_is_well(pod.check) for key, pod in pods.items() if key[0] == check.source)
    if well and isinstance(result, Evidence):
        return {**state.settled, check: result}
    return {c: known for c, known in state.settled.items() if c != check} if check in state.settled else state.settled


def _is_well(found: CheckState) -> bool:
    return found.verdict is Verdict.OK and found.outcome is Outcome.GOOD


def is_known(state: ClusterState, result: Result) -> bool:
    """Whether a result tells nothing but that all is as it was: it is well, and says what the last one said."""
    if not isinstance(result, Evidence) or not result.healthy:
        return False
    last = state.settled.get(result.check)
    if last is None or last.said != result.said or last.pods != result.pods:
        return False
    # A router may be silent for as long as its answers take: that is looked at.
    return result.check.kind is not Kind.CONFIRM or abs(last.took - result.took) < ALIKE


def refresh(state: ClusterState, results: Iterable[Evidence]) -> ClusterState:
    """The cluster's state after results that were known; those that no longer are (a check grew old meanwhile) tell nothing."""
    new = {r.check: renewed(state.checks[r.check], r) for r in results if is_known(state, r)}
    return replace(state, checks={**state.checks, **new}) if new else state


def _unless_never_well(result: Result, before: CheckState) -> Result:
    """A routing table that never held what is wanted is a mistake in the settings, and no outage (spec S5)."""
    if not isinstance(result, Evidence) or result.healthy or result.check.kind is not Kind.ROUTES or before.well_at:
        return result
    reason = f"{result.said}; it never was otherwise: see this node's routes and routes_require"
    return Silence(result.check, reason, result.at, result.took)


def grow_old(world: World, state: ClusterState, now: float) -> ClusterState:
    """Checks whose silence has lasted the deadline, or that no longer report, become UNKNOWN."""
    deadline, limit = world.settings.detection.silence.deadline, stale_after(world)
    changed = {}
    for check, before in state.checks.items():
        if check.kind is Kind.CONFIRM or before.verdict is not Verdict.OK or check.kind is Kind.WATCH:
            continue
        after = age(before, now, deadline, limit)
        if after is not before:
            changed[check] = after
    asked = (found for check, found in state.checks.items() if check.kind is not Kind.WATCH)
    return replace(
        state,
        checks={**state.checks, **changed} if changed else state.checks,
        settled={c: last for c, last in state.settled.items() if c not in changed} if changed else state.settled,
        ages_at=min((ages_at(found, deadline, limit) for found in asked), default=now + limit),
    )


def forgotten(world: World, state: ClusterState, now: float, since: float) -> list[CheckId]:
    """Checks that nobody asks any more (renamed, a machine's domain that was removed): they have neither answered nor
    been silent for long, while others of their kind at their source answer. ``since``: none is old before.
    """
    limit = stale_after(world)
    old = [check for check, found in state.checks.items() if now - max(found.at, since) >= limit]
    if not old:
        return []
    asked = {
        (check.source, check.kind)
        for check, found in state.checks.items()
        if found.outcome is not Outcome.SILENT and now - found.at < limit
    }
    return [check for check in old if (check.source, check.kind) in asked]


def known_pods(state: ClusterState, nodes: tuple[SourceId, ...]) -> Pods:
    """The pods, and whether every node's list of containers is fresh, so that a pod in none of them is missing."""
    lists = [state.checks.get(CheckId(node, Kind.CONTAINERS)) for node in nodes]
    complete = bool(lists) and not (state.quiet.keys() & nodes or state.waiting & {*nodes})
    complete = complete and all(
        found and found.outcome is Outcome.GOOD and found.verdict is Verdict.OK for found in lists
    )
    at = max((found.at for found in lists if found), default=0.0)
    return Pods(state.pods.values(), complete, state.quiet.keys(), at)


def stale_after(world: World) -> float:
    detection = world.settings.detection
    return 3 * max(detection.interval, detection.poll) + detection.timeout + detection.silence.deadline


def _rules(world: World, cluster: str) -> list[PodRule]:
    return [rule for app in world.clusters[cluster].apps for rule in world.rules[app.domain]]
