"""What an order of an operator is allowed to do (spec S22, S32, S34). Pure.

An order is refused when it names nobody known, when a target changed since the operator looked, when it would end
before it begins, when it would change nothing, or when it would leave a domain without a healthy cluster. ``force``
overrules the last alone, and the history keeps what it overruled (:func:`overruled`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from core.model import Action, Order, Override, Phase
from core.state import State
from core.switching.table import SERVING, build

Refusal: TypeAlias = tuple[str, int | None]
TAKES_OUT = frozenset({Action.DRAIN, Action.ERASE})


def refusal(state: State, order: Order, now: float) -> Refusal | None:
    """The reason against an order with the present revision of the cluster to look at, or None."""
    rules: tuple[Callable[[State, Order, float], Refusal | None], ...] = (_unknown, _stale, _over, _idle, _last_one)
    return next((found for rule in rules if (found := rule(state, order, now))), None)


def overridden(overrides: Mapping[str, Override], order: Order, now: float) -> dict[str, Override]:
    """The overrides once the order is carried out."""
    after = dict(overrides)
    for cluster in order.clusters:
        if order.action is Action.RESTORE:
            after.pop(cluster, None)
        else:
            after[cluster] = Override(cluster, order.action, order.who, order.why, now, order.until)
    return after


def _revision(state: State, order: Order) -> int | None:
    return state.revisions.get(order.clusters[0], 0) if order.clusters else None


def _unknown(state: State, order: Order, now: float) -> Refusal | None:
    if order.action in {Action.FREEZE, Action.THAW}:
        return (f"{order.action} is for the whole installation and takes no cluster", None) if order.clusters else None
    if not order.clusters:
        return f"{order.action} needs at least one cluster", None
    known = state.world.clusters
    strangers = [name for name in order.clusters if name not in known]
    return (f"no cluster named {', '.join(strangers)}; there are {', '.join(known)}", None) if strangers else None


def _stale(state: State, order: Order, now: float) -> Refusal | None:
    for cluster, seen in order.expected:
        present = state.revisions.get(cluster, 0)
        if seen != present:
            return f"{cluster} has changed since you looked at it: look again, then decide", present
    return None


def _over(state: State, order: Order, now: float) -> Refusal | None:
    if order.until is not None and order.until <= now:
        return "the override would have ended already: give a time that lies ahead", _revision(state, order)
    return None


def _idle(state: State, order: Order, now: float) -> Refusal | None:
    if order.action is Action.FREEZE and state.frozen:
        return f"already frozen by {state.frozen.who}: {state.frozen.why or 'no reason given'}", None
    if order.action is Action.THAW and not state.frozen:
        return "not frozen", None
    if order.action is Action.RESTORE:
        idle = [name for name in order.clusters if not is_out(state, name)]
        if idle:
            return f"{', '.join(idle)}: nothing to restore, in the answers under automatic control", _revision(
                state, order
            )
    return None


def _last_one(state: State, order: Order, now: float) -> Refusal | None:
    said = "" if order.force else overruled(state, order, now)
    return (f"{said}; force overrules this", _revision(state, order)) if said else None


def overruled(state: State, order: Order, now: float) -> str:
    """What only force overrules; empty for an order that needs none."""
    if order.action not in TAKES_OUT:
        return ""
    after = build(state.world, state.standings, overridden(state.overrides, order, now), state.table)
    lost = [
        domain
        for domain, app in after.apps.items()
        if (before := state.table.apps.get(domain))
        and before.records
        and (not app.records or (app.fail_open and not before.fail_open))
    ]
    return f"{', '.join(lost)} would be left without a healthy cluster" if lost else ""


def is_out(state: State, cluster: str) -> bool:
    """Whether there is something for a restore to bring back."""
    return cluster in state.overrides or any(
        state.standings.get((app.domain, cluster), SERVING).phase in {Phase.ERASED, Phase.RECOVERING}
        for app in state.world.clusters[cluster].apps
    )
