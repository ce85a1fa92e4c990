"""The way between the server and its worker processes: messages over a socket pair, and sockets along with them.

A message is its length in four octets and a pickle; both ends are this program, and the pair has no name that another could
open. The server's end never waits: what the other does not take stays in :attr:`Channel.outbox`.
"""

from __future__ import annotations

import copyreg
import pickle
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypeAlias

from core.records import AppRecords, Record, RecordTable
from core.settings import Dns
from dnsserver.generation import Generation
from dnsserver.stats import Counters
from dnsserver.transfer import Accesses
from dnsserver.zone import Zones

_LENGTH = 4
_CHUNK = 1 << 18
_MOST_SOCKETS = 250  # of one message; the kernel takes 253


def _read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


def _by_fields(kind: type[Any]) -> None:
    """Copies are made by calling the class: a tenth of the time of what a frozen dataclass brings along, and a table that
    lost a cluster has to reach every worker before anybody can be told that it is gone."""
    values = attrgetter(*(each.name for each in fields(kind)))
    copyreg.pickle(kind, lambda it: (kind, values(it)))


_by_fields(Record)
_by_fields(AppRecords)
# The tables of the switcher are such, and Python has no way of its own to copy one to another process.
copyreg.pickle(MappingProxyType, lambda mapping: (_read_only, (mapping.copy(),)))


@dataclass(frozen=True, slots=True)
class NewZones:
    """Zones and settings; tables of them follow. ``secrets`` are those of the cookies: what one worker gave, all know."""

    zones: Zones
    settings: Dns
    accesses: Accesses
    secrets: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewTables:
    """The table to answer from, and those before it."""

    table: RecordTable
    history: tuple[RecordTable, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """The next table: the apps that are not as they were, those that went, and how many tables before it count."""

    serial: int
    apps: dict[str, AppRecords]
    gone: tuple[str, ...]
    remembered: bool
    kept: int


@dataclass(frozen=True, slots=True)
class Serve:
    """The sockets that come along are to be served: so many for datagrams, then as many listeners."""

    ports: int


@dataclass(frozen=True, slots=True)
class Count:
    """Say that you are there, and what you have counted."""


Order: TypeAlias = NewZones | NewTables | Changed | Serve | Count


@dataclass(frozen=True, slots=True)
class Done:
    """Everything up to an order has been carried out."""

    number: int
    counters: Counters


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker ends by an exception."""

    why: str


def changed(old: Generation, new: Generation) -> Changed:
    """What leads from one table to the next."""
    before, after = old.table.apps, new.table.apps
    return Changed(
        new.table.serial,
        {name: app for name, app in after.items() if before.get(name) is not app},
        tuple(name for name in before if name not in after),
        remembered=bool(new.history) and new.history[-1] is old.table,
        kept=len(new.history),
    )


def follow(change: Changed, table: RecordTable, history: tuple[RecordTable, ...]) -> NewTables:
    """The other end of :func:`changed`; apps that stay as they were stay the same objects."""
    apps = {name: app for name, app in table.apps.items() if name not in change.gone} | change.apps
    before = (*history, table) if change.remembered else history
    return NewTables(RecordTable(change.serial, apps), before[len(before) - change.kept :])


def packed(message: object) -> bytes:
    """A message as it goes over the pair."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(_LENGTH) + body


class Channel:
    """One end of the pair."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.outbox: deque[tuple[memoryview, Sequence[int]]] = deque()
        self.sockets: deque[int] = deque()
        """Descriptors that have come in."""
        self._inbox = bytearray()

    def put(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """To be sent by :meth:`flush`; the descriptors may be closed only then."""
        self.outbox.append((memoryview(message), descriptors))

    def flush(self) -> None:
        """Sends what the other end takes now. OSError when it has gone."""
        while self.outbox:
            message, descriptors = self.outbox[0]
            try:
                sent = (
                    socket.send_fds(self.sock, [message], list(descriptors)) if descriptors else self.sock.send(message)
                )
            except BlockingIOError:
                return
            if sent == len(message):
                self.outbox.popleft()
            else:
                self.outbox[0] = message[sent:], ()

    def receive(self) -> Iterator[Any]:
        """The messages that are whole, after one read. EOFError when the other end has closed, BlockingIOError where the
        socket does not wait."""
        data, descriptors, _, _ = socket.recv_fds(self.sock, _CHUNK, _MOST_SOCKETS)
        if not data:
            raise EOFError
        self._inbox += data
        self.sockets += descriptors
        while len(self._inbox) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._inbox[:_LENGTH])
            if len(self._inbox) < end:
                return
            message = pickle.loads(memoryview(self._inbox)[_LENGTH:end])  # noqa: S301 - the pair has no other ends than ours
            del self._inbox[:end]
            yield message
