"""The record table (spec S2): which addresses each domain name has now. Pure and immutable.

The switcher builds a table, the engine publishes it, and readers (DNS, console, API) hold one by a single reference.
Every change has a serial that only grows (spec S32). Imports nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Record:
    """One cluster's place under one domain name.

    ``addresses`` are IPv4 and IPv6 in their canonical text form; a router that has a name instead has ``hostname``, a
    domain name, and no addresses. ``share`` is the percentage of answers that may hold the cluster: 100 when it serves
    fully, less while it is ramped up (spec S20). ``weight`` is the configured weight.
    """

    cluster: str
    addresses: tuple[str, ...]
    share: int = 100
    weight: int = 100
    hostname: str = ""

    @property
    def places(self) -> tuple[str, ...]:
        """What stands for the cluster in answers: its addresses, or its host name."""
        return (self.hostname,) if self.hostname else self.addresses


@dataclass(frozen=True, slots=True)
class AppRecords:
    """What one domain name answers. ``records`` holds only clusters whose addresses may be answered.

    ``policy`` is ``all``, ``failover`` (only the first record is answered) or ``weighted``.
    ``fail_open`` tells that every cluster is abnormal and they are served nevertheless (spec S27).
    """

    domain: str
    ttl: int
    records: tuple[Record, ...]
    policy: str = "all"
    fail_open: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(place for record in self.records for place in record.places)


@dataclass(frozen=True, slots=True)
class RecordTable:
    """All domain names of all apps, with the generation they belong to."""

    serial: int
    apps: Mapping[str, AppRecords] = field(default_factory=dict)

    def __reduce__(self) -> tuple[type[RecordTable], tuple[int, dict[str, AppRecords]]]:
        """For DNS workers: the read-only view that the switcher makes of a table cannot be sent to another process."""
        return RecordTable, (self.serial, dict(self.apps))

    def addresses(self, domain: str) -> tuple[str, ...]:
        """The addresses that stand under a domain name now; none where the name is not an app's."""
        app = self.apps.get(domain)
        return app.addresses if app else ()


@dataclass(frozen=True, slots=True)
class Change:
    """One cluster's share under one domain name before and after; 0 means that it is not in the answers."""

    domain: str
    cluster: str
    before: int
    after: int


def difference(old: RecordTable, new: RecordTable) -> tuple[Change, ...]:
    """What changed from one table to the next, by domain name and cluster."""
    return tuple(_changes(old, new))


def still_held(before: RecordTable, after: RecordTable, at: float) -> dict[tuple[str, str], float]:
    """Until when resolvers may hold what was answered until ``at``, and is no longer, or not for so long (spec S22):
    by domain name and cluster, of those that have left an answer or whose TTL has fallen."""
    held = {}
    for domain, was in before.apps.items():
        now = after.apps.get(domain)
        if now is was:
            continue
        left = {record.cluster for record in now.records} if now else set()
        for record in was.records:
            if record.cluster not in left or (now and now.ttl < was.ttl):
                held[domain, record.cluster] = at + was.ttl
    return held


def _changes(old: RecordTable, new: RecordTable) -> Iterator[Change]:
    for domain in sorted({*old.apps, *new.apps}):
        before, after = _shares(old, domain), _shares(new, domain)
        for cluster in sorted({*before, *after}):
            if before.get(cluster, 0) != after.get(cluster, 0):
                yield Change(domain, cluster, before.get(cluster, 0), after.get(cluster, 0))


def _shares(table: RecordTable, domain: str) -> dict[str, int]:
    app = table.apps.get(domain)
    return {record.cluster: record.share for record in app.records} if app else {}
