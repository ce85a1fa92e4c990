"""A past incident on the same screens: which event is looked at, and what the screens showed then.

Owns the events of the walk and the snapshot of the present step. Called by the app, which paints :meth:`Replay.view`
instead of what is live. Nothing can be ordered from the past; the app takes the verbs away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.control.client import ControlClient
from core.model import Event, EventName
from core.snapshot import Snapshot
from tui.acting import within
from tui.feed import View

PAGE = 500
INCIDENTS = frozenset(
    {EventName.FAULT_SEEN, EventName.OVERRIDE_SET, EventName.SUSPECT_SELF, EventName.FAIL_OPEN, EventName.FROZEN}
)
"""The events at which something begins: these are gone to from one to the next."""


class Replay:
    """A walk over the history. Every step raises CommandRefused, and stays, where the screens were not kept."""

    def __init__(self, client: ControlClient, events: Sequence[Event]) -> None:
        self._client = client
        self._events = list(events)
        self._at = 0
        self._seen: Snapshot | None = None

    @property
    def event(self) -> Event:
        return self._events[self._at]

    async def open(self, id: int) -> bool:
        """Show the event with this id; False where the walk has no such event."""
        found = next((n for n, event in enumerate(self._events) if event.id == id), None)
        return found is not None and await self._go(found)

    async def step(self, by: int, incidents: bool = False) -> bool:
        """To the next event in the direction of ``by``, or to the next incident; False where there is none."""
        at = self._at + by
        while True:
            if at < 0:
                at += await self._older()
            if not 0 <= at < len(self._events):
                return False
            if not incidents or self._events[at].name in INCIDENTS:
                return await self._go(at)
            at += by

    def view(self, live: View) -> View:
        """What the screens are to show in place of what is live."""
        event, seen = self.event, self._seen
        number = f"event {event.id}, {self._at + 1} of {len(self._events)}"
        return replace(
            live, snapshot=seen, now=seen.at if seen else event.at, age=0.0, stale=False, problem="", retry_in=None,
            events=tuple(self._events[: self._at + 1]), paused_at=None, replay=number,
        )  # fmt: skip

    async def _go(self, at: int) -> bool:
        self._seen = await within(self._client.past(self._events[at].id))
        self._at = at
        return True

    async def _older(self) -> int:
        """A page before the first event that is known; how many there are in it."""
        older = await within(self._client.events(before=self._events[0].id, limit=PAGE))
        self._events[:0] = older
        self._at += len(older)
        return len(older)
