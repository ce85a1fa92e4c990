"""Asking a name server what it answers for a domain name: how every DNS hand confirms (spec S33). I/O.

An error, a time-out or an answer that nobody may give is never read as "there is nothing".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from core.hands.hand import HandError
from core.settings.base import peer_address, record_type

PATIENCE = 6.0
"""Seconds for which a server is asked in one attempt of a hand, so that with a last question it says why before its time is over."""
_ASK_AGAIN = (0.002, 0.1)
_PAYLOAD = 1232


class Unreachable(HandError):
    """It does not answer at all: there is no use in going on with other names."""


@dataclass(frozen=True, slots=True)
class Server:
    """One name server; ``timeout`` is the seconds for one question."""

    host: str
    port: int
    timeout: float

    @classmethod
    def at(cls, text: str, timeout: float) -> Server:
        return cls(*peer_address(text), timeout)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def ask(self, domain: str, rtype: str, *, authoritative: bool = False) -> dns.message.Message:
        """The answer: NOERROR or NXDOMAIN, by an authority where that is wanted. Raises HandError."""
        query = dns.message.make_query(domain, rtype, use_edns=0, payload=_PAYLOAD)
        if authoritative:
            query.flags &= ~dns.flags.RD
        try:
            answer, _ = await dns.asyncquery.udp_with_fallback(
                query, self.host, self.timeout, self.port, ignore_unexpected=True, ignore_errors=True
            )
        except dns.exception.Timeout:
            raise Unreachable(f"{self} does not answer") from None
        except (OSError, dns.exception.DNSException) as error:
            raise HandError(f"{self}: {error or type(error).__name__}") from error
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise HandError(f"{self} answers {dns.rcode.to_text(answer.rcode())} for {domain} {rtype}")
        if authoritative and not answer.flags & dns.flags.AA:
            raise HandError(f"{self} is no authority for {domain}")
        return answer

    async def places(self, domain: str, rtypes: Iterable[str]) -> frozenset[str]:
        """The addresses, and the host names behind CNAMEs, that it answers for the name. Raises HandError."""
        name = _asked(domain)
        answers = await asyncio.gather(*(self.ask(name, rtype) for rtype in rtypes))
        return frozenset(
            rdata.to_text()
            for answer in answers
            for rrset in answer.answer
            if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.CNAME)
            for rdata in rrset
        )


def types_of(places: Iterable[str]) -> tuple[str, ...]:
    """What to ask for to see these places: with a host name any question will do."""
    return tuple(sorted({record_type(place).replace("CNAME", "A") for place in places}))


async def until(
    server: Server,
    domain: str,
    rtypes: Iterable[str],
    wrong: Callable[[frozenset[str]], str],
    patience: float = PATIENCE,
) -> str:
    """Ask until ``wrong`` finds nothing, or for ``patience`` seconds: what is wrong still, "" for nothing."""
    rtypes = tuple(rtypes)
    ends = time.monotonic() + patience
    pause, longest = _ASK_AGAIN
    while True:
        try:
            said = wrong(await server.places(domain, rtypes))
        except HandError as error:
            said = str(error)
        if not said or time.monotonic() + pause >= ends:
            return said
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)


def still(server: Server, domain: str, places: Iterable[str]) -> str:
    return f"{server} still answers {', '.join(sorted(places))} for {domain}"


def several(said: Iterable[str], most: int = 3) -> str:
    """A few of the lines, and how many more there are."""
    lines = list(dict.fromkeys(said))
    more = f" (and {len(lines) - most} more)" if len(lines) > most else ""
    return "; ".join(lines[:most]) + more


def _asked(domain: str) -> str:
    """A name that a wildcard answers, for a wildcard itself need not be answered by a cache."""
    return domain.replace("*", "pointsman-asks", 1)
