"""The history beyond the events that the feed holds: fetched page by page, and gone to by time.

Owns :class:`Older` and what the time line understands. Called by the Events screen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from core.control.client import ControlClient
from core.model import Event
from tui.acting import within

PAGE = 500
PAGES_AT_ONCE = 40
"""How far one key goes back at most: 20,000 events."""
AGO = re.compile(r"(\d+)\s*([smhd])(?:\s+ago)?")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
TIMES = ("%H:%M:%S", "%H:%M")
DAYS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def instant(text: str, now: float) -> float | None:
    """``14:05`` and ``14:05:30`` are the last such time, UTC; ``2026-11-24 14:05`` is that one; ``10m`` is ten minutes ago.

    Seconds since the epoch, or None for what is none of these.
    """
    words = " ".join(text.split()).removesuffix(" UTC").replace("T", " ")
    if ago := AGO.fullmatch(words):
        return now - int(ago[1]) * UNITS[ago[2]]
    today = datetime.fromtimestamp(now, UTC)
    if (time := _read(words, TIMES)) is not None:
        at = time.replace(year=today.year, month=today.month, day=today.day)
        return (at if at <= today else at - timedelta(days=1)).timestamp()
    day = _read(words, DAYS)
    return None if day is None else day.timestamp()


def _read(text: str, forms: Sequence[str]) -> datetime | None:
    for form in forms:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


class Older:
    """Events before those that the feed holds. ``whole`` once there are none before these."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client
        self._events: tuple[Event, ...] = ()
        self.whole = False

    def before(self, held: Sequence[Event]) -> tuple[Event, ...]:
        """What has been fetched, if it still ends where the held events begin: the feed lets go of its oldest ones."""
        if self._events and held and self._events[-1].id + 1 < held[0].id:
            self._events, self.whole = (), False
        return tuple(event for event in self._events if not held or event.id < held[0].id)

    async def fetch(self, held: Sequence[Event], until: Callable[[Sequence[Event]], bool]) -> None:
        """Pages before what is known, until one satisfies ``until``, the history begins or :data:`PAGES_AT_ONCE` came."""
        for _ in range(PAGES_AT_ONCE):
            known = (*self.before(held), *held)
            if self.whole or not known:
                return
            page = await within(self._client.events(before=known[0].id, limit=PAGE))
            self._events = (*page, *self.before(held))
            self.whole = len(page) < PAGE
            if until(page):
                return
