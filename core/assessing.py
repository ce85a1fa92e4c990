"""The assessment of a cluster after what was found of it, told when it turns bad. Pure; called by :mod:`core.step` and :mod:`core.ticking`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from core.detection.external import SILENCE, assess
from core.detection.internal import ClusterState
from core.detection.peers import with_peers
from core.journal import Journal
from core.model import EventName
from core.peering import is_blind, tell_outvoted
from core.state import State
from core.switching.switcher import UNASSESSED

NOBODY = ClusterState()


def reassess(state: State, clusters: Iterable[str], journal: Journal) -> State:
    """The state with what is now made of these clusters; the same object when nothing else is."""
    for name in clusters:
        state = _reassess(state, name, journal)
    return state


def domains(state: State, clusters: Iterable[str]) -> list[str]:
    """The apps that these clusters serve, each once."""
    plans = (state.world.clusters[name] for name in clusters if name in state.world.clusters)
    return list({app.domain: None for plan in plans for app in plan.apps})


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
