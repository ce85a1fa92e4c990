"""The zones this server is authoritative for: SOA, NS, static records, and the names of the apps. Immutable once read.

Called by :mod:`dnsserver.server` (reading) and :mod:`dnsserver.resolve` (looking up). The addresses of the apps are
not here: they come from the record table with each question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import dns.name
import dns.rdata
import dns.rdatatype
import dnslib

from core import settings
from core.errors import ConfigError
from dnsserver import zonefile
from dnsserver.dnssec import keys
from dnsserver.dnssec.signer import CDNSKEY, CDS, DNSKEY, Signer
from dnsserver.wireform import Labels, labels_of, text_of
from dnsserver.zonefile import StaticRecord

A, AAAA, NS, CNAME, SOA, DNAME, DS = (
    int(t)
    for t in (
        dns.rdatatype.A,
        dns.rdatatype.AAAA,
        dns.rdatatype.NS,
        dns.rdatatype.CNAME,
        dns.rdatatype.SOA,
        dns.rdatatype.DNAME,
        dns.rdatatype.DS,
    )
)
_BESIDE_CNAME = frozenset((CNAME, int(dns.rdatatype.RRSIG), int(dns.rdatatype.NSEC)))
_OF_DNSSEC = frozenset(
    int(getattr(dns.rdatatype, name)) for name in ("RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY")
)
_REFRESH, _RETRY, _EXPIRE = 3600, 600, 1209600


@dataclass(slots=True)
class RRset:
    """The records of one type at one name: dnslib's record data, and the names they point to (NS, CNAME, DNAME)."""

    rtype: int
    ttl: int
    rdata: list[Any] = field(default_factory=list)
    targets: list[Labels] = field(default_factory=list)


@dataclass(slots=True)
class Node:
    """What stands at one name; nothing at an empty non-terminal. ``app`` is the app's domain name where it is one's."""

    rrsets: dict[int, RRset] = field(default_factory=dict)
    app: str = ""


@dataclass(frozen=True, slots=True)
class Soa:
    """The SOA without its serial, which is the record table's (RFC 1035 section 3.3.13)."""

    mname: dnslib.DNSLabel
    rname: dnslib.DNSLabel
    times: tuple[int, int, int, int]
    ttl: int

    def rdata(self, serial: int) -> Any:
        return dnslib.SOA(self.mname, self.rname, (serial & 0xFFFFFFFF, *self.times))

    @property
    def negative_ttl(self) -> int:
        """Seconds that resolvers may keep NXDOMAIN and NODATA (RFC 2308 section 5)."""
        return min(self.ttl, self.times[3])


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone: its apex and every name in it, empty non-terminals included."""

    apex: Labels
    soa: Soa
    nodes: Mapping[Labels, Node]
    signer: Signer | None = None


Zones: TypeAlias = Mapping[Labels, Zone]


def find(zones: Zones, name: Labels) -> Zone | None:
    """The closest enclosing zone."""
    for depth in range(len(name)):
        if zone := zones.get(name[depth:]):
            return zone
    return None


def load(config: settings.Settings) -> Zones:
    """The zones of the settings, and one for each app that lies in none of them. Raises ConfigError with all problems."""
    apps = {labels_of(app.domain): app.domain for app in config.app}
    wanted = {labels_of(section.name): section for section in config.zone}
    for name, domain in sorted(apps.items(), key=lambda item: len(item[0])):
        if not any(name[depth:] in wanted for depth in range(len(name))):
            own = domain.removeprefix("*.")
            wanted[labels_of(own)] = settings.Zone(name=own)
    homes: dict[Labels, dict[Labels, str]] = {apex: {} for apex in wanted}
    for name, domain in apps.items():
        homes[next(name[depth:] for depth in range(len(name)) if name[depth:] in wanted)][name] = domain
    named = {cluster.name for cluster in config.cluster if cluster.hostname}
    aliased = frozenset(app.domain for app in config.app if named & {*app.clusters})
    zones: dict[Labels, Zone] = {}
    problems: list[str] = []
    for apex, section in wanted.items():
        builder = _Builder(apex, section, homes[apex], aliased)
        zones[apex] = builder.build()
        problems += builder.problems
    if problems:
        raise ConfigError(*problems)
    return zones


class _Builder:
    """Puts one zone together and collects what is wrong with it."""

    def __init__(
        self, apex: Labels, section: settings.Zone, apps: Mapping[Labels, str], aliased: Collection[str]
    ) -> None:
        """``aliased`` are the domain names of the apps that may be answered with a CNAME."""
        self.problems: list[str] = []
        self._apex = apex
        self._section = section
        self._apps = apps
        self._aliased = aliased
        self._nodes: dict[Labels, Node] = {apex: Node()}
        self._soa: StaticRecord | None = None

    def build(self) -> Zone:
        records: list[StaticRecord] = []
        if self._section.file:
            try:
                records = zonefile.read(Path(self._section.file), self._section.name)
            except ConfigError as error:
                self.problems += error.problems
        placed = [(_labels(record.owner), record) for record in records]
        for name, record in placed:
            if refusal := self._refusal(name, record):
                self.problems.append(f"{record.place}: {refusal}")
            elif record.rdata.rdtype == SOA:
                self._soa = record
            else:
                self._put(name, record)
        for name, record in placed:
            if hidden := self._hidden(name, int(record.rdata.rdtype)):
                self.problems.append(f"{record.place}: {text_of(name)} {hidden}")
        for name, domain in self._apps.items():
            if hidden := self._hidden(name, 0):
                self.problems.append(f"zone {self._section.name}: the app {domain} {hidden}")
            self._nodes.setdefault(name, Node()).app = domain
        soa = self._finish_apex()
        signer = self._sign()
        for name in tuple(self._nodes):
            for above in self._between(name):
                self._nodes.setdefault(above, Node())
        return Zone(self._apex, soa, self._nodes, signer)

    def _refusal(self, name: Labels, record: StaticRecord) -> str:
        """Why a record cannot stand where it stands; empty when it can."""
        reason = self._misplaced(name, record) or self._unwelcome(name, record)
        return reason and f"{text_of(name)} {dns.rdatatype.to_text(record.rdata.rdtype)}: {reason}"

    def _misplaced(self, name: Labels, record: StaticRecord) -> str:
        """What no name server takes. A record that stands there already is the same record (RFC 2181 section 5)."""
        rtype = int(record.rdata.rdtype)
        if name[-len(self._apex) :] != self._apex:
            return f"lies outside the zone {self._section.name}"
        if not rtype or dns.rdatatype.is_metatype(record.rdata.rdtype):
            return "not a type that a zone can hold"
        if rtype == SOA and (name != self._apex or self._soa):
            return "a zone has one SOA, at its apex"
        if rtype in (NS, DNAME) and name[:1] == (b"*",):
            return "not at a wildcard (RFC 4592 section 4)"
        types = self._nodes[name].rrsets if name in self._nodes else {}
        there = types.get(rtype)
        if rtype in (CNAME, DNAME) and there:
            same = there.targets == [_target(record)]
            rule = "RFC 2181 section 10.1" if rtype == CNAME else "RFC 6672 section 2.4"
            return "" if same else f"a second {dns.rdatatype.to_text(record.rdata.rdtype)} ({rule})"
        if rtype == CNAME and (name == self._apex or types.keys() - _BESIDE_CNAME):
            return "a CNAME beside other data (RFC 1034 section 3.6.2)"
        if CNAME in types and rtype not in _BESIDE_CNAME:
            return "other data beside a CNAME (RFC 1034 section 3.6.2)"
        return ""

    def _unwelcome(self, name: Labels, record: StaticRecord) -> str:
        """What others answer for here."""
        rtype = int(record.rdata.rdtype)
        if name in self._apps:
            if rtype in (A, AAAA, CNAME) or (rtype == NS and name != self._apex):
                return "the name is an app's, its addresses come from the record table"
            if self._apps[name] in self._aliased and rtype not in _BESIDE_CNAME:
                return "the name is an app's that a cluster's host name may answer: a CNAME stands alone (RFC 1034 section 3.6.2)"
        if self._section.dnssec and rtype in _OF_DNSSEC:
            return "the zone is signed here, by its keys (zone.dnssec)"
        return ""

    def _put(self, name: Labels, record: StaticRecord) -> None:
        rtype = int(record.rdata.rdtype)
        rrset = self._nodes.setdefault(name, Node()).rrsets.setdefault(rtype, RRset(rtype, record.ttl))
        rdata = _rdata(record.rdata)
        if rdata not in rrset.rdata:
            rrset.ttl = min(rrset.ttl, record.ttl)  # one RRset has one TTL (RFC 2181 section 5.2)
            rrset.rdata.append(rdata)
            if rtype in (NS, CNAME, DNAME):
                rrset.targets.append(_target(record))

    def _hidden(self, name: Labels, rtype: int) -> str:
        """Why a record of this type at this name, or with 0 an app, can never be answered. Records that a delegation hides
        may stand there all the same (RFC 2136 section 7.18), as for other name servers."""
        if name[-len(self._apex) :] != self._apex:
            return ""
        for above in (*self._between(name), self._apex):
            types = self._nodes[above].rrsets if above in self._nodes else {}
            if above != name and DNAME in types:
                return f"lies below the DNAME of {text_of(above)}"
            if above != self._apex and NS in types and not rtype:
                return f"lies below the delegation of {text_of(above)}"
        here = self._nodes[name].rrsets if name in self._nodes and name != self._apex else {}
        if NS in here and rtype in (DNAME, 0):
            return "is delegated: no DNAME and no app can stand here"
        return ""

    def _between(self, name: Labels) -> Iterator[Labels]:
        """The names between a name and the apex, without both."""
        for depth in range(1, len(name) - len(self._apex)):
            yield name[depth:]

    def _finish_apex(self) -> Soa:
        """SOA and NS: what the settings say, then what the file says, then the defaults."""
        section, stated = self._section, self._section.model_fields_set
        ttl, minimum, times = section.ttl, section.negative_ttl, (_REFRESH, _RETRY, _EXPIRE)
        mname = _settings_name(section.primary or f"ns1.{section.name}")
        rname = _settings_name(section.contact or f"hostmaster.{section.name}")
        if self._soa:
            soa: Any = self._soa.rdata
            ttl = ttl if "ttl" in stated else self._soa.ttl
            minimum = minimum if "negative_ttl" in stated else soa.minimum
            times = (soa.refresh, soa.retry, soa.expire)
            mname = mname if section.primary else _dnslib_name(soa.mname)
            rname = rname if section.contact else _dnslib_name(soa.rname)
        rrsets = self._nodes[self._apex].rrsets
        if section.nameservers or NS not in rrsets:
            servers = [_settings_name(name) for name in section.nameservers] or [mname]
            targets = [tuple(label.lower() for label in server.label) for server in servers]
            rrsets[NS] = RRset(NS, ttl, [dnslib.NS(server) for server in servers], targets)
        return Soa(mname, rname, (*times, minimum), ttl)

    def _sign(self) -> Signer | None:
        """The keys stand at the apex, and what the parent is to have of them (RFC 7344)."""
        found = []
        for path in self._section.dnssec:
            try:
                found.append(keys.load(path))
            except ConfigError as error:
                self.problems += error.problems
        if not found:
            return None
        ttl, rrsets = self._section.ttl, self._nodes[self._apex].rrsets
        public = [dnslib.RD(key.dnskey) for key in found]
        rrsets[DNSKEY], rrsets[CDNSKEY] = RRset(DNSKEY, ttl, public), RRset(CDNSKEY, ttl, public)
        rrsets[CDS] = RRset(CDS, ttl, [dnslib.RD(key.ds(self._apex)) for key in found])
        return Signer(self._apex, found)


def _rdata(rdata: Any) -> Any:
    """As dnslib's record data. Names are compressed in the types of RFC 1035 alone (RFC 3597 section 4)."""
    match int(rdata.rdtype):
        case dns.rdatatype.NS:
            return dnslib.NS(_dnslib_name(rdata.target))
        case dns.rdatatype.CNAME:
            return dnslib.CNAME(_dnslib_name(rdata.target))
        case dns.rdatatype.PTR:
            return dnslib.PTR(_dnslib_name(rdata.target))
        case dns.rdatatype.MX:
            return dnslib.MX(_dnslib_name(rdata.exchange), rdata.preference)
    return dnslib.RD(rdata.to_wire())


def _dnslib_name(name: dns.name.Name) -> dnslib.DNSLabel:
    return dnslib.DNSLabel(name.labels[:-1])


def _settings_name(name: str) -> dnslib.DNSLabel:
    return dnslib.DNSLabel(labels_of(name))


def _target(record: StaticRecord) -> Labels:
    return _labels(getattr(record.rdata, "target"))  # noqa: B009 - typed by its subclasses


def _labels(name: dns.name.Name) -> Labels:
    return tuple(label.lower() for label in name.labels[:-1])
