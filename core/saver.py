"""Keeps the store up with the engine, without ever holding it up.

Owns what has not been saved yet. The engine puts saves and events in and gets a future that is done when they are on
disk; it decides itself how long it waits. One write is under way at a time; what comes meanwhile goes into the next.
A write that fails is tried again every second with everything newer merged in, and told as trouble until it succeeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from core.clock import Clock
from core.errors import PointsmanError
from core.model import Event
from core.restore import encode
from core.state import Save
from core.store import Batch, Store, StoreError

RETRY = 1.0
SLOW = 1.0
LOOK = 5.0
"""Seconds without a write until one of nothing tells whether the store is still there."""
EVENTS_KEPT = 10_000


class Saver:
    """Runs beside the engine on its loop: :meth:`run` until cancelled, which tries once more to save what is left."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._values: dict[str, bytes | None] = {}
        self._events: list[Event] = []
        self._durable = False
        self._waiting: list[asyncio.Future[None]] = []
        self._work = asyncio.Event()
        self._error = ""
        self._began: float | None = None

    @property
    def trouble(self) -> str:
        """Why what happened is not on disk, or nothing."""
        if self._error:
            return f"not saved: {self._error}"
        if self._began is not None and self._clock.now() - self._began > SLOW:
            return f"the store has not answered for {self._clock.now() - self._began:.0f} s"
        return ""

    def put(self, saves: Iterable[Save], events: Iterable[Event], durable: bool) -> asyncio.Future[None]:
        """Take these in; the future is done once they are saved, and raises StoreError when a try has failed."""
        for save in saves:
            self._values[save.key] = None if save.value is None else encode(save.value)
        self._events.extend(events)
        del self._events[:-EVENTS_KEPT]
        self._durable |= durable
        if not self._waiting:  # one for all that goes into the next write
            self._waiting.append(asyncio.get_running_loop().create_future())
        self._work.set()
        return self._waiting[-1]

    async def run(self) -> None:
        try:
            while True:
                with suppress(TimeoutError):  # not wait_for: Python 3.11's swallows a cancel that comes with the work
                    async with asyncio.timeout(LOOK):
                        await self._work.wait()
                self._work.clear()
                if not await self._write():
                    await asyncio.sleep(RETRY)
                    self._work.set()
        finally:
            if self._values or self._events:
                await self._write()

    async def _write(self) -> bool:
        values, events, waiting = self._values, self._events, self._waiting
        batch = Batch(
            put={key: value for key, value in values.items() if value is not None},
            delete=frozenset(key for key, value in values.items() if value is None),
            events=tuple(events),
            durable=self._durable,
        )
        self._values, self._events, self._waiting, self._durable = {}, [], [], False
        self._began = self._clock.now()
        try:
            await self._store.write(batch)
        except BaseException as error:
            self._values = {**values, **self._values}
            self._events = [*events, *self._events][-EVENTS_KEPT:]
            self._durable |= batch.durable
            if not isinstance(error, Exception):  # cancelled: the last write takes all of it
                self._waiting = [*waiting, *self._waiting]
                raise
            self._error = str(error) if isinstance(error, PointsmanError) else f"a defect: {error!r}"
            for saved in waiting:
                if not saved.done():
                    saved.set_exception(StoreError(self._error))
                    saved.exception()  # whoever has stopped waiting has been told by `trouble`
            return False
        finally:
            self._began = None
        self._error = ""
        for saved in waiting:
            if not saved.done():
                saved.set_result(None)
        return True
