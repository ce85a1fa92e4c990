"""Orders of operators and the expiry of overrides, carried out on the state (spec S22, S34, S37). Pure."""

from __future__ import annotations

from dataclasses import replace

from core.journal import Journal
from core.model import Action, EventName, Order, Phase
from core.snapshot import Freeze
from core.state import State
from core.switching.orders import overridden, overruled, refusal
from core.switching.sharing import share, withdraw
from core.switching.standing import Standing, begin_ramp, hold
from core.switching.switcher import UNASSESSED, next_due, settle, touch
from core.switching.table import SERVING

KEYS_KEPT = 256


def obey(state: State, order: Order, journal: Journal) -> State:
    """Carry an order out and reply, or refuse it with the reason and the present revision."""
    order = replace(order, clusters=tuple(dict.fromkeys(order.clusters)))
    key = f"{order.key}:{order.action}:{','.join(order.clusters)}" if order.key else ""
    if key in state.keys:
        journal.reply(*state.keys[key])
        return state
    refused = refusal(state, order, journal.now)
    if refused:
        journal.refuse(*refused)
        return state
    if order.action in {Action.FREEZE, Action.THAW}:
        state, said = _freeze(state, order, journal)
    else:
        state, said = _override(state, order, journal)
        state = share(state, order, journal)
    if key:
        keys = {**state.keys, key: said}
        while len(keys) > KEYS_KEPT:
            oldest = next(iter(keys))
            del keys[oldest]
            journal.save(f"order/{oldest}", None)
        journal.save(f"order/{key}", said)
        state = replace(state, keys=keys)
    journal.reply(*said)
    return state


def expire(state: State, journal: Journal) -> State:
    """End the overrides whose time is over; while frozen they go on (spec S37)."""
    if state.frozen:
        return state
    over = [o for o in state.overrides.values() if o.until is not None and o.until <= journal.now]
    if not over:
        return state
    for override in over:
        journal.emit(
            EventName.OVERRIDE_EXPIRED,
            cluster=override.cluster,
            who=override.who,
            cause=f"{override.action} ended as set: {override.why}",
        )
    state = withdraw(state, (override.cluster for override in over), journal)
    return release(state, tuple(override.cluster for override in over), journal)[0]


def _freeze(state: State, order: Order, journal: Journal) -> tuple[State, tuple[str, ...]]:
    frozen = Freeze(order.who, order.why, journal.now) if order.action is Action.FREEZE else None
    name = EventName.FROZEN if frozen else EventName.THAWED
    journal.emit(name, who=order.who, cause=order.why)
    journal.save("freeze", frozen)
    if frozen:
        return replace(state, frozen=frozen), ("frozen: no automatic changes, answers go on",)
    standings = dict(state.standings)
    for key, standing in state.standings.items():
        if standing.phase is Phase.RECOVERING:  # nobody has watched whether it stayed well (spec S29)
            due = journal.now + hold(standing.flaps, state.world.settings.recovery)
            standings[key] = replace(standing, since=journal.now, due=due)
            journal.save(f"standing/{key[0]}/{key[1]}", standings[key])
    state = replace(state, frozen=None, standings=standings, due=next_due(standings))
    return state, ("thawed: automatic control is back",)


def _override(state: State, order: Order, journal: Journal) -> tuple[State, tuple[str, ...]]:
    if order.action is Action.RESTORE:
        for cluster in order.clusters:
            journal.emit(EventName.OVERRIDE_ENDED, cluster=cluster, who=order.who, cause=order.why or "restore")
        return release(state, order.clusters, journal)
    overrides = overridden(state.overrides, order, journal.now)
    against, said = overruled(state, order, journal.now), []
    for cluster in order.clusters:
        journal.emit(
            EventName.OVERRIDE_SET,
            cluster=cluster,
            who=order.who,
            cause=f"{order.action}: {order.why}".rstrip(": "),
            evidence=f"forced, {'for the reason given' if order.why else 'no reason given'}: {against}"
            if against
            else "",
        )
        journal.save(f"override/{cluster}", overrides[cluster])
        words = "is drained: no new clients" if order.action is Action.DRAIN else "is erased"
        said.append(f"{cluster} {words}")
    state = touch(replace(state, overrides=overrides), order.clusters, journal)
    return settle(state, journal), tuple(said)


def release(state: State, clusters: tuple[str, ...], journal: Journal) -> tuple[State, tuple[str, ...]]:
    """Back under automatic control: ramped up at once where nothing speaks against it, out until then elsewhere.

    Where it is answered already it goes on as it is. While frozen nothing would carry a ramp on: there is none.
    """
    overrides = {name: override for name, override in state.overrides.items() if name not in clusters}
    standings, said = dict(state.standings), []
    recovery = state.world.settings.recovery
    for cluster in clusters:
        if cluster in state.overrides:
            journal.save(f"override/{cluster}", None)
        assessment, against = state.assessments.get(cluster, UNASSESSED), []
        for app in state.world.clusters[cluster].apps:
            cause = assessment.against(app.domain)
            standing = standings.get((app.domain, cluster), SERVING)
            if cause:
                against.append(cause)
                if standing.phase is not Phase.ERASED:
                    standing = replace(standing, phase=Phase.ERASED, since=journal.now, cause=cause, due=0.0)
            elif cluster not in state.overrides and standing.phase in {Phase.SERVING, Phase.RAMPING}:
                continue
            elif state.frozen:
                standing = replace(standing, phase=Phase.SERVING, since=journal.now, cause=None, due=0.0)
            elif cluster in state.stopped:  # ramped up once its router is open
                standing = Standing(Phase.RECOVERING, journal.now, due=journal.now)
            else:
                standing = replace(begin_ramp(standing, recovery, journal.now), flaps=0)
            standings[app.domain, cluster] = standing
            journal.save(f"standing/{app.domain}/{cluster}", standing)
        if against:
            said.append(
                f"{cluster} is under automatic control again and still fails: {against[0].where}: {against[0].said}"
            )
        else:
            first = ": its router is opened, then it" if cluster in state.stopped else " and"
            said.append(f"{cluster} is restored{first} ramps up")
    state = replace(state, overrides=overrides, standings=standings, due=next_due(standings))
    return settle(touch(state, clusters, journal), journal), tuple(said)
