"""What a client with the DO bit gets beside the answer: signatures, and the proof of what is not there. Pure.

Compact denial (RFC 9824): a name that does not exist is answered as one that has no other types than NXNAME, with one NSEC
that denies nothing else. Names that a wildcard makes are signed as names of their own. Called by
:mod:`dnsserver.respond`; without signed zones nothing of it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import dns.rcode
import dnslib

from dnsserver.dnssec.signer import NSEC, NXNAME, RRSIG, nsec
from dnsserver.message import Query
from dnsserver.resolve import Denial, Reply
from dnsserver.wireform import Labels, wire_data
from dnsserver.zone import CNAME, DNAME, DS, NS, Zone, Zones, find


def secure(query: Query, reply: Reply, zones: Zones) -> None:
    """Adds to the reply of a question of class IN what belongs to its signed zones."""
    if reply.delegation:
        reply.authority += reply.delegation
    denial = reply.denial
    if denial and denial.zone.signer:
        _deny(query, reply, denial)
    reply.answer = list(_signed(reply.answer, zones))
    reply.authority = list(_signed(reply.authority, zones))
    if query.qtype == RRSIG:  # those who ask for signatures alone get one of them (RFC 8482 section 7)
        reply.answer = [record for record in reply.answer if record.rtype != NSEC]


def _deny(query: Query, reply: Reply, denial: Denial) -> None:
    data = dnslib.RD(nsec(denial.name, denial.types))
    proof = dnslib.RR(dnslib.DNSLabel(denial.name), NSEC, ttl=denial.zone.soa.negative_ttl, rdata=data)
    if query.qtype in (NSEC, RRSIG):  # these are there, at every name
        reply.rcode = dns.rcode.NOERROR
        reply.answer.append(proof)
        reply.authority.clear()
        return
    reply.authority.append(proof)
    compact_ok = query.edns and query.edns.compact_ok
    if NXNAME in denial.types and not compact_ok:
        reply.rcode = dns.rcode.NOERROR


def _signed(section: list[Any], zones: Zones) -> Iterator[Any]:
    """The records with an RRSIG behind each set that its zone vouches for."""
    dname: Labels | None = None
    for (name, rtype), group in groupby(section, key=_set_of):
        records = list(group)
        yield from records
        if rtype == DNAME:
            dname = name
        elif rtype == CNAME and dname and name != dname and name[-len(dname) :] == dname:
            continue  # made from the DNAME, which is signed (RFC 6672 section 5.3.1)
        zone = _vouching(zones, name, rtype)
        if zone and zone.signer:
            ttl = records[0].ttl
            data = [wire_data(record.rdata) for record in records]
            for signature in zone.signer.signatures(name, rtype, ttl, data):
                yield dnslib.RR(records[0].rname, RRSIG, ttl=ttl, rdata=dnslib.RD(signature))


def _vouching(zones: Zones, name: Labels, rtype: int) -> Zone | None:
    """The zone that a set belongs to: its parent's for a DS, nobody's for the NS of a delegation."""
    zone = find(zones, name)
    if zone and rtype == DS and name == zone.apex:
        zone = find(zones, name[1:])
    return None if zone is None or (rtype == NS and name != zone.apex) else zone


def _set_of(record: Any) -> tuple[Labels, int]:
    return tuple(label.lower() for label in record.rname.label), int(record.rtype)
