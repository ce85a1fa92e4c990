"""Counters of the DNS server. The wire thread counts; the engine reads a view from time to time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from operator import add

import dns.rcode

from core.snapshot import DnsStats

_SLOTS = 64
_SAMPLE_SECONDS = 1.0
_SAMPLES = 5


class Counters:
    """Counted by the wire thread alone. ``answers`` by rcode × 2, plus 1 for the truncated ones; ``dropped``
    are packets that got no answer, or whose answer did not get out; ``limited`` answers that were held back or emptied
    by the rate limit; ``connections`` are those open now."""

    __slots__ = ("answers", "connections", "dropped", "limited")

    def __init__(self) -> None:
        self.answers = [0] * _SLOTS
        self.dropped = 0
        self.limited = 0
        self.connections = 0

    def take(self, other: Counters) -> None:
        """Counts from there on."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))


def total(parts: Iterable[Counters]) -> Counters:
    """What several have counted."""
    summed = Counters()
    for part in parts:
        summed.answers = list(map(add, summed.answers, part.answers))
        summed.dropped += part.dropped
        summed.limited += part.limited
        summed.connections += part.connections
    return summed


class Stats:
    """Makes the view. ``clock`` gives seconds, monotonic; called from one thread."""

    def __init__(self, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque([(clock(), 0)], maxlen=_SAMPLES)

    def view(self) -> DnsStats:
        answers = tuple(self._counters.answers)
        queries = sum(answers) + self._counters.dropped
        now = self._clock()
        then, before = self._samples[0]
        if now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append((now, queries))
        return DnsStats(
            queries=queries,
            rate=(queries - before) / (now - then) if now > then else 0.0,
            by_rcode=tuple(
                (dns.rcode.to_text(dns.rcode.Rcode(slot // 2)), answers[slot] + answers[slot + 1])
                for slot in range(0, _SLOTS, 2)
                if answers[slot] + answers[slot + 1]
            ),
            dropped=self._counters.dropped,
            truncated=sum(answers[1::2]),
            limited=self._counters.limited,
            tcp_connections=self._counters.connections,
        )
