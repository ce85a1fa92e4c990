"""One query in, one message out, from one set of zones and one record table. Pure. Called by :mod:`dnsserver.cache`.

Owns what the server says about itself: EDNS versions and sizes, NSID, the CHAOS names, what is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dnslib

from core.records import RecordTable
from core.settings import Dns
from dnsserver import message
from dnsserver.dnssec.secure import secure
from dnsserver.message import Query
from dnsserver.resolve import Reply, resolve
from dnsserver.spread import Spread
from dnsserver.wireform import Labels
from dnsserver.zone import Zones

_TXT, _SOA, _IXFR = int(dns.rdatatype.TXT), int(dns.rdatatype.SOA), int(dns.rdatatype.IXFR)
_VERSION = ((b"version", b"bind"), (b"version", b"server"))
_IDENTITY = ((b"id", b"server"), (b"hostname", b"bind"))


@dataclass(frozen=True, slots=True)
class Response:
    """A message with id 0 and the name in lower case up to offset ``end``, one of ``spread.variants`` if that is set."""

    message: bytes
    end: int
    rcode: int
    spread: Spread | None
    variant: int


class Responder:
    """Answers from one record table. ``stream``: over TCP, where the size has no other limit than the length prefix."""

    def __init__(
        self, zones: Zones, table: RecordTable, settings: Dns, *, stream: bool, signed: bool | None = None
    ) -> None:
        """``signed``: whether any of the zones is, where that is known already."""
        self._zones = zones
        self._table = table
        self._payload = settings.limits.udp_payload
        self._stream = stream
        self._signed = any(zone.signer for zone in zones.values()) if signed is None else signed
        self._nsid = settings.nsid.encode()
        self._chaos: dict[Labels, str] = dict.fromkeys(_VERSION, settings.version)
        self._chaos |= dict.fromkeys(_IDENTITY, settings.nsid)

    def respond(self, packet: bytes, turn: int) -> Response:
        """Raises :class:`dnsserver.message.Refusal` where there is no readable question."""
        query = message.read(packet)
        reply = self._reply(query, turn)
        limit = self.limit(bool(query.edns))
        if query.edns and not self._stream:
            limit = max(512, min(query.edns.payload, limit))
        if self._signed and query.edns and query.edns.dnssec_ok:
            secure(query, reply, self._zones)
        written = message.write(query, reply, limit, self._payload, self._nsid)
        return Response(written, query.end, reply.rcode, reply.spread, reply.variant)

    def limit(self, edns: bool) -> int:
        """Octets that an answer can have at most, to a client with or without EDNS."""
        if self._stream:
            return message.STREAM_OCTETS
        return self._payload if edns else 512

    def _reply(self, query: Query, turn: int) -> Reply:
        if query.edns and query.edns.version:
            return Reply(dns.rcode.BADVERS)
        if query.qtype == dns.rdatatype.OPT:
            return Reply(dns.rcode.FORMERR)
        if query.qclass == dns.rdataclass.IN:
            qtype = (
                _SOA if query.qtype == _IXFR and not self._stream else query.qtype
            )  # "ask again over TCP" (RFC 1995)
            return resolve(query.name, qtype, self._zones, self._table, turn)
        text = self._chaos.get(query.name, "") if query.qclass == dns.rdataclass.CH and query.qtype == _TXT else ""
        if not text:
            return Reply(dns.rcode.REFUSED)
        record = dnslib.RR(dnslib.DNSLabel(query.name), _TXT, query.qclass, 0, dnslib.TXT(text))
        return Reply(authoritative=True, answer=[record])
