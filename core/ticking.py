"""What the passing of time does: who has fallen silent, what grew old, the end of the first round. Pure; called by :mod:`core.step`."""

from __future__ import annotations

from dataclasses import replace

from core.assessing import NOBODY, domains, reassess
from core.detection.internal import ClusterState, forgotten, grow_old
from core.detection.silence import heard_alike, is_calm, listen, soonest
from core.journal import Journal
from core.model import SourceKind
from core.peering import is_blind, silent
from core.quiet import many_may_be_silent, pending_silence, suspected
from core.state import State, Tick
from core.switching import routers
from core.switching.operator import expire
from core.switching.pods import climb, weigh_all
from core.switching.switcher import decide
from core.switching.unease import calm_down
from core.telling import tell_silence
from core.world import ClusterPlan

LOOK_EVERY = 0.5


def on_tick(state: State, tick: Tick, journal: Journal) -> State:
    """Time has passed. In the first round much is heard and nothing decided: until its end all is looked at now and then only."""
    state = calm_down(expire(state, journal), journal)
    whole = state.round_over
    if not whole:
        state, whole = _whole(state)
        sharing = not state.world.settings.peers.etcd or state.sharing.peers is not None
        whole = (whole and sharing) or journal.now >= state.round_ends
        if not whole and journal.now - state.looked_at < LOOK_EVERY:
            return state
    state, changed = _listen(state, tick, journal)
    state = climb(weigh_all(state, changed, journal), journal)
    state, opened = routers.waited(state, journal.now)
    again = [*opened, *sorted(state.unread)]
    state = reassess(replace(state, unread=frozenset()) if state.unread else state, again, journal)
    changed += again
    if not state.round_over:
        if not whole:
            return state
        state = replace(state, round_over=True)
        state = decide(reassess(state, sorted(silent(state)), journal), state.world.apps, journal)
    was_blind = is_blind(state)
    state = suspected(state, tick, journal)
    if is_blind(state) != was_blind:
        state = reassess(state, sorted(silent(state)), journal)
    pending = pending_silence(state, journal.now)
    if pending and not many_may_be_silent(state, pending, tick, journal.now):
        state = decide(state, domains(state, pending), journal, silent=pending)
    if state.due and journal.now >= state.due:
        state = decide(state, state.world.apps, journal)
    elif changed:
        state = decide(state, domains(state, changed), journal)
    over = {domain for (domain, _), until in state.held.items() if journal.now >= until}
    return decide(state, over, journal) if over else state


def _whole(state: State) -> tuple[State, bool]:
    """Whether every check has answered once (spec S30). The cluster that had not at the last look is looked at first."""
    plans = state.world.clusters
    awaited = plans.get(state.awaited)
    if awaited and not _has_answered(state, awaited):
        return state, False
    name = next((name for name, plan in plans.items() if not _has_answered(state, plan)), "")
    return replace(state, awaited=name), not name


def _has_answered(state: State, plan: ClusterPlan) -> bool:
    answered = state.clusters.get(plan.cluster.name, NOBODY).answered
    return all((source, kind) in answered for source, kinds in plan.expected.items() for kind in kinds)


def _listen(state: State, tick: Tick, journal: Journal) -> tuple[State, list[str]]:
    """Most clusters are calm and were heard lately: those are passed over. Who is waited for may be so for ever, and is looked at
    now and then."""
    late = {source.cluster for source in tick.late(soonest(state.world)) if source.kind is not SourceKind.DATABASE}
    old = journal.now - state.looked_at >= LOOK_EVERY
    new, changed = {}, []
    for name, plan in state.world.clusters.items():
        before = after = state.clusters.get(name, NOBODY)
        if name in late or before is NOBODY or not is_calm(before) or (old and before.waiting):
            ours = state.suspicion.holds(name)
            after = listen(state.world, plan, before, tick.gaps, journal.now, ours=ours)
        if old and state.round_over and journal.now >= after.ages_at:
            after = grow_old(state.world, after, journal.now)
            after = _forget(state, after, journal)
        if after is not before:
            new[name] = after
            if not heard_alike(before, after):
                changed.append(name)
                tell_silence(before, after, journal)
    if new or old:
        clusters = {**state.clusters, **new} if new else state.clusters
        state = replace(state, clusters=clusters, looked_at=journal.now if old else state.looked_at)
    return reassess(state, changed, journal), changed


def _forget(state: State, cluster: ClusterState, journal: Journal) -> ClusterState:
    """Without the checks that nobody asks any more: what they said last must not hold a cluster out for ever."""
    gone = forgotten(state.world, cluster, journal.now, state.round_ends)
    for check in gone:
        journal.save(f"check/{check}", None)
    if not gone:
        return cluster
    checks = {check: found for check, found in cluster.checks.items() if check not in gone}
    settled = {check: last for check, last in cluster.settled.items() if check not in gone}
    return replace(cluster, checks=checks, settled=settled)
