"""The local form of the control client: a client that lives on another thread's event loop, for the console.

Calls cross over with ``run_coroutine_threadsafe``. The stream crosses over a bridge that keeps one snapshot and a
bounded number of events, however long the console is busy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar

from core.control.client import ControlClient
from core.errors import NotRunning
from core.model import Event, Order, OrderResult
from core.snapshot import AnswerView, Preview, Snapshot, Update

_DEADLINE = 10.0  # seconds
_EVENTS = 5000  # events that wait for a busy console; older ones are dropped
T = TypeVar("T")


class LocalClient:
    """A :class:`core.control.client.ControlClient` for other loops than the one ``client`` lives on."""

    def __init__(self, client: ControlClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    async def snapshot(self) -> Snapshot:
        return await self._call(self._client.snapshot())

    async def events(
        self,
        *,
        since: float = 0.0,
        after: int = 0,
        before: int = 0,
        cluster: str = "",
        name: str = "",
        limit: int = 500,
    ) -> list[Event]:
        events = self._client.events(since=since, after=after, before=before, cluster=cluster, name=name, limit=limit)
        return await self._call(events)

    async def past(self, event: int) -> Snapshot:
        return await self._call(self._client.past(event))

    async def preview(self, order: Order) -> Preview:
        return await self._call(self._client.preview(order))

    async def order(self, order: Order) -> OrderResult:
        return await self._call(self._client.order(order))

    async def answers(self, name: str, qtype: str = "A", without: tuple[str, ...] = ()) -> AnswerView:
        return await self._call(self._client.answers(name, qtype, without))

    async def reload(self) -> str:
        return await self._call(self._client.reload())

    async def look_at(self, clusters: frozenset[str] | None) -> None:
        """Nothing: what crosses over is one object, however large."""

    async def close(self) -> None:
        """Nothing: the client belongs to the other loop."""

    async def stream(self) -> AsyncIterator[Update]:
        bridge = _Bridge(asyncio.get_running_loop())
        pump = self._start(bridge.pump(self._client))
        try:
            while True:
                yield await bridge.next()
        finally:
            pump.cancel()

    async def _call(self, question: Coroutine[Any, Any, T]) -> T:
        answer = asyncio.wrap_future(self._start(question))
        try:
            async with asyncio.timeout(_DEADLINE):
                return await answer
        except TimeoutError:
            raise NotRunning(f"the engine did not answer within {_DEADLINE:.0f} s") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise NotRunning("the engine has stopped") from None  # it was the other loop that cancelled

    def _start(self, question: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            return asyncio.run_coroutine_threadsafe(question, self._loop)
        except RuntimeError:
            question.close()
            raise NotRunning("the engine has stopped") from None


class _Bridge:
    """From the engine's loop to the reader's: what is not fetched in time melts into the newest state."""

    def __init__(self, reader: asyncio.AbstractEventLoop) -> None:
        self._reader = reader
        self._news = asyncio.Event()
        self._lock = Lock()
        self._snapshot: Snapshot | None = None
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self._told = False
        self._end = ""

    async def pump(self, client: ControlClient) -> None:
        """Runs on the engine's loop."""
        end = "the engine ended the stream"
        try:
            async for update in client.stream():
                self._put(update)
        except Exception as error:  # told to the reader, who decides
            end = str(error) or type(error).__name__
        finally:
            self._put(Update(), end)

    def _put(self, update: Update, end: str = "") -> None:
        with self._lock:
            self._snapshot = update.snapshot or self._snapshot
            self._events.extend(update.events)
            self._end = end
            told, self._told = self._told, True
        if not told:
            with suppress(RuntimeError):  # the reader's loop is closed
                self._reader.call_soon_threadsafe(self._news.set)

    async def next(self) -> Update:
        """Runs on the reader's loop. Raises NotRunning at the end."""
        try:
            async with asyncio.timeout(_DEADLINE):
                await self._news.wait()
        except TimeoutError:
            raise NotRunning(f"no news from the engine for {_DEADLINE:.0f} s") from None
        with self._lock:
            update = Update(self._snapshot, tuple(self._events))
            self._snapshot, self._told = None, False
            self._events.clear()
            self._news.clear()
            end = self._end
        if end and update == Update():
            raise NotRunning(end)
        if end:
            self._news.set()
        return update
