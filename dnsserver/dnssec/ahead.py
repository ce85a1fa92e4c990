"""Signs ahead of the question: what is answered now, and what would be if any one cluster went.

A thread of its own, started by :mod:`dnsserver.server` where a zone is signed. When a table is published its answers
have been signed before, as a rule, so an erase costs no signature: neither the engine that publishes nor the wire
thread that answers waits for one. What was not foreseen, as two clusters that go at the same instant, is signed when it
is asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import TypeAlias

from core.records import AppRecords, RecordTable
from dnsserver.dnssec.signer import Signer
from dnsserver.spread import Spread
from dnsserver.wireform import Labels, labels_of, wire_data, wire_name
from dnsserver.zone import AAAA, CNAME, SOA, A, Zones

_AT_ONCE = 16
_PAUSE = 0.002
"""Seconds of rest after so many sets: signing must not keep the interpreter from those who answer."""
_END_WITHIN = 5.0

_Job: TypeAlias = tuple[Zones, RecordTable]
_Set: TypeAlias = tuple[Signer, Labels, int, int, tuple[bytes, ...]]


class Ahead:
    """Always about the newest table; a newer one ends the work on the one before."""

    def __init__(self) -> None:
        self._seen: tuple[Zones, bool] = {}, False
        self._job: _Job | None = None
        self._done: _Job | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="dns-signer", daemon=True)

    def prepare(self, zones: Zones, table: RecordTable) -> None:
        """Returns at once."""
        if zones is not self._seen[0]:
            self._seen = zones, any(zone.signer for zone in zones.values())
        if self._seen[1] and not self._stopping:
            self._job = zones, table
            self._wake.set()
            if not self._thread.ident:
                self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether everything foreseen is signed."""
        return self._job is self._done

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread.ident:
            self._thread.join(_END_WITHIN)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            job = self._job
            if job is None or job is self._done:
                continue
            for number, (signer, name, rtype, ttl, data) in enumerate(_sets(job, self._done), 1):
                if self._stopping or self._job is not job:
                    break
                signer.signatures(name, rtype, ttl, data)
                if not number % _AT_ONCE:
                    time.sleep(_PAUSE)
            else:
                self._done = job


def _sets(job: _Job, done: _Job | None) -> Iterator[_Set]:
    """What to sign: first what is answered now. Apps that are as they were when all was done need nothing."""
    zones, table = job
    same = done[1].apps if done and done[0] is zones and done[1] is not table else {}
    present: list[tuple[Signer, Labels, AppRecords]] = []
    for zone in zones.values():
        if zone.signer:
            soa = wire_data(zone.soa.rdata(table.serial))
            for ttl in {zone.soa.ttl, zone.soa.negative_ttl}:
                yield zone.signer, zone.apex, SOA, ttl, (soa,)
            for name, node in zone.nodes.items():
                app = table.apps.get(node.app)
                if app and name[:1] != (b"*",) and same.get(node.app) is not app:
                    present.append((zone.signer, name, app))
    for signer, name, app in present:
        yield from _answers(signer, name, app)
    for signer, name, app in present:
        for gone in app.records:
            left = tuple(record for record in app.records if record is not gone)
            yield from _answers(signer, name, replace(app, records=left))


def _answers(signer: Signer, name: Labels, app: AppRecords) -> Iterator[_Set]:
    for rtype, version in ((A, 4), (AAAA, 6)):
        spread = Spread(app, version)
        for hostname in {spread.hostname(variant) for variant in range(spread.variants)} - {""}:
            yield signer, name, CNAME, app.ttl, (wire_name(labels_of(hostname)),)
        for addresses in {frozenset(spread.addresses(variant)) for variant in range(spread.variants)}:
            if addresses:
                data = tuple(ip_address(address).packed for address in addresses)
                yield signer, name, rtype, app.ttl, data
