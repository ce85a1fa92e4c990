"""Queries read strictly from hostile bytes, and messages written. Pure. Called by :mod:`dnsserver.respond`.

dnslib writes every message. Queries are read by hand: dnslib's reader takes two OPTs, several questions, trailing bytes
and names of more than 255 octets, refuses labels that are not UTF-8, and loses an empty option at the end, which is
what asks for the NSID.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any

import dns.opcode
import dns.rcode
import dns.rdatatype
import dnslib
from dnslib.label import DNSBuffer

from dnsserver.resolve import TRANSFERS, Reply
from dnsserver.wireform import Labels

HEADER_OCTETS = 12
STREAM_OCTETS = 65535
NSID, COOKIE = 3, 10
QR, AA, TC, RD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0010
HEADER = Struct("!6H")
_TYPE_CLASS = Struct("!HH")
_OPT = Struct("!BHHIH")
_DO, _CO = 0x8000, 0x4000
_POINTER_LIMIT = 0x4000


class Refusal(Exception):
    """A packet that has no readable question; ``rcode`` says what is wrong with it."""

    def __init__(self, rcode: int) -> None:
        self.rcode = rcode


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT of a query (RFC 6891): the client's UDP size in octets, version, DO bit, whether it knows NXNAME (CO bit, RFC
    9824), and whether it asks for NSID."""

    payload: int
    version: int
    dnssec_ok: bool
    compact_ok: bool
    nsid: bool


@dataclass(frozen=True, slots=True)
class Query:
    """One question. ``name`` is in lower case; ``end`` is the offset of the octet after the name in the packet."""

    flags: int
    name: Labels
    end: int
    qtype: int
    qclass: int
    edns: Edns | None


def is_query(packet: bytes) -> bool:
    """Responses and what is too short for a header get no answer at all, lest two servers answer each other forever."""
    return len(packet) >= HEADER_OCTETS and not packet[2] & 0x80


def read(packet: bytes) -> Query:
    """Raises Refusal with FORMERR or NOTIMP. The packet must be one (:func:`is_query`)."""
    _, flags, questions, answers, authorities, additionals = HEADER.unpack_from(packet)
    if flags >> 11 & 15 != dns.opcode.QUERY:
        raise Refusal(dns.rcode.NOTIMP)
    if questions != 1:
        raise Refusal(dns.rcode.FORMERR)
    name, end = _read_name(packet)
    if len(packet) < end + _TYPE_CLASS.size:
        raise Refusal(dns.rcode.FORMERR)
    qtype, qclass = _TYPE_CLASS.unpack_from(packet, end)
    edns = None
    if qtype not in TRANSFERS:  # their SOA and TSIG records are not read, because they are refused anyway
        if answers or authorities or additionals > 1:
            raise Refusal(dns.rcode.FORMERR)
        rest = packet[end + _TYPE_CLASS.size :]
        if additionals:
            edns = _read_opt(rest)
        elif rest:
            raise Refusal(dns.rcode.FORMERR)
    return Query(flags, name, end, qtype, qclass, edns)


def _read_name(packet: bytes) -> tuple[Labels, int]:
    """A first name has nothing before it that it could be compressed with, so a pointer is malformed here."""
    labels: list[bytes] = []
    at = HEADER_OCTETS
    while True:
        length = packet[at] if at < len(packet) else 64
        if length > 63 or at + length - HEADER_OCTETS > 254:
            raise Refusal(dns.rcode.FORMERR)
        at += 1
        if not length:
            return tuple(labels), at
        labels.append(packet[at : at + length].lower())
        at += length


def _read_opt(rest: bytes) -> Edns:
    if len(rest) < _OPT.size:
        raise Refusal(dns.rcode.FORMERR)
    root, rtype, payload, ttl, length = _OPT.unpack_from(rest)
    version = ttl >> 16 & 0xFF
    codes = option_codes(rest[_OPT.size :]) if not version else []  # what a later version holds is not ours to read
    if root or rtype != dns.rdatatype.OPT or len(rest) != _OPT.size + length or codes is None:
        raise Refusal(dns.rcode.FORMERR)
    return Edns(payload, version, bool(ttl & _DO), bool(ttl & _CO), NSID in codes)


def option_codes(options: bytes) -> list[int] | None:
    """The codes of the EDNS options (RFC 6891 section 6.1.2); None when they are malformed, or a cookie is (RFC 7873
    section 5.2.2)."""
    codes = []
    at = 0
    while at < len(options):
        if len(options) < at + 4:
            return None
        code, length = _TYPE_CLASS.unpack_from(options, at)
        if code == COOKIE and not is_cookie_length(length):
            return None
        codes.append(code)
        at += 4 + length
    return codes if at == len(options) else None


def is_cookie_length(octets: int) -> bool:
    """A client's part, and with it perhaps a server's of 8 to 32 octets (RFC 7873 section 4)."""
    return octets == 8 or 16 <= octets <= 40


def refuse(packet: bytes, rcode: int) -> bytes:
    """A header alone, for a packet whose question cannot be read or answered."""
    ident, flags = _TYPE_CLASS.unpack_from(packet)
    return HEADER.pack(ident, QR | flags & (0x7800 | RD) | rcode, 0, 0, 0, 0)


def truncated(reply: bytes, end: int) -> bytes:
    """A message whose question ends at ``end``, cut down to it."""
    ident, flags = _TYPE_CLASS.unpack_from(reply)
    return HEADER.pack(ident, flags | TC, 1, 0, 0, 0) + reply[HEADER_OCTETS:end]


def write(query: Query, reply: Reply, limit: int, payload: int, nsid: bytes) -> bytes:
    """The message with id 0 and the name in lower case; over ``limit`` octets it is truncated to question and OPT."""
    opt = []
    if query.edns:
        options = [dnslib.EDNSOption(NSID, nsid)] if nsid and query.edns.nsid else []
        flags = (_DO if query.edns.dnssec_ok else 0) | (_CO if query.edns.compact_ok else 0)
        opt = [dnslib.RR(None, dnslib.QTYPE.OPT, payload, (reply.rcode >> 4) << 24 | flags, options)]
    flags = QR | query.flags & (RD | CD) | (AA if reply.authoritative else 0) | reply.rcode & 15
    message = _pack(query, flags, reply.answer, reply.authority, reply.additional + opt)
    return message if len(message) <= limit else _pack(query, flags | TC, [], [], opt)


def _pack(query: Query, flags: int, answer: list[Any], authority: list[Any], additional: list[Any]) -> bytes:
    buffer = _Buffer()
    buffer.append(HEADER.pack(0, flags, 1, len(answer), len(authority), len(additional)))
    dnslib.DNSQuestion(dnslib.DNSLabel(query.name), query.qtype, query.qclass).pack(buffer)
    for record in (*answer, *authority, *additional):
        record.pack(buffer)
    return bytes(buffer.data)


class _Buffer(DNSBuffer):  # type: ignore[misc] # dnslib has no types
    """dnslib remembers names beyond the 14 bits of a compression pointer and then points into the void."""

    names: dict[Labels, int]

    def encode_name(self, name: object) -> None:
        super().encode_name(name)
        if self.offset >= _POINTER_LIMIT:
            self.names = {labels: offset for labels, offset in self.names.items() if offset < _POINTER_LIMIT}
