"""The orders of all instances, as they stand in the shared document, carried out here (spec S22, S34). Pure.

The rules of conflict are in :mod:`core.switching.sharing`. An order of another's is as good as one given here: it holds while
frozen too (spec S37), and needs no leave of what this instance sees.
"""

from __future__ import annotations

from dataclasses import replace

from core.journal import Journal
from core.model import Action, EventName, Order, Override
from core.shared import Document, Overruled, SharedOrder
from core.state import State
from core.switching.operator import release
from core.switching.orders import TAKES_OUT, is_out, overruled
from core.switching.sharing import adopted, share_again, withdraw
from core.switching.switcher import settle, touch
from core.switching.table import build


def on_document(state: State, document: Document, journal: Journal) -> State:
    """Carry out what is new in it."""
    state = replace(state, sharing=replace(state.sharing, document=document))
    adopted_before, taken_out = state.sharing.adopted, ""
    for cluster, order in document.orders.items():
        if cluster in state.world.clusters:
            state = _meet(state, cluster, order, journal)
            is_new = order != adopted_before.get(cluster) and order == state.sharing.adopted.get(cluster)
            if is_new and order.action in TAKES_OUT and order.by != state.world.settings.peers.name:
                taken_out = f"{order.action} of {cluster} by {_who(order)}"
    if taken_out:
        state = _take_back(state, taken_out, journal)
    return share_again(state, journal)


def _meet(state: State, cluster: str, order: SharedOrder, journal: Journal) -> State:
    """What stands in the document for a cluster meets what is known, and an order of ours that does not stand there yet."""
    known, mine = state.sharing.adopted.get(cluster), state.sharing.unshared.get(cluster)
    if mine == order:
        return adopted(state, cluster, order, journal)
    if known == order:
        return state
    new = mine if mine != known else None  # else it is one that everybody knew, and that etcd had lost
    if new and new.action in TAKES_OUT and order.action not in TAKES_OUT:
        return state
    if new and order.action in TAKES_OUT:
        said = f"{_who(order)} has ordered {order.action} of {cluster} first"
        state = _overrule(state, cluster, new, said, journal)
    return _adopt(state, cluster, order, journal)


def _adopt(state: State, cluster: str, order: SharedOrder, journal: Journal) -> State:
    state = adopted(state, cluster, order, journal)
    over = order.left is not None and order.left <= 0
    if order.action is Action.RESTORE or over:
        if not is_out(state, cluster) or (over and cluster not in state.overrides):
            return state
        if cluster in state.overrides:
            name = EventName.OVERRIDE_EXPIRED if over else EventName.OVERRIDE_ENDED
            journal.emit(name, cluster=cluster, who=_who(order), cause=order.why or str(order.action))
        return release(state, (cluster,), journal)[0]
    until = None if order.left is None else journal.now + order.left
    override = Override(cluster, order.action, _who(order), order.why, journal.now, until)
    cause = f"{order.action}: {order.why}".rstrip(": ")
    journal.emit(EventName.OVERRIDE_SET, cluster=cluster, who=override.who, cause=cause)
    journal.save(f"override/{cluster}", override)
    state = replace(state, overrides={**state.overrides, cluster: override})
    return settle(touch(state, (cluster,), journal), journal)


def _take_back(state: State, because: str, journal: Journal) -> State:
    """Ours, of those that are not shared yet, the newest first, that would leave a domain without a healthy cluster together with theirs."""
    for cluster, mine in reversed(list(state.sharing.unshared.items())):
        known = mine == state.sharing.adopted.get(cluster)
        if mine.action not in TAKES_OUT or mine.force or known or cluster not in state.overrides:
            continue
        overrides = {name: override for name, override in state.overrides.items() if name != cluster}
        table = build(state.world, state.standings, overrides, state.table)
        without = replace(state, overrides=overrides, table=table)
        lost = overruled(without, Order(mine.action, (cluster,)), journal.now)
        if lost:
            state = _overrule(state, cluster, mine, f"{lost} after {because}", journal)
            state = release(withdraw(state, (cluster,), journal), (cluster,), journal)[0]
    return state


def _overrule(state: State, cluster: str, mine: SharedOrder, said: str, journal: Journal) -> State:
    journal.emit(EventName.OVERRIDE_OVERRULED, cluster=cluster, who=mine.who, cause=f"{mine.action}: {said}")
    overruled = {**state.sharing.overruled, cluster: Overruled(journal.now, said)}
    return replace(state, sharing=replace(state.sharing, overruled=overruled))


def _who(order: SharedOrder) -> str:
    return f"{order.who} at {order.by}"
