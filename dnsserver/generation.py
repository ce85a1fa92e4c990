"""What is answered at one time: zones, record table and the answers built from them, swapped as one (decision 2).

Made by :mod:`dnsserver.server`, read by the wire thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from core.records import RecordTable
from core.settings import Dns, DnsLimits
from dnsserver.cache import AnswerCache
from dnsserver.respond import Responder
from dnsserver.stats import Counters
from dnsserver.zone import Zones


@dataclass(frozen=True, slots=True)
class Generation:
    """``datagrams`` and ``streams`` answer what came over UDP and over TCP."""

    table: RecordTable
    zones: Zones
    settings: Dns
    datagrams: AnswerCache
    streams: AnswerCache

    @property
    def limits(self) -> DnsLimits:
        return self.settings.limits


class Generations:
    """Makes one generation after the other; what goes on through all of them is the counters and the turns."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._turns: Iterator[int] = count()

    def make(self, zones: Zones, table: RecordTable, settings: Dns) -> Generation:
        for_streams = settings.limits.cache_entries // 4
        return Generation(
            table,
            zones,
            settings,
            self._cache(Responder(zones, table, settings, stream=False), settings.limits.cache_entries - for_streams),
            self._cache(Responder(zones, table, settings, stream=True), for_streams),
        )

    def _cache(self, responder: Responder, limit: int) -> AnswerCache:
        return AnswerCache(responder, limit, self._counters, self._turns)
