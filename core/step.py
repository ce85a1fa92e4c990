"""``step(state, input, now) -> (state, effects)``: detectors, switcher, overrides and safety rules in one pure function.

Called by the engine alone, for each result, tick and order. Data flows one way: *result → verdict → decision →
record*; each part lives in a module of its own, this one only joins them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from core.assessing import NOBODY, domains, reassess
from core.detection.hysteresis import CheckState, Outcome
from core.detection.internal import ClusterState, refresh, take
from core.journal import Journal
from core.model import Action, CheckId, Evidence, Kind, Order, Result, Silence, SourceStatus, Verdict
from core.peering import on_peers
from core.published import on_clean_answer, on_published
from core.shared import Document, Peers
from core.state import CleanAnswer, Effect, Published, Reload, Renewal, RouterTold, State, Tick
from core.switching import routers
from core.switching.document import on_document
from core.switching.operator import obey
from core.switching.pods import forget, weigh, weigh_all
from core.switching.sharing import fitted
from core.switching.switcher import decide, renew, settle
from core.switching.unease import notice
from core.telling import tell_check, tell_pods
from core.ticking import on_tick
from core.world import ClusterPlan

Input: TypeAlias = (
    Result | Renewal | SourceStatus | Tick | Order | Published | CleanAnswer | RouterTold | Reload | Peers | Document
)


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
            state = on_tick(state, given, journal)
        case Order():
            state = obey(state, given, journal)
            state = decide(state, domains(state, given.clusters) if given.clusters else state.world.apps, journal)
            if given.action is Action.THAW:
                state = weigh_all(state, state.clusters, journal)
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
            state = decide(reassess(state, sorted(changed), journal), domains(state, changed), journal)
        case Document():
            state = on_document(state, given, journal)
            state = decide(state, domains(state, given.orders), journal)
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
        state = reassess(state, changed, journal)
        state = decide(state, domains(state, changed), journal) if changed else state
    if state.weights is not before.weights or state.stopped != before.stopped:
        journal.tell()
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
    is_better = (
        result.check in after.settled and was.verdict is not Verdict.FAIL and before.pods.keys() <= after.pods.keys()
    )
    if is_better or (not state.round_over and found.verdict is not Verdict.FAIL):
        return replace(state, unread=state.unread | {name})
    assessments = state.assessments
    state = reassess(state, (name,), journal)
    if state.assessments is assessments:
        return notice(state, name, journal)
    return decide(state, domains(state, (name,)), journal)


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
    state = reassess(state, clusters, journal)
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
        gone=found.gone & sources,
        unknown=found.unknown & sources,
        settled={},  # other rules may hold: all is looked at anew
        ages_at=0.0,
    )
