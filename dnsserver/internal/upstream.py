"""Asks the name servers behind the internal DNS. I/O.

Each question goes to the first server that has not failed lately, then to the next; what an answer holds beside the chain
of names that was asked for is not believed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from dnsserver.internal.cache import Entry, Item, labels
from dnsserver.wireform import Labels

_PAYLOAD = 1232
_SHUNNED = 5.0
"""Seconds for which a server that did not answer is asked last."""
_LONGEST_CHAIN = 16
_SOA, _CNAME = dns.rdatatype.SOA, dns.rdatatype.CNAME


class NoAnswer(Exception):
    """No server gave an answer that can be used."""


class Upstream:
    """``servers`` in order of preference, each given ``timeout`` seconds; an answer is kept ``longest`` seconds at most."""

    def __init__(self, servers: Sequence[tuple[str, int]], timeout: float, longest: int) -> None:
        self._servers = tuple(servers)
        self._timeout = timeout
        self._longest = longest
        self._failed: dict[tuple[str, int], float] = {}

    async def ask(self, name: Labels, qtype: int) -> Entry:
        """The answer of the first that has one. Raises NoAnswer."""
        question = dns.name.Name((*name, b""))
        for server in sorted(self._servers, key=lambda server: self._failed.get(server, 0.0) > time.monotonic()):
            query = dns.message.make_query(question, dns.rdatatype.RdataType.make(qtype), use_edns=0, payload=_PAYLOAD)
            query.flags |= dns.flags.RD
            try:
                answer, _ = await dns.asyncquery.udp_with_fallback(
                    query, server[0], self._timeout, server[1], ignore_unexpected=True, ignore_errors=True
                )
            except (OSError, dns.exception.DNSException):
                self._failed[server] = time.monotonic() + _SHUNNED
                continue
            if answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                self._failed.pop(server, None)
                return self._entry(answer, question, qtype)
        raise NoAnswer

    def _entry(self, answer: dns.message.Message, question: dns.name.Name, qtype: int) -> Entry:
        items: list[Item] = []
        follow, seen = question, {question}
        while True:
            here = [rrset for rrset in answer.answer if rrset.name == follow and rrset.rdtype in (qtype, _CNAME)]
            items += [item for rrset in here for item in _items(rrset)]
            target = next((rrset[0].target for rrset in here if rrset.rdtype == _CNAME and qtype != _CNAME), None)
            if target is None or target in seen or len(seen) > _LONGEST_CHAIN:
                break
            follow = target
            seen.add(follow)
        dangling = follow != question and not here and answer.rcode() == dns.rcode.NOERROR
        soa = [rrset for rrset in answer.authority if rrset.rdtype == _SOA and question.is_subdomain(rrset.name)]
        authority = [item for rrset in soa[:1] for item in _items(rrset)] if not items else []
        ttls = [item.ttl for item in items]
        ttls += [min(rrset.ttl, rrset[0].minimum) for rrset in soa[:1]] if not items else []
        ttl = min([*ttls, self._longest]) if ttls else 0  # a negative answer without an SOA is not kept (RFC 2308)
        return Entry(
            answer.rcode(),
            tuple(items),
            tuple(authority),
            time.monotonic(),
            ttl,
            labels(follow) if dangling else (),
        )


def _items(rrset: dns.rrset.RRset) -> list[Item]:
    owner = labels(rrset.name)
    return [Item(owner, int(rrset.rdtype), rrset.ttl, rdata.to_wire() or b"") for rdata in rrset]
