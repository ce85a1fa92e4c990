"""What an order would do, before it is given: for the dialog and the CLI. Pure."""

from __future__ import annotations

from dataclasses import replace

from core.model import Action, Order
from core.records import AppRecords
from core.snapshot import AnswerChange, Preview
from core.state import State
from core.step import step
from core.switching.orders import TAKES_OUT, refusal
from core.switching.switcher import UNASSESSED


def preview(state: State, order: Order, now: float) -> Preview:
    """The difference of the answers and the risks of an order, as things stand now, once every router has followed."""
    after = step(replace(state, stopped=frozenset()), replace(order, force=True, expected=(), key=""), now)[0].table
    domains = [d for d, app in state.world.apps.items() if set(app.clusters) & set(order.clusters)]
    changes = []
    warnings = []
    grave = order.action is Action.ERASE or len(order.clusters) > 1
    for domain in domains:
        app, records = state.world.apps[domain], after.apps[domain]
        left = 0 if records.fail_open else len(records.records)
        before = state.table.apps[domain]
        changes.append(
            AnswerChange(domain, _answer(before), _answer(records), records.fail_open, left, len(app.clusters))
        )
        if order.action in TAKES_OUT and left * 100 < app.min_healthy * len(app.clusters) and left < 2:
            warnings.append(f"{domain}: {left or 'no'} healthy cluster{'s' if left != 1 else ''} left to serve")
            grave = grave or left == 0
    if order.action is Action.RESTORE:
        for cluster in order.clusters:
            assessment = state.assessments.get(cluster, UNASSESSED)
            for cause in (*assessment.causes, *assessment.apps.values())[:1]:
                warnings.append(f"{cluster} still fails and stays out until it is well: {cause.where}: {cause.said}")
    if state.frozen:
        warnings.append("frozen: nothing that follows from this happens by itself")
    refused = refusal(state, order, now)
    held = [float(state.table.apps[domain].ttl) for domain in domains]
    held += [until - now for (_, cluster), until in state.cached.items() if cluster in order.clusters]
    return Preview(
        changes=tuple(changes),
        expected=tuple((name, state.revisions.get(name, 0)) for name in order.clusters if name in state.world.clusters),
        safe_in=max(held, default=0.0),
        refused=refused[0] if refused else "",
        warnings=tuple(warnings),
        grave=grave,
    )


def _answer(app: AppRecords) -> tuple[str, ...]:
    if app.policy == "failover" and app.records:
        return app.records[0].places
    return app.addresses
