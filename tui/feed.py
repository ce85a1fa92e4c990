"""What the console knows of the engine: the newest snapshot, the events, and how old they are.

Owns the stream and its reconnects. The app runs :meth:`Feed.run` as a worker and asks :meth:`Feed.view` when it paints.
The age of the data is measured by the console's own monotonic clock from the moment the engine's time last moved, so
that neither a wall clock nor an engine that repeats itself can make old data look fresh.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from core.control.client import ControlClient
from core.errors import PointsmanError
from core.model import Event
from core.snapshot import Snapshot, Update

STALE_AFTER = 2.0
QUIET_AFTER = 10.0
DELAYS = (0.5, 1.0, 2.0, 4.0, 5.0)
EVENTS_KEPT = 2000


@dataclass(frozen=True, slots=True)
class View:
    """What the screens paint. ``now`` is the engine's time, ``age`` the seconds since it last moved.

    ``paused_at`` is the engine's time at which the operator froze the view. ``retry_in`` counts down to a new attempt.
    ``replay`` says which event of the past this is, and is empty where it is not the past.
    """

    snapshot: Snapshot | None
    now: float
    age: float
    stale: bool
    problem: str = ""
    retry_in: float | None = None
    events: tuple[Event, ...] = ()
    paused_at: float | None = None
    replay: str = ""


class Feed:
    """The stream of one client. ``monotonic`` and ``sleep`` are injected by tests."""

    def __init__(
        self,
        client: ControlClient,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._monotonic = monotonic
        self._sleep = sleep
        self._snapshot: Snapshot | None = None
        self._moved_at = monotonic()
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._newest: tuple[Event, ...] = ()
        self._last_id = 0
        self._problem = "connecting"
        self._retry_at: float | None = None
        self._connected = False

    async def run(self) -> None:
        """Follow the stream for ever; each loss is tried again after a growing delay that the header counts down."""
        failures = 0
        while True:
            self._connected = False
            try:
                await self._follow()
                reason = "the stream ended"
            except (PointsmanError, OSError) as error:
                reason = str(error) or f"no news for {QUIET_AFTER:.0f} s"
            failures = 0 if self._connected else failures + 1
            delay = DELAYS[min(failures, len(DELAYS) - 1)]
            self._problem, self._retry_at = reason, self._monotonic() + delay
            await self._sleep(delay)

    async def _follow(self) -> None:
        stream = aiter(self._client.stream())
        try:
            while True:
                async with asyncio.timeout(QUIET_AFTER):
                    update = await anext(stream)
                    if not self._connected:
                        self._start(await self._client.events(limit=EVENTS_KEPT))
                self._take(update)
        except StopAsyncIteration:
            return
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    def _start(self, history: list[Event]) -> None:
        self._connected = True
        self._problem, self._retry_at = "", None
        self._events.clear()
        self._last_id = 0
        self._append(tuple(history))

    def _take(self, update: Update) -> None:
        new = update.snapshot
        if new is not None:
            if self._snapshot is None or new.at != self._snapshot.at:
                self._moved_at = self._monotonic()
            self._snapshot = new
        self._append(update.events)

    def _append(self, events: tuple[Event, ...]) -> None:
        fresh = [event for event in events if event.id == 0 or event.id > self._last_id]
        self._events.extend(fresh)
        self._last_id = max((event.id for event in fresh), default=self._last_id)
        self._newest = tuple(self._events)

    def view(self) -> View:
        mono = self._monotonic()
        age = mono - self._moved_at
        return View(
            snapshot=self._snapshot,
            now=self._snapshot.at + age if self._snapshot else 0.0,
            age=age,
            stale=age > STALE_AFTER or self._retry_at is not None,
            problem=self._problem,
            retry_in=max(0.0, self._retry_at - mono) if self._retry_at is not None else None,
            events=self._newest,
        )
