"""The switcher (spec S13–S15): from what speaks against a cluster to the record table. Pure.

``decide`` moves standings on; ``settle`` makes the table that follows from standings and overrides, with its events.
Nothing moves automatically while frozen (spec S37) or before the first round is over (spec S30); in shadow mode
(spec S38) standings move and the table does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from core.detection.external import SILENCE, Assessment
from core.journal import Journal
from core.model import Cause, EventName, Phase
from core.records import RecordTable, difference
from core.state import Incident, State
from core.switching.serials import following
from core.switching.standing import Standing, advance
from core.switching.table import SERVING, StandingKey, build
from core.switching.velocity import held_until, is_corroborated
from core.world import World

UNASSESSED = Assessment()


def decide(state: State, domains: Iterable[str], journal: Journal, *, silent: Collection[str] = ()) -> State:
    """Move every cluster of these domains on by what is known now.

    ``silent`` are the clusters whose silence counts; that of others may be our own fault (spec S28), and neither erases nor
    restores them. And nobody comes back while nothing is known yet of one of its sources, as after a start (spec S30), or
    before its router is open again (spec S16).
    """
    if state.frozen or not state.round_over:
        return state
    before, standings = state.standings, dict(state.standings)
    held = dict(state.held)
    for domain in domains:
        _decide_domain(state, domain, standings, held, journal, silent)
    if held != state.held:
        state = replace(state, held=held)
    changed = {key for key, standing in standings.items() if before.get(key, SERVING) != standing}
    if not changed:
        return state
    for key in changed:
        journal.save(f"standing/{key[0]}/{key[1]}", standings[key])
    state = replace(state, standings=standings, due=next_due(standings))
    state = _record_incidents(state, before, changed, journal)
    return settle(state, journal)


def _decide_domain(
    state: State,
    domain: str,
    standings: dict[StandingKey, Standing],
    held: dict[StandingKey, float],
    journal: Journal,
    silent: Collection[str],
) -> None:
    """Those with a cause against them first, so that who is left alone is known for the others; of them, those of which it is
    sure, for they use the velocity budget up."""
    world, now = state.world, journal.now
    clusters = world.apps[domain].clusters
    waiting = {name for name in clusters if name in state.clusters and state.clusters[name].waiting}
    waiting |= state.stopped | state.opening.keys()
    causes = {name: state.assessments.get(name, UNASSESSED).against(domain) for name in clusters}
    order = {
        name: (cause is None, cause is not None and not is_corroborated(state, domain, name))
        for name, cause in causes.items()
    }
    for name in sorted(causes, key=order.__getitem__):
        cause = causes[name]
        uncounted = cause is not None and cause.rule == SILENCE and name not in silent
        was_held = held.get((domain, name), 0.0)
        if was_held and not (uncounted and now < was_held):
            del held[domain, name]
        if uncounted or (cause is None and name in waiting):
            continue
        standing = standings.get((domain, name), SERVING)
        if cause and standing.phase in {Phase.SERVING, Phase.RAMPING}:
            budget = held_until(state, domain, name, standings, now)
            if budget and budget[0] > now:
                held[domain, name] = budget[0]
                if not was_held:
                    _tell_held(domain, name, cause, *budget, journal)
                continue
        while True:
            moved = advance(standing, cause, _alone(state, domain, name, standings), world.settings.recovery, now)
            if moved is standing:
                break
            standing = standings[domain, name] = moved
            if moved.phase is Phase.ERASED and cause:
                _order_switch(world, domain, name, cause, journal)


def _order_switch(world: World, domain: str, cluster: str, cause: Cause, journal: Journal) -> None:
    journal.emit(
        EventName.SWITCH_ORDERED,
        cluster=cluster,
        app=domain,
        cause=cause.rule,
        evidence=f"{cause.where}: {cause.said}",
        fault_at=cause.fault_at,
        shadow=world.settings.safety.shadow,
    )


def _tell_held(domain: str, cluster: str, cause: Cause, until: float, other: str, journal: Journal) -> None:
    journal.emit(
        EventName.ERASE_HELD,
        cluster=cluster,
        app=domain,
        cause=f"velocity budget: {other} has just gone out; held for {until - journal.now:.1f} s unless more speaks against it",
        evidence=f"{cause.where}: {cause.said}",
        fault_at=cause.fault_at,
    )


def _alone(state: State, domain: str, cluster: str, standings: Mapping[StandingKey, Standing]) -> bool:
    """Whether no other cluster of the app is in the answers by its own standing."""
    recovery = state.world.settings.recovery
    return not any(
        standings.get((domain, other), SERVING).share(recovery) > 0
        for other in state.world.apps[domain].clusters
        if other != cluster and other not in state.overrides and state.world.weight(domain, other) > 0
    )


def _record_incidents(
    state: State, before: Mapping[StandingKey, Standing], changed: set[StandingKey], journal: Journal
) -> State:
    incidents = dict(state.incidents)
    for domain, cluster in sorted(changed):
        standing = state.standings[domain, cluster]
        if standing.phase is not Phase.ERASED or standing.cause is None:
            continue
        old = before.get((domain, cluster), SERVING)
        if old.phase in {Phase.SERVING, Phase.RAMPING} and not _same_trouble(incidents.get(cluster), standing.cause):
            steps = ((EventName.EXTERNAL_ANOMALY, journal.now), (EventName.SWITCH_ORDERED, journal.now))
            incidents[cluster] = Incident(standing.cause, ((EventName.FAULT_SEEN, standing.cause.fault_at), *steps))
            journal.save(f"incident/{cluster}", incidents[cluster])
    return replace(state, incidents=incidents)


def _same_trouble(incident: Incident | None, cause: Cause) -> bool:
    return incident is not None and incident.cause.fault_at == cause.fault_at


def settle(state: State, journal: Journal) -> State:
    """The table that follows from standings and overrides, published when it differs, with an event for each change."""
    shadow = state.world.settings.safety.shadow
    table = build(
        state.world, {} if shadow else state.standings, state.overrides, state.table, () if shadow else state.uneasy
    )
    if table is state.table:
        return state
    table = RecordTable(_next_serial(state), table.apps)
    erased: list[StandingKey] = []
    touched: set[str] = set()
    for change in difference(state.table, table):
        fields: dict[str, Any] = {"cluster": change.cluster, "app": change.domain, "serial": table.serial}
        if change.after == 0:
            erased.append((change.domain, change.cluster))
        elif change.before == 0:
            journal.emit(EventName.ADDRESS_RESTORED, cause=f"{change.after} % of answers", **fields)
            state = note(state, change.cluster, EventName.ADDRESS_RESTORED, table.serial, journal)
        else:
            journal.emit(EventName.RAMP_STEP, cause=f"{change.before} % to {change.after} % of answers", **fields)
        if not (change.before and change.after):
            touched.add(change.cluster)
    _tell_fail_open(state.table, table, journal)
    state = touch(replace(state, table=table), touched, journal)
    journal.save("table", table)
    journal.publish(table, tuple(erased))
    return state


def renew(state: State, journal: Journal) -> State:
    """The same table with a serial of its own: what stands beside the apps in their zones may have changed."""
    table = RecordTable(_next_serial(state), state.table.apps)
    journal.save("table", table)
    journal.publish(table, ())
    return replace(state, table=table)


def _next_serial(state: State) -> int:
    others = max((sight.serial for sight in state.sharing.sights.values()), default=0)
    return following(state.world.settings, state.table.serial, others)


def note(state: State, cluster: str, name: EventName, serial: int, journal: Journal) -> State:
    """The first instant of an event in the newest incident of a cluster that no person has taken out."""
    incident = state.incidents.get(cluster)
    if incident is None or cluster in state.overrides or any(step == name for step, _ in incident.steps):
        return state
    erased = serial if name is EventName.ADDRESS_ERASED else incident.serial
    noted = replace(incident, steps=(*incident.steps, (name, journal.now)), serial=erased)
    journal.save(f"incident/{cluster}", noted)
    return replace(state, incidents={**state.incidents, cluster: noted})


def touch(state: State, clusters: Iterable[str], journal: Journal) -> State:
    """A new revision for each of the clusters: an operator should have seen this before acting on them (spec S34)."""
    revisions = dict(state.revisions)
    for cluster in sorted(clusters):
        revisions[cluster] = revisions.get(cluster, 0) + 1
        journal.save(f"revision/{cluster}", revisions[cluster])
    return replace(state, revisions=revisions)


def _tell_fail_open(before: RecordTable, after: RecordTable, journal: Journal) -> None:
    for domain, app in after.apps.items():
        was = domain in before.apps and before.apps[domain].fail_open
        if app.fail_open and not was:
            served = ", ".join(record.cluster for record in app.records)
            journal.emit(
                EventName.FAIL_OPEN,
                app=domain,
                serial=after.serial,
                cause=f"every cluster is down: served are {served}",
            )
        elif was and not app.fail_open:
            journal.emit(EventName.FAIL_OPEN_ENDED, app=domain, serial=after.serial)


def next_due(standings: Mapping[StandingKey, Standing]) -> float:
    """The next instant at which time alone moves a standing on, 0 for never."""
    dues = [standing.due for standing in standings.values() if standing.due]
    return min(dues, default=0.0)
