"""Dynamic updates (RFC 2136) with TSIG, for BIND, Knot, PowerDNS, Windows DNS and whoever keeps to the standard. I/O.

An update carries as prerequisites all that was read (section 2.4), so that it is refused as a whole when somebody has changed it
meanwhile; then it is read again. The server makes it atomic (section 3).
"""

from __future__ import annotations

import asyncio

import dns.asyncquery
import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.update

from core.hands.asking import Server
from core.hands.hand import HandError
from core.hands.provider.plan import TYPES, Plan, Records, Standing, mark_name

MARK_TTL = 300
_MEANWHILE = (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN)


class Rfc2136:
    """The zone at its primary; ``key`` signs the updates."""

    def __init__(self, zone: str, server: Server, key: dns.tsig.Key | None) -> None:
        self._zone = zone
        self._server = server
        self._key = key

    async def read(self, domain: str) -> Standing:
        """What it holds. Raises HandError: silence, an error, or an answer from a cache is never read as nothing."""
        questions = [(domain, rtype) for rtype in TYPES] + [(mark_name(domain), "TXT")]
        found = await asyncio.gather(*(self._read(*question) for question in questions))
        records = {
            rtype: Records(rdataset.ttl, frozenset(rdata.to_text() for rdata in rdataset))
            for rtype, rdataset in zip(TYPES, found, strict=False)
            if rdataset
        }
        return Standing(records, frozenset(rdata.to_text() for rdata in found[-1] or ()))

    async def apply(self, plan: Plan) -> None:
        """Raises HandError where it is refused, also since somebody has changed the name meanwhile."""
        update = dns.update.UpdateMessage(self._zone)
        beside = mark_name(plan.domain)
        for rtype in TYPES:
            before = plan.before.records.get(rtype)
            _require(update, plan.domain, rtype, [_rdata(rtype, value) for value in before.values] if before else [])
        _require(update, beside, "TXT", [_rdata("TXT", text) for text in plan.before.marks])
        for rtype in plan.after:
            update.delete(plan.domain, rtype)
        for rtype, records in plan.after.items():
            for value in sorted(records.values) if records else ():
                update.add(plan.domain, records.ttl if records else 0, _rdata(rtype, value))
        if plan.marks is not None:
            update.delete(beside, "TXT")
            for text in sorted(plan.marks):
                update.add(beside, MARK_TTL, _rdata("TXT", text))
        if self._key:
            update.use_tsig(self._key)
        server = self._server
        try:
            answer = await dns.asyncquery.tcp(update, server.host, server.timeout, server.port)
        except dns.exception.Timeout:
            raise HandError(f"{server} has not answered the update") from None
        except (OSError, EOFError, dns.exception.DNSException) as error:
            raise HandError(f"the update failed at {server}: {error or type(error).__name__}") from error
        if answer.rcode() in _MEANWHILE:
            raise HandError(f"{plan.domain} was changed by somebody else meanwhile: it is read again")
        if answer.rcode() != dns.rcode.NOERROR:
            raise HandError(f"{server} answered {dns.rcode.to_text(answer.rcode())} to the update of {plan.domain}")

    async def close(self) -> None:
        """Nothing is held open."""

    async def _read(self, name: str, rtype: str) -> dns.rdataset.Rdataset | None:
        answer = await self._server.ask(name, rtype, authoritative=True)
        return answer.get_rrset(
            answer.answer, dns.name.from_text(name), dns.rdataclass.IN, dns.rdatatype.from_text(rtype)
        )


def _require(update: dns.update.UpdateMessage, name: str, rtype: str, values: list[dns.rdata.Rdata]) -> None:
    """That the RRset is exactly this one, or is not there (sections 2.4.2, 2.4.3)."""
    if values:
        update.present(name, dns.rdataset.from_rdata_list(0, values))
    else:
        update.absent(name, rtype)


def _rdata(rtype: str, value: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text("IN", rtype, value)
