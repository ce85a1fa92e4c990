"""From what was saved to a state: after a start everything stands as it stood (spec S30). Pure but for JSON.

``encode`` and ``restore`` are the two ends of :class:`core.state.Save`; the store keeps what lies between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from core.detection.external import Assessment, assess
from core.detection.hysteresis import CheckState
from core.detection.internal import ClusterState
from core.detection.pods import MISSING, PodState
from core.errors import StartError
from core.model import CheckId, Kind, Override
from core.records import AppRecords, RecordTable, still_held
from core.shared import SharedOrder, Sharing
from core.snapshot import Freeze
from core.state import Incident, State
from core.switching import routers, weights
from core.switching.serials import following
from core.switching.standing import Standing, not_later
from core.switching.switcher import next_due
from core.switching.table import build
from core.world import World

T = TypeVar("T")
SERIALS_PASSED = 1000


class SavedTable(msgspec.Struct):
    serial: int
    apps: dict[str, AppRecords]


def encode(value: Any) -> bytes:
    """A saved value as JSON."""
    if isinstance(value, RecordTable):
        value = SavedTable(value.serial, dict(value.apps))
    return msgspec.json.encode(value)


def restore(world: World, saved: Mapping[str, bytes], now: float) -> State:
    """The state after a start. The record table is the one before the kill, unless the settings have changed it;
    its serial begins with the time of the first start, so that it also grows when the state was lost (spec S32). At
    each start it passes over those that may have been answered before a kill and were not saved, because the disk was
    slow: a secondary that has one of them would take what comes next for what it has.

    Raises StartError when a value cannot be read.
    """
    table = RecordTable(following(world.settings, int(now) - 1))
    parts: dict[str, dict[str, Any]] = {
        name: {}
        for name in (
            "standing",
            "override",
            "revision",
            "incident",
            "order",
            "check",
            "pods",
            "cached",
            "weight",
            "adopted",
            "unshared",
        )
    }
    types: dict[str, Any] = {
        "standing": Standing,
        "override": Override,
        "revision": int,
        "incident": Incident,
        "order": tuple[str, ...],
        "check": tuple[CheckId, CheckState],
        "pods": tuple[PodState, ...],
        "cached": float,
        "weight": weights.Weight,
        "adopted": SharedOrder,
        "unshared": SharedOrder,
    }
    frozen = None
    for key, value in saved.items():
        kind, _, rest = key.partition("/")
        if kind == "table":
            found = _decode(key, value, SavedTable)
            table = RecordTable(following(world.settings, max(found.serial + SERIALS_PASSED, int(now)) - 1), found.apps)
        elif kind == "freeze":
            frozen = _decode(key, value, Freeze)
        elif kind in parts:
            parts[kind][rest] = _decode(key, value, types[kind])
    state = State(
        world=world,
        table=table,
        clusters=_clusters(world, parts["check"], parts["pods"]),
        standings={
            (domain, name): not_later(standing, world.settings.recovery, now)
            for key, standing in parts["standing"].items()
            for domain, _, name in (key.partition("/"),)
            if domain in world.apps and name in world.apps[domain].clusters
        },
        overrides={name: override for name, override in parts["override"].items() if name in world.clusters},
        revisions=parts["revision"],
        incidents={name: incident for name, incident in parts["incident"].items() if name in world.clusters},
        keys=parts["order"],
        cached={
            (domain, name): until
            for key, until in parts["cached"].items()
            for domain, _, name in (key.partition("/"),)
            if name in world.clusters
        },
        weights=_weights(world, parts["weight"], now),
        weights_due=now,
        frozen=frozen,
        sharing=Sharing(adopted=parts["adopted"], unshared=parts["unshared"]),
        round_ends=now + world.settings.safety.first_round,
    )
    state = replace(state, assessments={name: _assess(state, name) for name in state.clusters})
    standings = {} if world.settings.safety.shadow else state.standings
    now_answered = build(world, standings, state.overrides, table)
    held = still_held(table, now_answered, now)
    cached = {**state.cached, **{key: max(until, state.cached.get(key, 0.0)) for key, until in held.items()}}
    state = replace(state, table=now_answered, cached=cached, due=next_due(state.standings))
    # As before the kill: what the router of a cluster answers that was closed then says nothing, so that its own silence or
    # refusal is no cause, and whether it stays closed does not hang on the first round.
    state = replace(state, stopped=routers.stopped(replace(state, round_over=True, frozen=None)))
    return replace(state, assessments={name: _assess(state, name) for name in state.clusters})


def _clusters(
    world: World, checks: Mapping[str, tuple[CheckId, CheckState]], pods: Mapping[str, tuple[PodState, ...]]
) -> dict[str, ClusterState]:
    """What was found; nothing is known of the sources yet."""
    listed = [pod for found in pods.values() for pod in found]
    return {
        name: ClusterState(
            checks={check: found for check, found in checks.values() if check.cluster == name and plan.expects(check)},
            pods={(p.node, p.pod): p for p in listed if plan.expects(CheckId(p.node, Kind.CONTAINERS))},
            waiting=frozenset(plan.sources),
        )
        for name, plan in world.clusters.items()
    }


def _weights(world: World, saved: Mapping[str, weights.Weight], now: float) -> dict[str, dict[str, weights.Weight]]:
    found: dict[str, dict[str, weights.Weight]] = {}
    for key, weight in saved.items():
        name, _, pod = key.partition("/")
        if name in world.clusters:
            found.setdefault(name, {})[pod] = weights.not_later(weight, world.settings.recovery, now)
    return found


def _assess(state: State, name: str) -> Assessment:
    """What speaks against a cluster as before the kill; that pods are missing is known from where it stands."""
    standings = {app.domain: state.standings.get((app.domain, name)) for app in state.world.clusters[name].apps}
    missing = {domain: s.cause for domain, s in standings.items() if s and s.cause and s.cause.where == MISSING}
    return assess(state.world, name, state.clusters[name], Assessment(apps=missing), closed=name in state.stopped)


def _decode(key: str, value: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.MsgspecError as error:
        raise StartError(
            f"the saved state cannot be read: {key}: {error}; move store.directory away to start without it"
        ) from error
