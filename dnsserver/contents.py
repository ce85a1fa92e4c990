"""A zone as secondaries get it: every record at one record table, in wire form. Pure. Called by :mod:`dnsserver.transfer`.

A secondary answers plain record sets, and knows neither shares nor weights. So an app stands there as it is when nothing
is on its way: with policy ``all`` and ``weighted`` every cluster that has its full share (a cluster that is ramped up
comes in at the end of its ramp, spec S29); with ``failover`` the first of them; where none has its full share, the one
with the highest. A cluster with a host name stands alone, for a CNAME can have nothing beside it (RFC 1034 section 3.6.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import TypeAlias

from core.records import AppRecords, Record, RecordTable
from dnsserver.wireform import Labels, labels_of, wire_data, wire_name
from dnsserver.zone import AAAA, CNAME, A, Zone

WireRecord: TypeAlias = tuple[Labels, int, int, bytes]
"""Owner, type, TTL in seconds, and the data uncompressed."""


def soa(zone: Zone, serial: int) -> WireRecord:
    return zone.apex, 6, zone.soa.ttl, wire_data(zone.soa.rdata(serial))


def static_records(zone: Zone) -> Iterator[WireRecord]:
    """What stands in the zone whatever the clusters do, without the SOA."""
    for name, node in zone.nodes.items():
        for rrset in node.rrsets.values():
            for rdata in rrset.rdata:
                yield name, rrset.rtype, rrset.ttl, wire_data(rdata)


def app_records(zone: Zone, table: RecordTable) -> Iterator[WireRecord]:
    """What the record table says of the zone's apps."""
    for name, node in zone.nodes.items():
        if node.app and (app := table.apps.get(node.app)):
            yield from _app(name, app)


def changed(zone: Zone, old: RecordTable, new: RecordTable) -> tuple[list[WireRecord], list[WireRecord]]:
    """The records that went and those that came from one table to another."""
    gone: list[WireRecord] = []
    come: list[WireRecord] = []
    for name, node in zone.nodes.items():
        before, after = old.apps.get(node.app), new.apps.get(node.app)
        if node.app and before != after:
            was = list(_app(name, before)) if before else []
            now = list(_app(name, after)) if after else []
            gone += [record for record in was if record not in now]
            come += [record for record in now if record not in was]
    return gone, come


def _app(name: Labels, app: AppRecords) -> Iterator[WireRecord]:
    for record in _standing(app):
        if record.hostname:
            yield name, CNAME, app.ttl, wire_name(labels_of(record.hostname))
        for address in record.addresses:
            yield name, AAAA if ":" in address else A, app.ttl, ip_address(address).packed


def _standing(app: AppRecords) -> Iterable[Record]:
    """The clusters that stand under the name."""
    records = tuple(r for r in app.records if r.weight) or (app.records if app.fail_open else ())
    if not records:
        return ()
    highest = max(r.share for r in records)
    full = tuple(r for r in records if r.share == highest)
    if app.policy == "failover":
        return full[:1]
    if any(r.hostname for r in full):
        return (max(full, key=lambda r: r.weight),)
    return full
