"""From a question to what is answered: the algorithm of RFC 1034 section 4.3.2 as later RFCs made it. Pure.

Called by :mod:`dnsserver.respond`. It knows neither packets nor EDNS: names are labels in lower case, records are
dnslib's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import dns.rcode
import dns.rdatatype
import dnslib

from core.records import RecordTable
from dnsserver.dnssec.signer import NSEC, NXNAME, RRSIG
from dnsserver.spread import Spread
from dnsserver.wireform import Labels, labels_of
from dnsserver.zone import AAAA, CNAME, DNAME, DS, NS, SOA, A, Node, RRset, Zone, Zones, find

ANY = int(dns.rdatatype.ANY)
TRANSFERS = frozenset((int(dns.rdatatype.AXFR), int(dns.rdatatype.IXFR)))
_MOST_ALIASES = 16
_VERSIONS = {A: 4, AAAA: 6}
_HINFO = int(dns.rdatatype.HINFO)
_RFC8482 = dnslib.RD(b"\x07RFC8482\x00")


@dataclass(frozen=True, slots=True)
class Denial:
    """What a reply denies: every type at a name of the zone but ``types``, which hold NXNAME where there is no such name."""

    zone: Zone
    name: Labels
    types: frozenset[int]


@dataclass(slots=True)
class Reply:
    """What is answered. ``spread`` and ``variant`` are set where the answer is one of several that take turns.

    ``denial`` and ``delegation``, the DS records of a cut, are for clients that want DNSSEC.
    """

    rcode: int = dns.rcode.NOERROR
    authoritative: bool = False
    answer: list[Any] = field(default_factory=list)
    authority: list[Any] = field(default_factory=list)
    additional: list[Any] = field(default_factory=list)
    spread: Spread | None = None
    variant: int = 0
    denial: Denial | None = None
    delegation: list[Any] = field(default_factory=list)


def resolve(name: Labels, qtype: int, zones: Zones, table: RecordTable, turn: int) -> Reply:
    """The reply to one question of class IN. ``turn`` chooses among answers that rotate."""
    zone = _zone_of(name, qtype, zones)
    if zone is None or qtype in TRANSFERS:
        return Reply(dns.rcode.REFUSED)
    if dns.rdatatype.is_metatype(dns.rdatatype.RdataType.make(qtype)) and qtype != ANY:
        return Reply(dns.rcode.FORMERR if qtype == NXNAME else dns.rcode.NOTIMP)
    reply = Reply(authoritative=True)
    seen = {name}
    while zone is not None and len(seen) <= _MOST_ALIASES:
        target = _Lookup(reply, zone, table, turn).look(name, qtype)
        if target is None or target in seen:
            break
        seen.add(target)
        name = target
        zone = _zone_of(name, qtype, zones)
    return reply


def _zone_of(name: Labels, qtype: int, zones: Zones) -> Zone | None:
    """The closest zone, but DS stands on the parent's side of a cut (RFC 4035 section 3.1.4.1)."""
    zone = find(zones, name)
    if zone and qtype == DS and name == zone.apex:
        parent = find(zones, name[1:])
        return parent if parent and name in parent.nodes else zone
    return zone


@dataclass(slots=True)
class _Lookup:
    """One name looked up in one zone; adds to the reply what it finds."""

    reply: Reply
    zone: Zone
    table: RecordTable
    turn: int

    def look(self, name: Labels, qtype: int) -> Labels | None:
        """The next name where an alias leads on, else None."""
        nodes, apex = self.zone.nodes, self.zone.apex
        for depth in range(len(name) - len(apex), -1, -1):
            at = name[depth:]
            node = nodes.get(at)
            if node is None:
                node = nodes.get((b"*", *name[depth + 1 :]))  # of the closest encloser (RFC 4592 section 3.3.1)
                if node is None:
                    self._negative(dns.rcode.NXDOMAIN, name, frozenset((NXNAME,)))
                    return None
                return self._at(name, node, qtype)
            if depth and DNAME in node.rrsets:
                return self._dname(name, at, node.rrsets[DNAME], qtype)
            if at != apex and NS in node.rrsets and not (qtype == DS and not depth):
                self._referral(at, node)
                return None
        return self._at(name, nodes[name], qtype)

    def _at(self, name: Labels, node: Node, qtype: int) -> Labels | None:
        if qtype in (RRSIG, NSEC) and self.zone.signer:  # they stand beside a CNAME too, and are made when asked for
            self._negative(dns.rcode.NOERROR, name, self._types(name, node))
            return None
        if node.app and self._app(name, node, qtype):
            return None
        if alias := node.rrsets.get(CNAME):
            self._add(self.reply.answer, name, alias)
            return alias.targets[0] if qtype not in (CNAME, ANY) else None
        if qtype == SOA and name == self.zone.apex:
            self.reply.answer.append(self._soa(self.zone.soa.ttl))
        elif qtype == ANY and (node.rrsets or node.app):
            self._add(self.reply.answer, name, RRset(_HINFO, self.zone.soa.ttl, [_RFC8482]))
        elif found := node.rrsets.get(qtype):
            self._add(self.reply.answer, name, found)
        else:
            self._negative(dns.rcode.NOERROR, name, self._types(name, node) - {qtype})
        return None

    def _types(self, name: Labels, node: Node) -> frozenset[int]:
        """What a name has."""
        types = {*node.rrsets, *((SOA,) if name == self.zone.apex else ())}
        if node.app and (app := self.table.apps.get(node.app)):
            types |= {AAAA if ":" in address else A for record in app.records for address in record.addresses} or {
                CNAME
            }
        return frozenset(types)

    def _app(self, name: Labels, node: Node, qtype: int) -> bool:
        """Whether the record table answers it. A host name is not followed: it is another's to answer."""
        app = self.table.apps.get(node.app)
        if app is None:  # neither "no such name" nor "no address" is true, and both would be kept by resolvers
            if qtype in (A, AAAA):
                self.reply.rcode, self.reply.authoritative = dns.rcode.SERVFAIL, False
            return qtype in (A, AAAA)
        if qtype not in (A, AAAA) and not any(record.hostname for record in app.records):
            return False
        spread = Spread(app, _VERSIONS.get(qtype, 0))
        hostname = ""
        addresses: tuple[str, ...] = ()
        if spread.variants:
            self.reply.spread, self.reply.variant = spread, spread.variant(self.turn)
            hostname = spread.hostname(self.reply.variant)
            addresses = spread.addresses(self.reply.variant) if qtype in (A, AAAA) else ()
        if hostname:
            target = dnslib.CNAME(dnslib.DNSLabel(labels_of(hostname)))
            self._add(self.reply.answer, name, RRset(CNAME, app.ttl, [target]))
        elif addresses:
            data = dnslib.A if qtype == A else dnslib.AAAA
            self._add(self.reply.answer, name, RRset(qtype, app.ttl, [data(address) for address in addresses]))
        elif qtype in (A, AAAA):
            self._negative(dns.rcode.NOERROR, name, self._types(name, node) - {qtype})
        else:
            return False
        return True

    def _dname(self, name: Labels, owner: Labels, dname: RRset, qtype: int) -> Labels | None:
        """RFC 6672 section 3.2. Who asks for a CNAME has it with the one that is made here."""
        target = name[: len(name) - len(owner)] + dname.targets[0]
        self._add(self.reply.answer, owner, dname)
        if sum(len(label) + 1 for label in target) > 254:
            self.reply.rcode = dns.rcode.YXDOMAIN
            return None
        self._add(self.reply.answer, name, RRset(CNAME, dname.ttl, [dnslib.CNAME(dnslib.DNSLabel(target))]))
        return target if qtype != CNAME else None

    def _referral(self, cut: Labels, node: Node) -> None:
        """With the glue that the zone holds, siblings' included (RFC 9471)."""
        servers = node.rrsets[NS]
        if signed := node.rrsets.get(DS):
            self._add(self.reply.delegation, cut, signed)
        else:
            self.reply.denial = Denial(self.zone, cut, frozenset((NS,)))
        if not self.reply.answer:
            self.reply.authoritative = False
        self._add(self.reply.authority, cut, servers)
        for target in servers.targets:
            for rtype in (A, AAAA):
                if (glue := self.zone.nodes.get(target)) and rtype in glue.rrsets:
                    self._add(self.reply.additional, target, glue.rrsets[rtype])

    def _negative(self, rcode: int, name: Labels, types: frozenset[int]) -> None:
        self.reply.rcode = rcode
        self.reply.denial = Denial(self.zone, name, types)
        self.reply.authority.append(self._soa(self.zone.soa.negative_ttl))

    def _soa(self, ttl: int) -> Any:
        return dnslib.RR(dnslib.DNSLabel(self.zone.apex), SOA, rdata=self.zone.soa.rdata(self.table.serial), ttl=ttl)

    @staticmethod
    def _add(section: list[Any], name: Labels, rrset: RRset) -> None:
        owner = dnslib.DNSLabel(name)
        section += [dnslib.RR(owner, rrset.rtype, rdata=rdata, ttl=rrset.ttl) for rdata in rrset.rdata]
