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
from dnsserver.guard import NO_GUARD, Guard
from dnsserver.names import Names
from dnsserver.respond import Responder
from dnsserver.stats import Counters
from dnsserver.transfer import NOBODY, Accesses, Transfers
from dnsserver.tsig import Keyring
from dnsserver.zone import Zones


@dataclass(frozen=True, slots=True)
class Generation:
    """``datagrams`` and ``streams`` answer what came over UDP and over TCP, ``transfers`` those who want whole zones;
    ``guard`` stands before all. ``accesses`` say who may have zones, and ``history`` are the tables before this one with the
    same zones."""

    table: RecordTable
    zones: Zones
    settings: Dns
    datagrams: AnswerCache
    streams: AnswerCache
    transfers: Transfers
    guard: Guard
    accesses: Accesses
    history: tuple[RecordTable, ...]

    @property
    def limits(self) -> DnsLimits:
        return self.settings.limits


class Generations:
    """Makes one generation after the other; what goes on through all of them is the counters and the turns."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._turns: Iterator[int] = count()
        self._names: tuple[Zones, Names] = {}, Names({})

    def make(
        self,
        zones: Zones,
        table: RecordTable,
        settings: Dns,
        accesses: Accesses = NOBODY,
        history: tuple[RecordTable, ...] = (),
        guard: Guard = NO_GUARD,
    ) -> Generation:
        """``history`` are the record tables before this one with the same zones, oldest first."""
        if zones is not self._names[0]:
            self._names = zones, Names(zones)
        for_streams = settings.limits.cache_entries // 4
        signed = self._names[1].signed
        return Generation(
            table,
            zones,
            settings,
            self._cache(
                Responder(zones, table, settings, stream=False, signed=signed),
                settings.limits.cache_entries - for_streams,
                accesses.keyring,
            ),
            self._cache(Responder(zones, table, settings, stream=True, signed=signed), for_streams, accesses.keyring),
            Transfers(zones, table, history, accesses, self._counters),
            guard,
            accesses,
            history,
        )

    def _cache(self, responder: Responder, limit: int, keyring: Keyring) -> AnswerCache:
        return AnswerCache(responder, self._names[1], limit, self._counters, self._turns, keyring)
