"""How fast a cluster's router has answered: its newest answer times, and a strip over the last quarter of an hour.

Pure; the engine notes, the views read. Times in seconds; an unanswered message is ``None``.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

PERIOD = 15.0
PERIODS = 60
RECENT = 600
UNANSWERED = -1.0


@dataclass(slots=True)
class Latency:
    """The answer times of one router; :meth:`note` them in the order of their time."""

    _recent: deque[float] = field(default_factory=deque)
    _ordered: list[float] = field(default_factory=list)
    _past: deque[float | None] = field(default_factory=lambda: deque(maxlen=PERIODS - 1))
    _period: int = 0
    _answered: list[float] = field(default_factory=list)
    _lost: bool = False

    def note(self, at: float, took: float | None) -> None:
        """One confirmation message at ``at``."""
        self._roll(int(at // PERIOD))
        if took is None:
            self._lost = True
        else:
            self._answered.append(took)
            self._recent.append(took)
            insort(self._ordered, took)
            if len(self._recent) > RECENT:
                del self._ordered[bisect_left(self._ordered, self._recent.popleft())]

    def strip(self, now: float) -> tuple[float | None, ...]:
        """The last :data:`PERIODS` periods of :data:`PERIOD` seconds, oldest first: each one's median,
        :data:`UNANSWERED` when one of its messages was not answered, None when nothing was asked."""
        self._roll(int(now // PERIOD))
        known = (*self._past, self._newest())
        return (*(None,) * (PERIODS - len(known)), *known)

    def quantiles(self) -> tuple[float | None, float | None]:
        """The median and the 95th percentile of the newest :data:`RECENT` answers."""
        ordered, count = self._ordered, len(self._ordered)
        if not count:
            return None, None
        return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2, ordered[int(count * 0.95)]

    def _newest(self) -> float | None:
        return UNANSWERED if self._lost else statistics.median(self._answered) if self._answered else None

    def _roll(self, period: int) -> None:
        """Begin a later period; a clock that was set back goes on in the present one."""
        gone = period - self._period
        if gone <= 0:
            return
        if self._period:
            self._past.append(self._newest())
            self._past.extend([None] * min(gone - 1, PERIODS))
        self._period, self._answered, self._lost = period, [], False
