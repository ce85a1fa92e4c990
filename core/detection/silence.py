"""Who is quiet (spec S25): how long each source has not been heard, measured in time that we were listening. Pure.

A source is *quiet* after ``detection.silence.ticks`` of its own periods, *gone* when it is so for longer than one lost packet takes, and
*unknown* once that has lasted ``detection.silence.deadline`` since it was heard. A router is quiet when its answer is overdue: an interval, two ticks and twice its
usual round trip; it is *overdue* once even a router whose nodes still speak should have answered, over a new connection too. Each of them is given
longer where its own history has longer gaps (:mod:`core.detection.rhythm`), and a router that was only just met has two deadlines
when it is silent alone; all voices of a cluster are quiet once the time in which nobody of it was heard is longer than its own history of
such times allows. A source of which nothing is known yet, not even that it does not answer, is *waiting*: it still is being
connected to, and nothing is made of it.

``gaps`` count only the time in which this process ran: if it was stalled itself, nobody was silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.detection.hysteresis import CheckState, Outcome
from core.detection.internal import ClusterState
from core.detection.rhythm import ALONE, MARGIN, RETRANSMISSION, STEADY, Rhythm
from core.detection.suspicion import WINDOW
from core.model import CheckId, Kind, SourceId, SourceKind, Verdict
from core.world import ClusterPlan, World

_LATELY = 1.4
"""Periods within which whoever speaks now has been heard."""
_LATE, _LOSSES = 2, 1.0
"""Periods after which a voice is late, and seconds within which one that was for a lost packet says that its way loses them. Of ten voices
that lose one packet in a hundred one or two have in such a time, of ten that lose one in five nearly all."""
_TOGETHER, _MANY = 0.4, 3
"""Seconds, and voices at the least, from which on that nobody is heard is no chance: a voice that loses two packets in a row, one in
ten thousand of a link that loses one in a hundred, is silent for so long, and three at once once in years."""
LOST = 0.31
"""Seconds that a lost packet keeps a voice silent at the most: Linux sends it again after 0.2 s and a fifth of that. Two voices that have
lost one each, when a link begins to lose one in a hundred, are no evidence, and there is no history of it yet."""
MET = 10.0
"""Seconds for which a router has no history: a start is when this machine has the least time to listen."""


def soonest(world: World) -> float:
    """Seconds after which a source may be quiet at the soonest; whoever was heard since is not looked at."""
    detection = world.settings.detection
    return 2 * min(detection.tick, detection.tick_sh, detection.poll)


def is_calm(state: ClusterState) -> bool:
    """Whether :func:`listen` changes nothing but who is waiting, while each source of the cluster was heard lately."""
    if state.quiet or state.unknown or state.overdue or state.whole.gap:
        return False
    return not state.rhythms or not any(rhythm.gap for rhythm in state.rhythms.values())


def listen(
    world: World,
    plan: ClusterPlan,
    state: ClusterState,
    gaps: Mapping[SourceId, float],
    now: float,
    *,
    ours: bool = False,
) -> ClusterState:
    """The cluster's state with who is waiting, quiet and unknown now; the same object when nothing changed. ``ours``: a gap may be our
    own fault (spec S28), and is no history of theirs."""
    detection = world.settings.detection
    deadline = detection.silence.deadline
    nobody = soonest(world)
    waiting, quiet, gone, unknown, overdue, met = set(), {}, set(), set(), False, state.met
    rhythms = dict(state.rhythms)
    outage = 0.0 if ours or _is_broken(state) else ALONE * deadline
    whole, are_all_silent = _listen_to_all(world, plan, state, gaps, outage, now)
    for source in plan.expected:
        gap = gaps.get(source)
        if source == plan.router:
            met = None if gap is None else now if met is None else met
        if gap is None:
            waiting.add(source)
            continue
        rhythm = rhythms.get(source, STEADY)
        alone = ALONE if source.kind is SourceKind.ROUTER else 1
        if gap < rhythm.gap:
            lost = rhythm.gap > RETRANSMISSION and _is_late(world, plan, state, source)
            rhythm = rhythms[source] = rhythm.ended(alone * deadline / MARGIN, outage, now, lost=lost)
        if gap <= nobody or source.kind is SourceKind.DATABASE:
            continue
        rhythms[source] = rhythm.lasting(gap)
        least = _quiet_after(world, plan, state, source)
        after = rhythm.allowed(least, deadline, now)
        if gap > after or (are_all_silent and source in _speakers(plan)):
            quiet[source] = state.quiet.get(source, now - gap)
        if source in quiet and gap > LOST:
            gone.add(source)
        if gap > max(deadline, after):
            unknown.add(source)
        if source == plan.router:
            is_new = met is None or now - gap - met < MET
            least = max(least, 2 * deadline) if is_new else least + _anew(plan, state)
            overdue = gap > rhythm.allowed(least, alone * deadline, now)
    found = replace(
        state,
        waiting=frozenset(waiting),
        quiet=quiet,
        gone=frozenset(gone),
        unknown=frozenset(unknown),
        overdue=overdue,
        met=met,
        rhythms=rhythms,
        whole=whole,
    )
    return state if found == state else found


def _listen_to_all(
    world: World, plan: ClusterPlan, state: ClusterState, gaps: Mapping[SourceId, float], outage: float, now: float
) -> tuple[Rhythm, bool]:
    """The history of the gaps in which nobody of the cluster was heard, and whether one lasts for longer than it allows. On a link
    that loses packets each voice has long gaps, but hardly ever all of them at the same time."""
    deadline = world.settings.detection.silence.deadline
    speakers = [source for source in _speakers(plan) if _spoke_lately(state, source, now)]
    gap = min(gaps.get(source, 0.0) for source in speakers) if len(speakers) >= _MANY else 0.0
    rhythm = state.whole.ended(deadline / MARGIN, outage, now) if gap < state.whole.gap else state.whole
    if gap <= soonest(world):
        return rhythm, False
    least = max(_TOGETHER, *(_quiet_after(world, plan, state, source) for source in speakers))
    return rhythm.lasting(gap), gap > rhythm.allowed(least, deadline, now)


def heard_alike(before: ClusterState, after: ClusterState) -> bool:
    """Whether two states of a cluster differ in nothing but the history of its gaps, and when to look at it again."""
    return before is after or replace(before, rhythms=after.rhythms, whole=after.whole, ages_at=after.ages_at) == after


def tried_again(plan: ClusterPlan, state: ClusterState, since: float) -> bool:
    """Whether a cluster was tried anew after an instant and is silent all the same: its router, whose questions come at
    a short pace, or every node that is quiet where it has none."""
    if plan.router:
        assert plan.cluster.confirm is not None
        asked = state.checks.get(CheckId(plan.router, Kind.CONFIRM))
        # the newest question was begun a whole timeout later: one before it has failed as well
        return _failed_since(asked, since + plan.cluster.confirm.timeout)
    return all(_failed_since(state.checks.get(CheckId(n, Kind.WATCH)), since) for n in plan.nodes if n in state.quiet)


def canaries_heard(world: World, gaps: Mapping[SourceId, float], within: float) -> bool | None:
    """Whether one of ``safety.canaries`` was heard in the last seconds; None where none of them has been heard lately."""
    lately = [gaps[canary] for canary in world.canaries if gaps.get(canary, WINDOW) < WINDOW]
    return min(lately) < within if lately else None


def fell_silent(plan: ClusterPlan, state: ClusterState, now: float) -> float | None:
    """Since when at least half of the voices that spoke until lately are quiet; None while they speak."""
    if not state.quiet:
        return None
    voices = plan.nodes or ((plan.router,) if plan.router else ())
    voices = tuple(voice for voice in voices if _spoke_lately(state, voice, now)) or voices
    fallen = sorted(state.quiet[voice] for voice in voices if voice in state.quiet)
    half = (len(voices) + 1) // 2
    return fallen[half - 1] if fallen and len(fallen) >= half else None


def losses(world: World, plan: ClusterPlan, state: ClusterState, now: float) -> float | None:
    """The share of a cluster's voices that are late, or were for a lost packet lately. None where all are late and none was before, or
    where nobody speaks: a dead cluster tells nothing of the way."""
    voices = [s for s in _speakers(plan) if s not in state.waiting and _spoke_lately(state, s, now)]
    late = {voice for voice in voices if _is_late(world, plan, state, voice)}
    were = {voice for voice in voices if state.rhythms.get(voice, STEADY).back > now - _LOSSES}
    if len(late) == len(voices) and not were:
        return None
    return len(late | were) / len(voices)


def _is_late(world: World, plan: ClusterPlan, state: ClusterState, source: SourceId) -> bool:
    return state.rhythms.get(source, STEADY).gap > _LATE * _period(world, plan, state, source)


def last_sign(
    world: World, plan: ClusterPlan, state: ClusterState, gaps: Mapping[SourceId, float], now: float
) -> float:
    """Seconds since a cluster that fell silent should have spoken and did not: who was heard later than that was heard
    after it fell silent."""
    fallen = [source for source in _speakers(plan) if source in state.quiet and _spoke_lately(state, source, now)]
    margin = world.settings.detection.tick / 2
    return min((gaps[s] - _period(world, plan, state, s) - margin for s in fallen if s in gaps), default=WINDOW)


def has_spoken(
    world: World, plan: ClusterPlan, state: ClusterState, gaps: Mapping[SourceId, float], within: float, now: float
) -> bool | None:
    """Whether a cluster was heard ``within`` seconds, and still speaks: in the last :data:`_LATELY` of its periods, or half of that
    time, so that voices which come in bursts are waited for and not for ever. More than half of its nodes, its router where it
    has none, and no router that is quiet. None where nobody of it has spoken lately."""
    lately = [source for source in _speakers(plan) if source in gaps and _spoke_lately(state, source, now)]
    if plan.router in lately and plan.router in state.quiet:
        return False
    heard = [
        gaps[source] < max(within / 2, min(within, _LATELY * _period(world, plan, state, source)))
        for source in lately
        if source != plan.router or not plan.nodes
    ]
    return sum(heard) * 2 > len(heard) if heard else None


def _speakers(plan: ClusterPlan) -> tuple[SourceId, ...]:
    return (*plan.nodes, plan.router) if plan.router else plan.nodes


def _spoke_lately(state: ClusterState, source: SourceId, now: float) -> bool:
    return now - state.quiet.get(source, now) <= WINDOW


def _period(world: World, plan: ClusterPlan, state: ClusterState, source: SourceId) -> float:
    detection = world.settings.detection
    if source.kind is SourceKind.ROUTER:
        assert plan.cluster.confirm is not None
        return plan.cluster.confirm.interval + _round_trip(plan, state)
    status = state.status.get(source)
    if status is None:
        return detection.tick
    return {"sh": detection.tick_sh, "poll": detection.poll}.get(status.mode, detection.tick)


def _round_trip(plan: ClusterPlan, state: ClusterState) -> float:
    """Seconds that an answer of the router takes."""
    assert plan.router is not None
    found = state.checks.get(CheckId(plan.router, Kind.CONFIRM))
    return found.trip if found else 0.0


def _quiet_after(world: World, plan: ClusterPlan, state: ClusterState, source: SourceId) -> float:
    detection = world.settings.detection
    period = _period(world, plan, state, source)
    if source.kind is SourceKind.ROUTER:
        return period + _round_trip(plan, state) + 2 * detection.tick
    return detection.silence.ticks * period


def _anew(plan: ClusterPlan, state: ClusterState) -> float:
    """Seconds that a router which is far away takes longer to answer over a new connection, with TLS. One packet that is lost on the held
    one would otherwise be a router that does not answer."""
    assert plan.cluster.confirm is not None
    return min(4 * _round_trip(plan, state), plan.cluster.confirm.timeout)


def _is_broken(state: ClusterState) -> bool:
    found = (*state.checks.values(), *(pod.check for pod in state.pods.values()))
    return any(each.verdict is Verdict.FAIL for each in found)


def _failed_since(found: CheckState | None, since: float) -> bool:
    return found is not None and found.outcome is Outcome.SILENT and found.at - found.took >= since
