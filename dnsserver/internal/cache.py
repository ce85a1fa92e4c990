"""What the internal DNS knows: answers by question, until their time is over, and what may stand in none. Pure.

An erase takes an address out of every answer that is held and keeps it out of those that come, so that a secondary which lags
behind cannot bring it back. Bounded; the entry that was used longest ago goes first. Instants are seconds, monotonic.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TypeAlias

import dns.name
import dns.rdatatype

from dnsserver.wireform import Labels, labels_of, wire_name

Question: TypeAlias = tuple[Labels, int]
_CNAME = int(dns.rdatatype.CNAME)
Place: TypeAlias = tuple[int, bytes]
"""What an erase names: a record's type and data, an address or the name behind a CNAME."""
HELD_OUT = 900.0
"""Seconds that an erase holds without a later order. By then the external DNS is right, or nobody is there who could mend it;
longer than a signature is good for, so that no order can be played again once it is forgotten."""
_HALF = 1 << 31


@dataclass(frozen=True, slots=True)
class Item:
    """One record; ``data`` as on the wire, names in it not compressed."""

    owner: Labels
    rtype: int
    ttl: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """The answer to one question. ``follow``: the name that a CNAME leads to and whose records are not in here."""

    rcode: int
    answer: tuple[Item, ...]
    authority: tuple[Item, ...]
    stored: float
    ttl: int
    follow: Labels = ()

    def fresh(self, now: float) -> bool:
        return now < self.stored + self.ttl


@dataclass(frozen=True, slots=True)
class _Order:
    serial: int
    places: frozenset[Place]
    until: float


class StaleOrder(Exception):
    """There was an order with a later serial (spec S32); ``serial`` is that."""

    def __init__(self, serial: int) -> None:
        super().__init__(f"there was an order of serial {serial}")
        self.serial = serial


class Cache:
    """``keep``: seconds that an entry is kept beyond its time, for when nobody can be asked (RFC 8767)."""

    def __init__(self, entries: int, keep: float) -> None:
        self._limit = entries
        self._keep = keep
        self._entries: OrderedDict[Question, Entry] = OrderedDict()
        self._orders: dict[Labels, _Order] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, question: Question, now: float) -> Entry | None:
        """Also one whose time is over: the caller asks it whether it is fresh."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        if now >= entry.stored + entry.ttl + self._keep:
            del self._entries[question]
            return None
        self._entries.move_to_end(question)
        return entry

    def put(self, question: Question, entry: Entry, now: float) -> Entry:
        """The entry as it is held: :meth:`clean`."""
        entry = self.clean(entry, now)
        self._entries[question] = entry
        self._entries.move_to_end(question)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)
        return entry

    def clean(self, entry: Entry, now: float) -> Entry:
        """Without what is erased. Where nothing would be left (spec S27) it is whole, for this once: whoever gave it lags
        behind, and is asked again the next time."""
        return _without(entry, self._erased(entry.answer, now)) or replace(entry, ttl=0)

    def erase(self, name: Labels, places: frozenset[Place], serial: int, now: float) -> int:
        """From now on no answer for ``name`` holds these places; how many entries lost one. Harmless to repeat. Raises StaleOrder."""
        self._note(name, places, serial, now)
        touched = 0
        for question, entry in list(self._entries.items()):
            if not any(_matches(item.owner, name) for item in entry.answer):
                continue
            left = _without(entry, {(item.owner, place) for item in entry.answer for place in places})
            if left is entry:
                continue
            touched += 1
            if left:
                self._entries[question] = left
            else:
                del self._entries[question]
        return touched

    def forget(self, name: Labels, serial: int | None, now: float) -> int:
        """Drop what is held at and below ``name``, to be asked for anew; how many entries. Raises StaleOrder."""
        if serial is not None:
            before = self._orders.get(name)
            self._note(name, before.places if before and now < before.until else frozenset(), serial, now)
        above = name[name[0] == b"*" :]
        gone = [question for question in self._entries if question[0][-len(above) :] == above]
        for question in gone:
            del self._entries[question]
        return len(gone)

    def _note(self, name: Labels, places: frozenset[Place], serial: int, now: float) -> None:
        before = self._orders.get(name)
        if before and now < before.until and 0 < (before.serial - serial) % (2 * _HALF) < _HALF:  # RFC 1982
            raise StaleOrder(before.serial)
        self._orders = {each: order for each, order in self._orders.items() if now < order.until}
        self._orders[name] = _Order(serial, places, now + HELD_OUT)

    def _erased(self, answer: Iterable[Item], now: float) -> set[tuple[Labels, Place]]:
        return {
            (item.owner, place)
            for item in answer
            for name, order in self._orders.items()
            if _matches(item.owner, name) and now < order.until
            for place in order.places
        }


def place_of(text: str) -> Place:
    """An address, or a host name, as an erase names it."""
    try:
        address = ip_address(text)
    except ValueError:
        return _CNAME, wire_name(labels_of(text))
    return int(dns.rdatatype.A if address.version == 4 else dns.rdatatype.AAAA), address.packed


def aged(items: Iterable[Item], entry: Entry, now: float, stale_ttl: int) -> list[Item]:
    """Records of the entry with the seconds that are left to them; ``stale_ttl`` where its time is over (RFC 8767 section 4)."""
    age = int(now - entry.stored)
    if not entry.fresh(now):
        return [replace(item, ttl=stale_ttl) for item in items]
    return [replace(item, ttl=max(0, min(item.ttl, entry.ttl) - age)) for item in items]


def _without(entry: Entry, erased: set[tuple[Labels, Place]]) -> Entry | None:
    """The entry itself where it holds none of these; None where nothing of what was asked for would be left."""
    left = tuple(item for item in entry.answer if (item.owner, (item.rtype, item.data)) not in erased)
    if len(left) == len(entry.answer):
        return entry
    kinds = {item.rtype for item in entry.answer} - {_CNAME} or {_CNAME}
    return replace(entry, answer=left) if any(item.rtype in kinds for item in left) else None


def _matches(owner: Labels, name: Labels) -> bool:
    """Whether ``owner`` is the name, or one that a wildcard stands for."""
    return owner == name or (name[0] == b"*" and len(owner) >= len(name) and owner[-len(name) + 1 :] == name[1:])


def labels(name: dns.name.Name) -> Labels:
    """A name of dnspython's as labels in lower case."""
    return tuple(label.lower() for label in name.labels[:-1])
