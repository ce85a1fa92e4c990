"""Orders of operators that are shared with other instances (spec S22, S34). Pure.

An order is carried out here first, and then written into the document that all instances share, by compare-and-swap on its revision.
What it says of each cluster is the newest order, also a restore, so that one who was away learns of it. When another's order got
there first, and ours was given without knowing of it:

==============  ===============  =====================================================================================
ours            theirs           then
==============  ===============  =====================================================================================
drain, erase    restore          ours goes on top: nobody brings in what somebody took out without knowing
drain, erase    drain, erase     theirs holds; ours is *overruled*, and its operator told
restore         drain, erase     theirs holds; ours is overruled
restore         restore          the same
==============  ===============  =====================================================================================

And what two operators took out together may not leave a domain without a healthy cluster: ours is taken back, unless it was forced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from core.journal import Journal
from core.model import Order, Override
from core.shared import SharedOrder, Sharing
from core.state import State

T = TypeVar("T")


def share(state: State, order: Order, journal: Journal) -> State:
    """An operator's order, carried out here, is to stand in the document."""
    if not state.world.settings.peers.etcd:
        return state
    name, lasts = state.world.settings.peers.name, None if order.until is None else order.until - journal.now
    shared = SharedOrder(order.action, order.who, order.why, name, journal.now, order.force, lasts, left=lasts)
    return _unshared(state, dict.fromkeys(order.clusters, shared), journal)


def share_again(state: State, journal: Journal) -> State:
    """Overrides that the document does not know of, because it is new or was lost."""
    document, sharing = state.sharing.document, state.sharing
    assert document is not None
    missing = state.overrides.keys() - document.orders.keys() - sharing.unshared.keys()
    found = {name: _as_shared(state, state.overrides[name], sharing.adopted.get(name), journal.now) for name in missing}
    return _unshared(state, found, journal) if found else state


def withdraw(state: State, clusters: Iterable[str], journal: Journal) -> State:
    """Orders that hold no longer and were not shared yet."""
    gone = [name for name in clusters if name in state.sharing.unshared]
    for name in gone:
        journal.save(f"unshared/{name}", None)
    return _with(state, unshared=_without(state.sharing.unshared, gone)) if gone else state


def adopted(state: State, cluster: str, order: SharedOrder, journal: Journal) -> State:
    """This is the newest order for a cluster, for us as well."""
    journal.save(f"adopted/{cluster}", order)
    state = _with(state, adopted={**state.sharing.adopted, cluster: order})
    return withdraw(state, (cluster,), journal)


def fitted(state: State, journal: Journal) -> State:
    """After a reload: what was adopted for clusters that are no longer named is forgotten."""
    gone = [name for name in state.sharing.adopted if name not in state.world.clusters]
    for name in gone:
        journal.save(f"adopted/{name}", None)
    state = withdraw(state, [name for name in state.sharing.unshared if name not in state.world.clusters], journal)
    return _with(state, adopted=_without(state.sharing.adopted, gone)) if gone else state


def _as_shared(state: State, override: Override, known: SharedOrder | None, now: float) -> SharedOrder:
    left = None if override.until is None else override.until - now
    if known and known.action is override.action:
        return replace(known, timer=0, left=left)
    name = state.world.settings.peers.name
    lasts = None if override.until is None else override.until - override.since
    return SharedOrder(override.action, override.who, override.why, name, override.since, lasts=lasts, left=left)


def _unshared(state: State, orders: Mapping[str, SharedOrder], journal: Journal) -> State:
    for name, order in orders.items():
        journal.save(f"unshared/{name}", order)
    return _with(state, unshared={**state.sharing.unshared, **orders})


def _with(state: State, **changes: Mapping[str, SharedOrder]) -> State:
    sharing: Sharing = replace(state.sharing, **changes)  # type: ignore[arg-type]  # fields of orders alone
    return replace(state, sharing=sharing)


def _without(orders: Mapping[str, T], names: Iterable[str]) -> dict[str, T]:
    return {name: order for name, order in orders.items() if name not in {*names}}
