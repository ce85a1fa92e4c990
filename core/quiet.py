"""Whether the silence of clusters counts: who is silent, and whether the fault may be our own (spec S25, S28). Pure.

Called by :mod:`core.ticking` at each tick; the rules are in :mod:`core.detection.suspicion`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.assessing import NOBODY
from core.detection.external import SILENCE
from core.detection.rhythm import ALONE
from core.detection.silence import canaries_heard, fell_silent, has_spoken, last_sign, losses, tried_again
from core.detection.suspicion import most, suspect
from core.journal import Journal
from core.model import EventName, Phase
from core.state import State, Tick
from core.switching.switcher import UNASSESSED
from core.switching.table import SERVING
from core.world import ClusterPlan

CANARIES_QUIET = 0.8
"""Seconds without a canary's answer until they are silent: a lost question and its repetition, and more."""
BEGINNING = 0.01
"""Seconds that each of many sessions may take to begin, one after the other (:mod:`core.probes.turns`)."""


def suspected(state: State, tick: Tick, journal: Journal) -> State:
    """Whether silence is our own fault (spec S28)."""
    silent = {}
    for name, plan in state.world.clusters.items():
        found, assessment = state.clusters.get(name, NOBODY), state.assessments.get(name, UNASSESSED)
        if not (found.quiet or assessment.causes or assessment.outvoted):
            continue
        causes = [c.fault_at for c in (*assessment.causes, *assessment.outvoted) if c.rule == SILENCE]
        fallen = fell_silent(plan, found, journal.now)
        if fallen is not None or causes:
            silent[name] = min([*causes, *_erased_by_silence(state, plan)], default=fallen or journal.now)
    if not silent and not state.suspicion:
        return state
    settings = state.world.settings
    sessions = sum(len(plan.nodes) for plan in state.world.clusters.values())
    grace = settings.ssh.connect_timeout + settings.ssh.backoff_limit + BEGINNING * sessions
    share = settings.safety.suspicion_share
    after = suspect(
        state.suspicion,
        silent,
        len(state.world.clusters),
        share,
        journal.now,
        grace,
        canaries=canaries_heard(state.world, tick.gaps, CANARIES_QUIET),
        tried_again=lambda name, since: tried_again(
            state.world.clusters[name], state.clusters.get(name, NOBODY), since
        ),
    )
    if after and not state.suspicion:
        journal.emit(EventName.SUSPECT_SELF, cause=str(after))
    elif state.suspicion and not after:
        journal.emit(EventName.SUSPECT_SELF_ENDED)
    return replace(state, suspicion=after) if after != state.suspicion else state


def _erased_by_silence(state: State, plan: ClusterPlan) -> list[float]:
    """When a cluster fell silent that is out for it: at a restart this is known only from where it stands."""
    standings = [state.standings.get((app.domain, plan.cluster.name), SERVING) for app in plan.apps]
    return [s.cause.fault_at for s in standings if s.phase is Phase.ERASED and s.cause and s.cause.rule == SILENCE]


def pending_silence(state: State, now: float) -> list[str]:
    """The clusters that a silence which counts speaks against, and that are still in an answer."""
    pending = {}
    for name, assessment in state.assessments.items():
        since = [cause.fault_at for cause in assessment.causes if cause.rule == SILENCE]
        if since and any(
            state.standings.get((app.domain, name), SERVING).phase is not Phase.ERASED
            for app in state.world.clusters[name].apps
        ):
            pending[name] = min(since)
    pending = {name: since for name, since in pending.items() if not state.suspicion.holds(name)}
    if not pending:
        return []
    world = state.world
    longest = ALONE * world.settings.detection.silence.deadline
    lost = {name: losses(world, plan, state.clusters.get(name, NOBODY), now) for name, plan in world.clusters.items()}
    return [name for name, since in pending.items() if now - since > longest or not _our_way_loses(lost, name)]


def _our_way_loses(lost: Mapping[str, float | None], cluster: str) -> bool:
    """Whether the other clusters that speak have lost packets lately too: most of the voices of each, on average."""
    others = [share for name, share in lost.items() if name != cluster and share is not None]
    return 2 * sum(others) > len(others)


def many_may_be_silent(state: State, pending: list[str], tick: Tick, now: float) -> bool:
    """Whether no canary, or without canaries most clusters, were not heard since one fell silent: then it takes another
    sign to tell whose fault it is."""
    world, clusters = state.world, state.clusters
    within = min(last_sign(world, world.clusters[name], clusters[name], tick.gaps, now) for name in pending)
    canary = canaries_heard(world, tick.gaps, within)
    if canary is not None:
        return not canary
    spoke = [
        has_spoken(world, plan, clusters.get(name, NOBODY), tick.gaps, within, now)
        for name, plan in world.clusters.items()
    ]
    return most(spoke.count(False), len(spoke) - spoke.count(None), world.settings.safety.suspicion_share)
