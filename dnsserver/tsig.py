"""Transaction signatures (RFC 8945): opens what came signed, signs what answers it. Called by the wire thread.

Owns how a signed message is taken apart; dnspython computes the signatures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TSIG
import dns.tsig
import dns.wire

from dnsserver import message

TSIG = int(dns.rdatatype.TSIG)
_MARK = b"\x00\xfa\x00\xff"
_RECORD = Struct("!HHIH")
_NO_MAC = b""
_sign: Any = dns.tsig.sign  # dnspython has no types for these
_validate: Any = dns.tsig.validate
_Tsig: Any = dns.rdtypes.ANY.TSIG.TSIG


@dataclass(frozen=True, slots=True)
class Parts:
    """What follows the question of a request: the serial of an SOA (as IXFR sends it), whether there is an OPT, and the
    TSIG with the offset at which it begins."""

    serial: int | None = None
    opt: bool = False
    tsig_at: int = 0
    owner: dns.name.Name = dns.name.root
    tsig: Any = None


class Rejected(Exception):
    """A signature that is not good; ``reply`` is the whole message that says so."""

    def __init__(self, reply: bytes) -> None:
        super().__init__("bad signature")
        self.reply = reply


def is_signed(packet: bytes) -> bool:
    """Whether the packet may hold a TSIG; :func:`take_apart` knows."""
    return packet[10:12] != b"\0\0" and _MARK in packet


def take_apart(packet: bytes) -> Parts:
    """Raises :class:`dnsserver.message.Refusal` with FORMERR where the packet cannot be read."""
    try:
        return _take_apart(packet)
    except (dns.exception.DNSException, ValueError) as error:
        raise message.Refusal(dns.rcode.FORMERR) from error


def _take_apart(packet: bytes) -> Parts:
    parser = dns.wire.Parser(packet)
    _, _, questions, answers, authorities, additionals = parser.get_struct("!6H")
    serial, opt, parts = None, False, Parts()
    for _ in range(questions):
        dns.name.from_wire_parser(parser)
        parser.get_bytes(4)
    for left in range(answers + authorities + additionals, 0, -1):
        at = parser.current
        owner = dns.name.from_wire_parser(parser)
        rtype, rclass, ttl, length = parser.get_struct("!HHIH")
        with parser.restrict_to(length):
            if rtype == TSIG:
                if left > 1 or rclass != dns.rdataclass.ANY or ttl:  # the last record (RFC 8945 sections 4.2, 5.1)
                    raise dns.exception.FormError
                tsig = dns.rdata.from_wire_parser(dns.rdataclass.ANY, dns.rdatatype.TSIG, parser)
                parts = Parts(serial, opt, at, owner.canonicalize(), tsig)
                continue
            if rtype == dns.rdatatype.SOA:
                dns.name.from_wire_parser(parser)
                dns.name.from_wire_parser(parser)
                serial = parser.get_uint32()
            opt = opt or rtype == dns.rdatatype.OPT
            parser.get_remaining()
            parts = Parts(serial, opt)
    if parser.remaining():
        raise dns.exception.FormError
    return parts


@dataclass(slots=True)
class Session:
    """A request whose signature was good. Signs each message of the answer, in their order."""

    key: dns.tsig.Key
    _request_mac: bytes
    _clock: Callable[[], float]
    _context: Any = field(default=None, repr=False)

    def sign(self, wire: bytes) -> bytes:
        """The message with its TSIG."""
        template = _rdata(self.key, int.from_bytes(wire[:2]))
        rdata, self._context = _sign(
            wire, self.key, template, int(self._clock()), self._request_mac, self._context, True
        )
        return _attach(wire, self.key.name, rdata)

    @property
    def octets(self) -> int:
        """How much a signature adds to a message."""
        mac = len(self._request_mac)  # the same algorithm
        return len(_wire(self.key.name)) + len(_wire(self.key.algorithm)) + _RECORD.size + 16 + mac


class Keyring:
    """The keys of the settings, by name."""

    def __init__(self, keys: Iterable[dns.tsig.Key], clock: Callable[[], float] = time.time) -> None:
        self._keys = {key.name: key for key in keys}
        self._clock = clock

    def open(self, packet: bytes, parts: Parts) -> tuple[bytes, Session]:
        """The packet without its TSIG, and what signs the answer. Raises Rejected (RFC 8945 section 5.2)."""
        plain = packet[:10] + (int.from_bytes(packet[10:12]) - 1).to_bytes(2) + packet[12 : parts.tsig_at]
        key = self._keys.get(parts.owner)
        if key is None or key.algorithm != parts.tsig.algorithm.canonicalize():
            raise Rejected(self._unsigned(packet, parts, dns.rcode.BADKEY))
        try:
            _validate(packet, key, parts.owner, parts.tsig, int(self._clock()), None, parts.tsig_at)
        except dns.tsig.BadTime:
            raise Rejected(self._bad_time(packet, key, parts)) from None
        except dns.exception.DNSException:
            raise Rejected(self._unsigned(packet, parts, dns.rcode.BADSIG)) from None
        return plain, Session(key, parts.tsig.mac, self._clock)

    def _unsigned(self, packet: bytes, parts: Parts, error: int) -> bytes:
        rdata = parts.tsig.replace(mac=_NO_MAC, error=error, other=b"")
        return _attach(message.refuse(packet, dns.rcode.NOTAUTH), parts.owner, rdata)

    def _bad_time(self, packet: bytes, key: dns.tsig.Key, parts: Parts) -> bytes:
        """Signed, with the client's time and ours (RFC 8945 section 5.2.3)."""
        reply = message.refuse(packet, dns.rcode.NOTAUTH)
        template = _rdata(key, int.from_bytes(packet[:2])).replace(
            error=dns.rcode.BADTIME, other=int(self._clock()).to_bytes(6)
        )
        rdata, _ = _sign(reply, key, template, parts.tsig.time_signed, parts.tsig.mac)
        return _attach(reply, key.name, rdata)


NO_KEYS = Keyring(())


def _wire(name: dns.name.Name) -> bytes:
    return name.to_wire() or b""


def _rdata(key: dns.tsig.Key, ident: int) -> Any:
    return _Tsig(dns.rdataclass.ANY, dns.rdatatype.TSIG, key.algorithm, 0, 300, _NO_MAC, ident, dns.rcode.NOERROR, b"")


def _attach(wire: bytes, owner: dns.name.Name, rdata: Any) -> bytes:
    data: bytes = rdata.to_wire()
    record = _wire(owner) + _RECORD.pack(TSIG, dns.rdataclass.ANY, 0, len(data)) + data
    return wire[:10] + (int.from_bytes(wire[10:12]) + 1).to_bytes(2) + wire[12:] + record
