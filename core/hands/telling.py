"""What the confirmation of a hand is worth telling (spec S15, S17, S33). Pure; called where the hands are joined to the engine."""

from __future__ import annotations

from collections.abc import Iterator

from core.hands.hand import Hand, Target
from core.hands.internal_dns import InternalDns
from core.model import Event, EventName
from core.state import State


def events(hand: Hand, before: Target, after: Target, state: State, now: float) -> Iterator[Event]:
    """The events of one confirmation, ``before`` being what the same hand had confirmed."""
    if isinstance(hand, InternalDns):
        yield from _erased(hand, before, after, state, now)


def _erased(hand: InternalDns, before: Target, after: Target, state: State, now: float) -> Iterator[Event]:
    """One for each cluster whose address the internal DNS answers no longer under a domain name."""
    for domain, places in hand.told_of(after).items():
        gone = places - before.erased.get(domain, frozenset())
        app = state.world.apps.get(domain)
        for name in app.clusters if app and gone else ():
            mine = [place for place in state.world.clusters[name].cluster.places if place in gone]
            if not mine:
                continue
            fault_at = state.fault_at(name)
            yield Event(
                EventName.INTERNAL_DNS_ERASED,
                now,
                cluster=name,
                app=domain,
                cause=hand.name,
                evidence=f"{hand.name} at {hand.address} answers without {', '.join(mine)}",
                serial=after.table.serial,
                since_fault_ms=(now - fault_at) * 1000 if fault_at else None,
            )
