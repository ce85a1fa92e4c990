"""Zone transfers to secondaries: AXFR (RFC 5936) and IXFR (RFC 1995). Called by the wire thread, over TCP alone.

Owns who may transfer. A transfer is a series of messages, each made when the connection takes more, so that a large
zone never stands in the way of questions. What changed is told from the record tables that were answered before: they
are immutable and share what did not change, so keeping the last of them costs nothing when a table is published. Where
a secondary is further behind, or the zones were read anew, it gets the whole zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from struct import Struct

import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig

from core.errors import ConfigError
from core.records import RecordTable
from core.settings import Settings
from core.settings import tsig as keys
from core.settings.base import peer_address
from dnsserver import contents, message, tsig
from dnsserver.contents import WireRecord
from dnsserver.message import Query, Refusal
from dnsserver.resolve import TRANSFERS
from dnsserver.stats import Counters
from dnsserver.wireform import Labels, labels_of
from dnsserver.zone import Zone, Zones

KEPT = 64
"""Record tables that a secondary may be behind and still get only what changed."""
_IXFR = int(dns.rdatatype.IXFR)
_LARGE = 16384
_ROOM = 60000
_RECORD = Struct("!HHIH")
_OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
_QUESTION_POINTER = 0xC000 | message.HEADER_OCTETS
_HALF = 1 << 31


@dataclass(frozen=True, slots=True)
class Access:
    """Who may transfer a zone: these addresses, and where there is a key only what it signed."""

    addresses: frozenset[str]
    key: dns.tsig.Key | None

    def allows(self, address: str, key: dns.tsig.Key | None) -> bool:
        return address in self.addresses and (self.key is None or key == self.key)


@dataclass(frozen=True, slots=True)
class Accesses:
    """Of all zones that have secondaries."""

    zones: Mapping[Labels, Access]
    keyring: tsig.Keyring


NOBODY = Accesses({}, tsig.NO_KEYS)


def accesses(settings: Settings) -> Accesses:
    """From the settings and the key files that they name. Raises ConfigError with all problems."""
    found: dict[Labels, Access] = {}
    by_name: dict[object, dns.tsig.Key] = {}
    problems: list[str] = []
    for section in settings.zone:
        key = None
        if section.tsig:
            try:
                key = keys.read(section.tsig)
            except ConfigError as error:
                problems += error.problems
                continue
            if by_name.setdefault(key.name, key) != key:
                problems.append(f"{section.tsig}: another key of the same name is used by another zone")
        if section.transfer_to:
            peers = frozenset(peer_address(peer)[0] for peer in section.transfer_to)
            found[labels_of(section.name)] = Access(peers, key)
    if problems:
        raise ConfigError(*problems)
    return Accesses(found, tsig.Keyring(by_name.values()))


def is_wanted(packet: bytes) -> bool:
    """Whether the packet asks for a transfer."""
    try:
        return message.is_query(packet) and message.read(packet).qtype in TRANSFERS
    except Refusal:
        return False


class Transfers:
    """The transfers of one record table; ``history`` are those before it with the same zones, oldest first."""

    __slots__ = ("_accesses", "_counters", "_history", "_table", "_zones")

    def __init__(
        self,
        zones: Zones,
        table: RecordTable,
        history: tuple[RecordTable, ...],
        accesses: Accesses,
        counters: Counters,
    ) -> None:
        self._zones = zones
        self._table = table
        self._history = history
        self._accesses = accesses
        self._counters = counters

    def answer(self, packet: bytes, client: str) -> Iterator[bytes]:
        """The messages to send, in order, to a client's address. The packet must be one (:func:`is_wanted`)."""
        query = message.read(packet)
        session = None
        try:
            parts = tsig.take_apart(packet)
            if parts.tsig:
                _, session = self._accesses.keyring.open(packet, parts)
            zone = self._zone(query, client, session.key if session else None, parts)
        except tsig.Rejected as rejected:
            self._counters.answers[dns.rcode.NOTAUTH << 1] += 1
            yield rejected.reply
            return
        except Refusal as refusal:
            self._counters.answers[refusal.rcode << 1] += 1
            reply = _message(packet, query, refusal.rcode, 0, b"", parts=None)
            yield session.sign(reply) if session else reply
            return
        self._counters.answers[dns.rcode.NOERROR << 1] += 1
        records = self._incremental(zone, parts.serial) if query.qtype == _IXFR and parts.serial is not None else None
        for reply in _messages(packet, query, parts, records or self._whole(zone)):
            yield session.sign(reply) if session else reply

    def _zone(self, query: Query, client: str, key: dns.tsig.Key | None, parts: tsig.Parts) -> Zone:
        zone = self._zones.get(query.name) if query.qclass == dns.rdataclass.IN else None
        if zone is None:
            raise Refusal(dns.rcode.NOTAUTH)
        access = self._accesses.zones.get(query.name)
        if access is None or not access.allows(client, key):
            raise Refusal(dns.rcode.REFUSED)
        if query.qtype == _IXFR and parts.serial is None:
            raise Refusal(dns.rcode.FORMERR)
        return zone

    def _whole(self, zone: Zone) -> Iterator[WireRecord]:
        soa = contents.soa(zone, self._table.serial)
        return chain((soa,), contents.static_records(zone), contents.app_records(zone, self._table), (soa,))

    def _incremental(self, zone: Zone, serial: int) -> Iterator[WireRecord] | None:
        """From the secondary's serial to ours in one step (RFC 1995 section 5); None where only the whole zone will do."""
        soa = contents.soa(zone, self._table.serial)
        if not 0 < (self._table.serial - serial) % (2 * _HALF) < _HALF:  # RFC 1982: it has this one, or a newer one
            return iter((soa,))
        old = next((table for table in self._history if table.serial & 0xFFFFFFFF == serial), None)
        if old is None:
            return None
        gone, come = contents.changed(zone, old, self._table)
        return iter((soa, contents.soa(zone, old.serial), *gone, soa, *come, soa))


def _messages(packet: bytes, query: Query, parts: tsig.Parts, records: Iterator[WireRecord]) -> Iterator[bytes]:
    body = bytearray()
    count = 0
    for record in records:
        written = _record(query.name, record)
        if body and len(body) + len(written) > (_LARGE if len(written) < _LARGE else _ROOM):
            yield _message(packet, query, dns.rcode.NOERROR, count, bytes(body), parts)
            body.clear()
            count = 0
        body += written
        count += 1
    yield _message(packet, query, dns.rcode.NOERROR, count, bytes(body), parts)


def _record(apex: Labels, record: WireRecord) -> bytes:
    """The owner is compressed by the question, which every message repeats; the data is not."""
    name, rtype, ttl, data = record
    owner = b"".join(bytes((len(label),)) + label for label in name[: len(name) - len(apex)])
    return owner + _QUESTION_POINTER.to_bytes(2) + _RECORD.pack(rtype, dns.rdataclass.IN, ttl, len(data)) + data


def _message(packet: bytes, query: Query, rcode: int, count: int, records: bytes, parts: tsig.Parts | None) -> bytes:
    opt = _OPT if parts and parts.opt else b""
    flags = message.QR | (0 if rcode else message.AA) | query.flags & message.RD | rcode
    question = packet[message.HEADER_OCTETS : query.end + 4]
    header = message.HEADER.pack(int.from_bytes(packet[:2]), flags, 1, count, 0, 1 if opt else 0)
    return header + question + records + opt
