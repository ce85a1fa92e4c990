"""Whose router passes no new traffic, and who waits for one to be opened (spec S16, S27). Pure.

A router is closed while a person has erased its cluster, and with ``router.stop = "automatic"`` also while

- the cluster is in no answer: a cluster that fail-open serves is never closed, and
- each of its apps has internal evidence against it. Where its confirmation message alone speaks against it the router stays
  open, for a closed one could never answer that it is well again.

What a router that we closed answers says nothing: its confirmation counts again once it was opened and answers, or
:data:`OPEN_WITHIN` has passed. Until then the cluster does not come back, and then it does: a router that cannot be reached
never holds up DNS.
"""

from __future__ import annotations

from dataclasses import replace

from core.detection.hysteresis import Outcome
from core.journal import Journal
from core.model import Action, CheckId, EventName, Kind, Verdict
from core.state import Opening, RouterTold, State
from core.switching.switcher import UNASSESSED

OPEN_WITHIN = 3.0
"""Seconds that a return waits for the router to have said that it is open, and to answer its confirmation."""


def stopped(state: State) -> frozenset[str]:
    """The clusters whose router is to be closed, as things stand."""
    return frozenset(name for name in state.world.clusters if _is_stopped(state, name))


def follow(state: State, journal: Journal) -> tuple[State, frozenset[str]]:
    """Close and open what has to be, with the clusters that this changes."""
    wanted = stopped(state)
    changed = wanted ^ state.stopped
    if not changed:
        return state, changed
    opened = {name: Opening(journal.now + OPEN_WITHIN) for name in state.stopped - wanted}
    opening = {name: found for name, found in state.opening.items() if name not in wanted}
    return replace(state, stopped=wanted, opening={**opening, **opened}), changed


def told(state: State, said: RouterTold, journal: Journal) -> State:
    """A router has confirmed that it is closed, or open."""
    name = said.cluster
    if said.stopped != (name in state.stopped):
        return state  # of before
    if said.stopped and name not in state.closed:
        journal.emit(
            EventName.ROUTER_STOPPED, cluster=name, cause=f"confirmed by {said.address}", fault_at=state.fault_at(name)
        )
    elif not said.stopped and name in state.closed:
        journal.emit(EventName.ROUTER_OPENED, cluster=name, cause=f"confirmed by {said.address}")
    closed = state.closed | {name} if said.stopped else state.closed - {name}
    opening = dict(state.opening)
    if name in opening:
        opening[name] = replace(opening[name], open=True)
    return replace(state, closed=closed, opening=opening)


def waited(state: State, now: float) -> tuple[State, list[str]]:
    """Those whose router need not be waited for any more, and the state without them."""
    opened = [name for name, it in state.opening.items() if now >= it.until or (it.open and _answers(state, name))]
    if not opened:
        return state, []
    return replace(state, opening={name: it for name, it in state.opening.items() if name not in opened}), opened


def _is_stopped(state: State, name: str) -> bool:
    plan = state.world.clusters[name]
    router = plan.cluster.router
    if router.kind == "none" or router.stop == "never":
        return False
    override = state.overrides.get(name)
    if override:
        return override.action is Action.ERASE
    settings = state.world.settings
    if router.stop != "automatic" or settings.safety.shadow or not plan.apps:
        return False
    if any(record.cluster == name for app in state.table.apps.values() for record in app.records):
        return False
    if state.frozen or not state.round_over:
        return name in state.stopped
    assessment = state.assessments.get(name, UNASSESSED)
    causes = [[*assessment.causes, *filter(None, (assessment.apps.get(app.domain),))] for app in plan.apps]
    return all(any(cause.rule == "internal_anomaly" for cause in mine) for mine in causes)


def _answers(state: State, name: str) -> bool:
    plan = state.world.clusters.get(name)
    if plan is None or plan.router is None or name not in state.clusters:
        return True
    found = state.clusters[name].checks.get(CheckId(plan.router, Kind.CONFIRM))
    return found is None or (found.outcome is Outcome.GOOD and found.verdict is Verdict.OK)
