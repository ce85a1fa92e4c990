"""Who is quiet (spec S25): how long each source has not been heard, measured in time that we were listening. Pure.

A source is *quiet* after ``detection.silence.ticks`` of its own periods, and *unknown* once that has lasted
``detection.silence.deadline`` since it was heard. A router is quiet when its answer is overdue: an interval, two ticks and twice its
usual round trip. A source of which nothing is known yet, not even that it does not answer, is *waiting*: it still is
being connected to, and nothing is made of it.

``gaps`` count only the time in which this process ran: if it was stalled itself, nobody was silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.detection.internal import ClusterState
from core.detection.suspicion import WINDOW
from core.model import CheckId, Kind, SourceId, SourceKind
from core.world import ClusterPlan, World


def listen(
    world: World, plan: ClusterPlan, state: ClusterState, gaps: Mapping[SourceId, float], now: float
) -> ClusterState:
    """The cluster's state with who is waiting, quiet and unknown now; the same object when nothing changed."""
    detection = world.settings.detection
    deadline = detection.silence.deadline
    nobody = 2 * min(detection.tick, detection.tick_sh, detection.poll)  # is quiet as soon as this
    waiting, quiet, unknown = set(), {}, set()
    for source in plan.expected:
        gap = gaps.get(source)
        if gap is None:
            waiting.add(source)
        elif gap <= nobody:
            continue
        elif source.kind is not SourceKind.DATABASE and gap > (after := _quiet_after(world, plan, state, source)):
            quiet[source] = state.quiet.get(source, now - gap)
            if gap > max(deadline, after):
                unknown.add(source)
    if waiting == state.waiting and quiet.keys() == state.quiet.keys() and unknown == state.unknown:
        return state
    return replace(state, waiting=frozenset(waiting), quiet=quiet, unknown=frozenset(unknown))


def fell_silent(plan: ClusterPlan, state: ClusterState, now: float) -> float | None:
    """Since when at least half of the voices that spoke until lately are quiet; None while they speak."""
    if not state.quiet:
        return None
    voices = plan.nodes or ((plan.router,) if plan.router else ())
    voices = tuple(voice for voice in voices if _spoke_lately(state, voice, now)) or voices
    fallen = sorted(state.quiet[voice] for voice in voices if voice in state.quiet)
    half = (len(voices) + 1) // 2
    return fallen[half - 1] if fallen and len(fallen) >= half else None


def last_sign(
    world: World, plan: ClusterPlan, state: ClusterState, gaps: Mapping[SourceId, float], now: float
) -> float:
    """Seconds since a cluster that fell silent should have spoken and did not: who was heard later than that was heard
    after it fell silent."""
    fallen = [source for source in _speakers(plan) if source in state.quiet and _spoke_lately(state, source, now)]
    margin = world.settings.detection.tick / 2
    return min((gaps[s] - _period(world, plan, state, s) - margin for s in fallen if s in gaps), default=WINDOW)


def has_spoken(
    plan: ClusterPlan, state: ClusterState, gaps: Mapping[SourceId, float], within: float, now: float
) -> bool | None:
    """Whether a cluster was heard in the last seconds: more than half of its nodes, its router where it has none, and no
    router that is quiet. None where nobody of it has spoken lately."""
    lately = [source for source in _speakers(plan) if source in gaps and _spoke_lately(state, source, now)]
    if plan.router in lately and plan.router in state.quiet:
        return False
    heard = [gaps[source] < within for source in lately if source != plan.router or not plan.nodes]
    return sum(heard) * 2 > len(heard) if heard else None


def _speakers(plan: ClusterPlan) -> tuple[SourceId, ...]:
    return (*plan.nodes, plan.router) if plan.router else plan.nodes


def _spoke_lately(state: ClusterState, source: SourceId, now: float) -> bool:
    return now - state.quiet.get(source, now) <= WINDOW


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
