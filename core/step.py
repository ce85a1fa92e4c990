"""``step(state, input, now) -> (state, effects)``: detectors, switcher, overrides and safety rules in one pure function.

Called by the engine alone, for each result, tick and order. Data flows one way: *result → verdict → decision →
record*; each part lives in a module of its own, this one only joins them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from core.detection.external import SILENCE, assess
from core.detection.hysteresis import CheckState, Outcome
from core.detection.internal import ClusterState, forgotten, grow_old, refresh, take
from core.detection.peers import with_peers
from core.detection.silence import heard_alike, is_calm, listen, soonest
from core.journal import Journal
from core.model import (
    Action,
    CheckId,
    EventName,
    Evidence,
    Kind,
    Order,
    Result,
    Silence,
    SourceKind,
    SourceStatus,
    Verdict,
)
from core.peering import is_blind, on_peers, silent, tell_outvoted
from core.published import on_clean_answer, on_published
from core.quiet import NOBODY, many_may_be_silent, pending_silence, suspected
from core.shared import Document, Peers
from core.state import CleanAnswer, Effect, Published, Reload, Renewal, RouterTold, State, Tick
from core.switching import routers
from core.switching.document import on_document
from core.switching.operator import expire, obey
from core.switching.pods import climb, forget, weigh
from core.switching.sharing import fitted
from core.switching.switcher import UNASSESSED, decide, renew, settle
from core.switching.unease import calm_down, notice
from core.telling import tell_check, tell_pods, tell_silence
from core.world import ClusterPlan

Input: TypeAlias = (
    Result | Renewal | SourceStatus | Tick | Order | Published | CleanAnswer | RouterTold | Reload | Peers | Document
)
GROW_OLD_EVERY = 0.5


def step(state: State, given: Input, now: float) -> tuple[State, tuple[Effect, ...]]:
    """The next state and what is to be done, in order. Never raises on what a node or an operator says."""
    journal, before = Journal(now), state
    match given:
        case Evidence() | Silence():
            state = _on_result(state, given, journal)
        case Renewal():
            state = _on_renewal(state, given)
        case SourceStatus():
            state = _on_status(state, given)
        case Tick():
            state = _on_tick(state, given, journal)
        case Order():
            state = obey(state, given, journal)
            domains = _domains(state, given.clusters) if given.clusters else state.world.apps
            state = decide(state, domains, journal)
            if given.action is Action.THAW:
                state = _weigh(state, state.clusters, journal)
        case Published():
            state = on_published(state, given, journal)
        case CleanAnswer():
            state = on_clean_answer(state, given, journal)
        case RouterTold():
            state = routers.told(state, given, journal)
        case Reload():
            state = _on_reload(state, given, journal)
        case Peers():
            state, changed = on_peers(state, given, journal)
            state = decide(_look_again(state, changed, journal), _domains(state, changed), journal)
        case Document():
            state = on_document(state, given, journal)
            state = decide(state, _domains(state, given.orders), journal)
    state = _route(before, state, journal)
    return state, tuple(journal.effects)


def _route(before: State, state: State, journal: Journal) -> State:
    """What follows for the routers (spec S16, S18)."""
    if (
        state.overrides is not before.overrides
        or state.assessments is not before.assessments
        or state.table is not before.table
        or state.frozen is not before.frozen
        or state.round_over is not before.round_over
    ):
        state, changed = routers.follow(state, journal)
        for name in changed:
            state = _reassess(state, name, journal)
        state = decide(state, _domains(state, changed), journal) if changed else state
    if state.weights is not before.weights or state.stopped != before.stopped:
        journal.tell()
    return state


def _weigh(state: State, clusters: Iterable[str], journal: Journal) -> State:
    for name in clusters:
        state = weigh(state, name, journal)
    return state


def _on_result(state: State, result: Result, journal: Journal) -> State:
    name = result.check.cluster
    plan = state.world.clusters.get(name)
    if plan is None or not plan.expects(result.check):
        return state
    before = state.clusters.get(name, NOBODY)
    after = take(state.world, before, result)
    state = replace(state, clusters={**state.clusters, name: after})
    was, found = before.checks.get(result.check, CheckState()), after.checks[result.check]
    tell_check(result.check, was, found, journal)
    told = tell_pods(before.pods, after.pods, journal)
    if told:
        state = weigh(state, name, journal, before.pods)
        if plan.cluster.router.kind != "none":
            journal.tell()  # of a pod that is new as well
    if not told and was.verdict is found.verdict is Verdict.OK and was.outcome is found.outcome is Outcome.GOOD:
        return state  # well as before: it is so with nearly every result
    if not state.round_over and found.verdict is not Verdict.FAIL and not told:
        return replace(state, unread=state.unread | {name})
    assessments = state.assessments
    state = _reassess(state, name, journal)
    if state.assessments is assessments:
        return notice(state, name, journal)
    return decide(state, _domains(state, (name,)), journal)


def _on_renewal(state: State, renewal: Renewal) -> State:
    by_cluster: dict[str, list[Evidence]] = {}
    for result in renewal.results:
        by_cluster.setdefault(result.check.cluster, []).append(result)
    clusters = {name: refresh(state.clusters.get(name, NOBODY), results) for name, results in by_cluster.items()}
    return replace(state, clusters={**state.clusters, **{n: c for n, c in clusters.items() if n in state.clusters}})


def _on_status(state: State, status: SourceStatus) -> State:
    name = status.source.cluster
    plan = state.world.clusters.get(name)
    if plan is None or status.source not in plan.expected:
        return state
    cluster = state.clusters.get(name, NOBODY)
    known = replace(cluster, status={**cluster.status, status.source: status})
    return replace(state, clusters={**state.clusters, name: known})


def _on_tick(state: State, tick: Tick, journal: Journal) -> State:
    state = calm_down(expire(state, journal), journal)
    state, changed = _listen(state, tick, journal)
    state = climb(_weigh(state, changed, journal), journal)
    state, opened = routers.waited(state, journal.now)
    for name in opened:
        state = _reassess(state, name, journal)
    changed += opened
    if not state.round_over:
        for name in sorted(state.unread):
            state = _reassess(state, name, journal)
        state = _end_round(replace(state, unread=frozenset()) if state.unread else state, journal)
        if not state.round_over:
            return state
    was_blind = is_blind(state)
    state = suspected(state, tick, journal)
    if is_blind(state) != was_blind:
        state = _look_again(state, silent(state), journal)
    pending = [name for name in pending_silence(state) if not state.suspicion.holds(name)]
    if pending and not many_may_be_silent(state, pending, tick, journal.now):
        state = decide(state, _domains(state, pending), journal, silent=pending)
    if state.due and journal.now >= state.due:
        state = decide(state, state.world.apps, journal)
    elif changed:
        state = decide(state, _domains(state, changed), journal)
    over = {domain for (domain, _), until in state.held.items() if journal.now >= until}
    return decide(state, over, journal) if over else state


def _listen(state: State, tick: Tick, journal: Journal) -> tuple[State, list[str]]:
    """Most clusters are calm and were heard lately: those are passed over."""
    late = {source.cluster for source in tick.late(soonest(state.world)) if source.kind is not SourceKind.DATABASE}
    old = state.round_over and journal.now - state.old_at >= GROW_OLD_EVERY
    new, changed = {}, []
    for name, plan in state.world.clusters.items():
        before = after = state.clusters.get(name, NOBODY)
        if name in late or before is NOBODY or not is_calm(before):
            after = listen(state.world, plan, before, tick.gaps, journal.now)
        if old and journal.now >= after.ages_at:
            after = grow_old(state.world, after, journal.now)
            after = _forget(state, after, journal)
        if after is not before:
            new[name] = after
            if not heard_alike(before, after):
                changed.append(name)
                tell_silence(before, after, journal)
    if new or old:
        clusters = {**state.clusters, **new} if new else state.clusters
        state = replace(state, clusters=clusters, old_at=journal.now if old else state.old_at)
    for name in changed:
        state = _reassess(state, name, journal)
    return state, changed


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


def _end_round(state: State, journal: Journal) -> State:
    """Once every check has answered once, or the time for it is over, decisions begin (spec S30)."""
    whole = all(
        (source, kind) in state.clusters.get(name, NOBODY).answered
        for name, plan in state.world.clusters.items()
        for source, kinds in plan.expected.items()
        for kind in kinds
    )
    sharing = not state.world.settings.peers.etcd or state.sharing.peers is not None
    if not (whole and sharing) and journal.now < state.round_ends:
        return state
    state = _look_again(replace(state, round_over=True), silent(state), journal)
    return decide(state, state.world.apps, journal)


def _look_again(state: State, clusters: Iterable[str], journal: Journal) -> State:
    for name in sorted(clusters):
        state = _reassess(state, name, journal)
    return state


def _reassess(state: State, name: str, journal: Journal) -> State:
    before = state.assessments.get(name, UNASSESSED)
    closed = name in state.stopped or name in state.opening
    own = assess(state.world, name, state.clusters.get(name, NOBODY), before, closed=closed)
    after = with_peers(own, name, state.sharing, state.world.settings.peers, blind=is_blind(state))
    if after == before:
        return state
    causes = after.everything
    if after.outvoted and not before.outvoted:
        tell_outvoted(state, name, after, journal)
    if causes and not before.everything:
        cause = min(causes, key=lambda cause: (cause.rule == SILENCE, cause.fault_at))
        if cause.rule == SILENCE:
            journal.emit(
                EventName.FAULT_SEEN,
                at=cause.fault_at,
                cluster=name,
                cause=cause.rule,
                evidence=f"{cause.where}: {cause.said}",
            )
        journal.emit(
            EventName.EXTERNAL_ANOMALY,
            cluster=name,
            cause=cause.rule,
            evidence=f"{cause.where}: {cause.said}",
            fault_at=cause.fault_at,
        )
    return replace(state, assessments={**state.assessments, name: after})


def _on_reload(state: State, reload: Reload, journal: Journal) -> State:
    """New settings: what is no longer named is forgotten; of what is new nothing is known until it was asked."""
    world = reload.world
    clusters = {name: _fitted(state.clusters.get(name, NOBODY), plan) for name, plan in world.clusters.items()}
    for name, found in state.clusters.items():
        kept = clusters.get(name, NOBODY)
        for check in found.checks.keys() - kept.checks.keys():
            journal.save(f"check/{check}", None)
        for node in {key[0] for key in found.pods.keys() - kept.pods.keys()}:
            journal.save(f"pods/{node}", None)
    standings = {
        (domain, name): standing
        for (domain, name), standing in state.standings.items()
        if domain in world.apps and name in world.apps[domain].clusters
    }
    for domain, name in state.standings.keys() - standings.keys():
        journal.save(f"standing/{domain}/{name}", None)
    cached = {(domain, name): until for (domain, name), until in state.cached.items() if name in world.clusters}
    for domain, name in state.cached.keys() - cached.keys():
        journal.save(f"cached/{domain}/{name}", None)
    weights = forget(state, clusters, journal)
    overrides = {name: override for name, override in state.overrides.items() if name in world.clusters}
    for name in state.overrides.keys() - overrides.keys():
        journal.save(f"override/{name}", None)
    assessments = {name: found for name, found in state.assessments.items() if name in clusters}
    state = replace(
        state,
        world=world,
        clusters=clusters,
        standings=standings,
        overrides=overrides,
        assessments=assessments,
        cached=cached,
        unread=frozenset(),
        weights=weights,
        stopped=state.stopped & clusters.keys(),
        closed=state.closed & clusters.keys(),
        opening={name: found for name, found in state.opening.items() if name in clusters},
        uneasy={name: until for name, until in state.uneasy.items() if name in clusters},
    )
    for name in clusters:
        state = _reassess(state, name, journal)
    before, state = state.table, fitted(state, journal)
    state = settle(decide(state, world.apps, journal), journal)
    return renew(state, journal) if state.table is before else state


def _fitted(found: ClusterState, plan: ClusterPlan) -> ClusterState:
    sources = plan.expected.keys()
    return replace(
        found,
        checks={check: state for check, state in found.checks.items() if plan.expects(check)},
        pods={key: pod for key, pod in found.pods.items() if plan.expects(CheckId(key[0], Kind.CONTAINERS))},
        status={source: status for source, status in found.status.items() if source in sources},
        answered=frozenset(pair for pair in found.answered if pair[0] in sources),
        waiting=frozenset(sources),  # until the next tick tells
        quiet={source: since for source, since in found.quiet.items() if source in sources},
        unknown=found.unknown & sources,
        settled={},  # other rules may hold: all is looked at anew
        ages_at=0.0,
    )


def _domains(state: State, clusters: Iterable[str]) -> list[str]:
    return list(
        {
            app.domain: None
            for name in clusters
            if name in state.world.clusters
            for app in state.world.clusters[name].apps
        }
    )
