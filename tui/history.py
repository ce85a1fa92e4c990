"""The history beyond the events that the feed holds, fetched page by page. Called by the Events screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.control.client import ControlClient
from core.model import Event
from tui.acting import within

PAGE = 500
PAGES_AT_ONCE = 40
"""How far one key goes back at most: 20,000 events."""


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
