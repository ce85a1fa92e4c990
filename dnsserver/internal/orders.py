"""Orders to the internal DNS: what a signed message asks for, and the answer that confirms it (spec S17, S33). Pure.

The carrier is a standard one, so that any DNS tool can send it (``nsupdate -y …``):

- **UPDATE** (RFC 2136) with the domain as its zone: an SOA that carries the serial of the table, and for each address that is
  erased ``delete NAME A ADDRESS``, which says exactly what is meant. It names *all* that is erased, so that it is whole by
  itself and harmless to repeat; one that deletes nothing says that nothing is erased any more. An SOA whose serial is behind
  is ignored by the RFC too (section 3.4.2.2); here the whole order is refused then (spec S32).
- **NOTIFY** (RFC 1996), with or without an SOA: forget what is held at and below the name, and ask for it anew.

Both need a TSIG (RFC 8945), whose time refuses what is played again after five minutes; the serial refuses it sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dns.exception
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.update
import structlog

from dnsserver import message, tsig
from dnsserver.internal.cache import Cache, Place, StaleOrder, labels, place_of
from dnsserver.wireform import Labels, text_of

OPCODES = (int(dns.opcode.NOTIFY), int(dns.opcode.UPDATE))
_PLACES = (dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.CNAME)
_log = structlog.get_logger()


class _Refused(Exception):
    def __init__(self, rcode: int, said: str) -> None:
        super().__init__(said)
        self.rcode = dns.rcode.Rcode(rcode)


def is_order(packet: bytes) -> bool:
    return (packet[2] >> 3 & 15) in OPCODES


class Orders:
    """Carries orders out on ``cache``. ``ours``: whether a name is one of those that are served."""

    def __init__(
        self, cache: Cache, keys: tsig.Keyring, ours: Callable[[Labels], bool], clock: Callable[[], float]
    ) -> None:
        self._cache = cache
        self._keys = keys
        self._ours = ours
        self._clock = clock

    def obey(self, packet: bytes) -> bytes:
        """The answer, signed where the order was. When it is made, no later answer holds what was erased."""
        try:
            parts = tsig.take_apart(packet)
            if parts.tsig is None:
                return message.refuse(packet, dns.rcode.REFUSED)
            plain, session = self._keys.open(packet, parts)
        except tsig.Rejected as rejected:
            _log.warning("order_rejected", reason="the signature is not good")
            return rejected.reply
        except message.Refusal as refusal:
            return message.refuse(packet, refusal.rcode)
        try:
            order = dns.message.from_wire(plain)
        except (dns.exception.DNSException, ValueError):
            return session.sign(message.refuse(packet, dns.rcode.FORMERR))
        reply = dns.message.make_response(order)
        try:
            self._carry_out(order)
        except StaleOrder as error:
            _log.warning("order_refused", reason=str(error))
            reply.set_rcode(dns.rcode.REFUSED)
        except _Refused as error:
            _log.warning("order_refused", reason=str(error))
            reply.set_rcode(error.rcode)
        return session.sign(reply.to_wire())

    def _carry_out(self, order: dns.message.Message) -> None:
        if isinstance(order, dns.update.UpdateMessage):
            name, serial, places = self._erase(order)
            touched = self._cache.erase(name, places, serial, self._clock())
            _log.info("erased", name=text_of(name), serial=serial, places=len(places), entries=touched)
        else:
            name = self._name(order.question)
            told = [rrset[0].serial for rrset in order.answer if rrset.rdtype == dns.rdatatype.SOA]
            gone = self._cache.forget(name, told[0] if told else None, self._clock())
            _log.info("forgotten", name=text_of(name), entries=gone)

    def _name(self, section: Sequence[Any]) -> Labels:
        if len(section) != 1 or section[0].rdtype != dns.rdatatype.SOA or section[0].rdclass != dns.rdataclass.IN:
            raise _Refused(dns.rcode.FORMERR, "it names no domain")
        name = labels(section[0].name)
        if not self._ours(name):
            raise _Refused(dns.rcode.NOTAUTH, f"{text_of(name)} is not served here")
        return name

    def _erase(self, order: dns.update.UpdateMessage) -> tuple[Labels, int, frozenset[Place]]:
        name = self._name(order.zone)
        serial, places = None, set()
        for rrset in order.update:
            mine = labels(rrset.name) == name
            if mine and rrset.rdtype == dns.rdatatype.SOA and rrset.deleting is None and serial is None:
                serial = rrset[0].serial
            elif mine and rrset.rdtype in _PLACES and rrset.deleting == dns.rdataclass.NONE:
                places |= {place_of(rdata.to_text()) for rdata in rrset}
            else:
                raise _Refused(dns.rcode.REFUSED, "an order holds an SOA and deletions of addresses alone")
        if serial is None or order.prerequisite:
            raise _Refused(dns.rcode.FORMERR, "it carries no serial")
        return name, serial, frozenset(places)
