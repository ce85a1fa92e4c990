"""Hands events over to each receiver from a bounded queue of its own, and repeats until it has taken them.

The engine calls :meth:`Alerts.take` for each event and never waits. A receiver that is slow, down or wrong delays neither
the engine nor another receiver (spec S36); what it has not taken after ``give_up``, or what finds its queue full, is dropped,
counted and told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from core.alerts.receivers import Receiver, Undelivered
from core.clock import Clock
from core.model import Event
from core.settings.alerts import Alerts as Settings

BACKOFF, BACKOFF_LIMIT = 0.5, 60.0
CLOSE_WITHIN = 0.3
_log = structlog.get_logger()


@dataclass(slots=True)
class _Place:
    """One receiver with what it has not taken yet; ``trouble`` says why, ``dropped`` counts since its last success."""

    receiver: Receiver
    waiting: deque[Event] = field(default_factory=deque)
    news: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    trouble: str = ""
    dropped: int = 0


class Alerts:
    """All receivers of the settings; ``jitter`` gives a factor around 1 for the waits. :meth:`run` until cancelled."""

    def __init__(
        self, receivers: Sequence[Receiver], settings: Settings, clock: Clock, jitter: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._replaced = asyncio.Event()
        self._places: tuple[_Place, ...] = ()
        self.replace(receivers, settings)

    def replace(self, receivers: Sequence[Receiver], settings: Settings) -> None:
        """Other settings: these receivers instead. What waits for one whose settings are the same waits on."""
        kept = {place.receiver.settings: place for place in self._places}
        places = ((receiver, kept.pop(receiver.settings, None)) for receiver in receivers)
        self._places = tuple(replace(old, receiver=new) if old else _Place(new) for new, old in places)
        self._queue, self._give_up = settings.queue, settings.give_up
        self._replaced.set()

    def take(self, event: Event) -> None:
        """Tell everyone who wants to know. Never waits, never raises."""
        for place in self._places:
            if place.receiver.wants(event):
                if len(place.waiting) >= self._queue:
                    place.waiting.popleft()
                    self._drop(place, "the queue is full")
                else:
                    place.news.release()
                place.waiting.append(event)

    @property
    def trouble(self) -> tuple[str, ...]:
        """Who does not take what is sent, one line each."""
        return tuple(
            f"alerts: {place.receiver.name} does not take them: {place.trouble}; {len(place.waiting)} wait"
            + (f", {place.dropped} dropped" if place.dropped else "")
            for place in self._places
            if place.trouble
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._replaced.clear()
            places = self._places
            tasks = [
                asyncio.create_task(self._serve(place), name=f"alerts to {place.receiver.name}")
                for place in places
                for _ in range(place.receiver.at_once)
            ]
            try:
                await self._replaced.wait()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.gather(*(_close(place.receiver) for place in places))

    async def _serve(self, place: _Place) -> None:
        while True:
            await place.news.acquire()
            event = place.waiting.popleft()
            try:
                await self._deliver(place, event)
            except asyncio.CancelledError:  # it may be that others carry on
                place.waiting.appendleft(event)
                place.news.release()
                raise

    async def _deliver(self, place: _Place, event: Event) -> None:
        """Until it is taken, refused for good, or too old."""
        failures = 0
        while True:
            try:
                await place.receiver.deliver(event)
            except Exception as error:
                failures += 1
                wait = self._failed(place, event, error, failures)
                if wait is None:
                    return
                await asyncio.sleep(wait)
            else:
                if place.trouble:
                    _log.warning("alerts_delivered_again", receiver=place.receiver.name, dropped=place.dropped)
                place.trouble, place.dropped = "", 0
                return

    def _failed(self, place: _Place, event: Event, error: Exception, failures: int) -> float | None:
        """Seconds until the next attempt; None when there is none."""
        match error:
            case TimeoutError():
                said = "no answer in time"
            case Undelivered() | OSError():
                said = str(error) or type(error).__name__
            case _:
                _log.error("alert_failed", receiver=place.receiver.name, exc_info=error)
                said = f"a defect of pointsman ({type(error).__name__}); see the log"
        if not place.trouble:
            _log.warning("alerts_not_delivered", receiver=place.receiver.name, reason=said)
        place.trouble = said
        if isinstance(error, Undelivered) and error.final:
            self._drop(place, said)
            return None
        wait = min(BACKOFF * 2.0 ** min(failures - 1, 20), BACKOFF_LIMIT) * self._jitter()
        wait = max(wait, error.after if isinstance(error, Undelivered) else 0.0)
        if self._clock.now() + wait > event.at + self._give_up:
            self._drop(place, f"not taken within {self._give_up:.0f} s: {said}")
            return None
        return wait

    @staticmethod
    def _drop(place: _Place, reason: str) -> None:
        """Told in the log at the first, the second, the fourth, …: a flood of them is no flood of lines."""
        place.dropped += 1
        place.trouble = place.trouble or reason
        if place.dropped & (place.dropped - 1) == 0:
            _log.error("alerts_dropped", receiver=place.receiver.name, dropped=place.dropped, reason=reason)


async def _close(receiver: Receiver) -> None:
    with suppress(Exception):  # it is given up either way
        async with asyncio.timeout(CLOSE_WITHIN):
            await receiver.close()
