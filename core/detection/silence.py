"""Who is quiet (spec S25): how long each source has not been heard, measured in time that we were listening. Pure.

A source is *late* after one and a half of its own periods, *quiet* after ``detection.silence.ticks`` of them, and
*unknown* after ``detection.silence.deadline`` on top of that. A router is quiet when its answer is overdue: an interval, two ticks
and twice its usual round trip. ``gaps`` count only the time in which this process ran: if it was stalled itself,
nobody was silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.detection.internal import ClusterState
from core.model import CheckId, Kind, SourceId, SourceKind
from core.world import ClusterPlan, World

NEVER = float("inf")


def listen(
    world: World,
    plan: ClusterPlan,
    state: ClusterState,
    gaps: Mapping[SourceId, float],
    *,
    first_round: bool,
    now: float,
) -> ClusterState:
    """The cluster's state with who is quiet and who is unknown now; the same object when nothing changed.

    During the first round those who have never been heard are not quiet yet: they are still being connected to.
    """
    deadline = world.settings.detection.silence.deadline
    quiet, unknown, longest = set(), set(), 0.0
    for source in plan.sources:
        if source.kind is SourceKind.DATABASE or (first_round and source not in gaps):
            continue
        gap = gaps.get(source, NEVER)
        if gap > _quiet_after(world, plan, state, source):
            quiet.add(source)
            longest = max(longest, gap if gap is not NEVER else 0.0)
            if gap > max(deadline, _quiet_after(world, plan, state, source)):
                unknown.add(source)
    if quiet == state.quiet and unknown == state.unknown:
        return state
    since = (state.quiet_since or now - longest) if quiet else 0.0
    return replace(state, quiet=frozenset(quiet), unknown=frozenset(unknown), quiet_since=since)


def is_late(world: World, plan: ClusterPlan, state: ClusterState, gaps: Mapping[SourceId, float]) -> bool:
    """Whether the router is quiet, or at least half of the cluster's nodes have missed a beat just now."""
    if plan.router in state.quiet:
        return True
    late = sum(gaps.get(node, NEVER) > 1.5 * _period(world, plan, state, node) for node in plan.nodes)
    return bool(plan.nodes) and late * 2 >= len(plan.nodes)


def is_silent(plan: ClusterPlan, state: ClusterState) -> bool:
    """Whether at least half of the cluster's nodes, or its router where it has no nodes, are quiet."""
    voices = plan.nodes or ((plan.router,) if plan.router else ())
    return bool(voices) and sum(source in state.quiet for source in voices) * 2 >= len(voices)


def _period(world: World, plan: ClusterPlan, state: ClusterState, source: SourceId) -> float:
    detection = world.settings.detection
    if source.kind is SourceKind.ROUTER:
        assert plan.cluster.confirm is not None
        answer = state.checks.get(CheckId(source, Kind.CONFIRM))
        return plan.cluster.confirm.interval + (answer.took if answer else 0.0)
    status = state.status.get(source)
    if status is None:
        return detection.tick
    return {"sh": detection.tick_sh, "poll": detection.poll}.get(status.mode, detection.tick)


def _quiet_after(world: World, plan: ClusterPlan, state: ClusterState, source: SourceId) -> float:
    detection = world.settings.detection
    period = _period(world, plan, state, source)
    if source.kind is SourceKind.ROUTER:
        assert plan.cluster.confirm is not None
        return period + (period - plan.cluster.confirm.interval) + 2 * detection.tick
    return detection.silence.ticks * period
