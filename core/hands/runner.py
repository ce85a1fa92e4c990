"""Gives every hand the newest target and repeats until it has confirmed it (spec S32, S33, S36).

Owns a task for each hand and what it has confirmed. The engine tells after each publish and never waits; the service
reads the views. A newer target ends the attempt that is under way, for an older one is never carried out late; one that
asks nothing new of a hand is confirmed with what it has confirmed.
Must not import the engine, the probes or the DNS server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from core.clock import Clock
from core.hands.hand import Hand, HandError, Target, Watched, concern
from core.model import HandKind
from core.snapshot import HandView

ATTEMPT = 10.0
"""Seconds that a hand may take for one attempt."""
BACKOFF, BACKOFF_LIMIT = 0.5, 15.0
CLOSE_WITHIN = 1.0
_log = structlog.get_logger()


@dataclass(slots=True)
class _Place:
    """One hand with what it has confirmed; ``since`` is when it confirmed, or since when it has not. ``last`` is the target
    that it confirmed last, or that held when it was placed; ``done``: it asks the same of the hand as how things are to be."""

    hand: Hand
    since: float
    last: Target
    confirmed: int = 0
    done: bool = False
    said: str = "not asked yet"
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Hands:
    """All hands of the settings. :meth:`run` until cancelled; ``jitter`` gives a factor around 1 for the waits;
    ``confirmed`` hears of each target that a hand has confirmed, with the one before."""

    def __init__(
        self,
        hands: Sequence[Hand],
        target: Target,
        clock: Clock,
        jitter: Callable[[], float],
        confirmed: Callable[[Hand, Target, Target], None] = lambda hand, before, after: None,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._confirmed = confirmed
        self._target = target
        self._places = self._placed(hands)
        self._replaced = asyncio.Event()

    def tell(self, target: Target) -> None:
        """From now on this is how things are to be."""
        now, before, self._target = self._clock.now(), self._target, target
        for place in self._places:
            if _concern(place, before) == _concern(place, target):
                place.confirmed = target.table.serial if place.done else place.confirmed
                continue
            if place.done:
                place.done, place.since = False, now
            place.news.set()

    def replace(self, hands: Sequence[Hand]) -> None:
        """Other settings: these hands instead, which are all told anew."""
        self._places = self._placed(hands)
        self._replaced.set()

    def views(self) -> tuple[HandView, ...]:
        wanted = self._target.table.serial
        return tuple(
            HandView(
                place.hand.name, place.hand.kind, place.hand.cluster, place.hand.address,
                wanted, place.confirmed if place.done else min(place.confirmed, wanted - 1), place.since, place.said,
            )
            for place in self._places
        )  # fmt: skip

    def weights(self) -> dict[str, Mapping[str, int]]:
        """What the routers have confirmed to use, by cluster and pod, in percent of the set value."""
        return {
            place.hand.cluster: place.last.weights.get(place.hand.cluster, {})
            for place in self._places
            if place.hand.kind is HandKind.ROUTER and place.confirmed
        }

    async def run(self) -> None:
        while True:
            self._replaced.clear()
            places = self._places
            tasks = [asyncio.create_task(self._serve(place), name=f"hand {place.hand.name}") for place in places]
            try:
                await self._replaced.wait()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.gather(*(_close(place.hand) for place in places))

    def _placed(self, hands: Sequence[Hand]) -> tuple[_Place, ...]:
        return tuple(_Place(hand, self._clock.now(), self._target) for hand in hands)

    async def _serve(self, place: _Place) -> None:
        failures = 0
        while True:
            place.news.clear()
            target = self._target
            attempt = asyncio.create_task(self._attempt(place, target))
            news = asyncio.create_task(place.news.wait())
            try:
                await asyncio.wait({attempt, news}, return_when=asyncio.FIRST_COMPLETED)
                done = attempt.done() and attempt.result()
                failures = 0 if done or not attempt.done() else failures + 1
                if done:
                    again = place.hand.again_in if isinstance(place.hand, Watched) else None
                    await asyncio.wait({news}, timeout=again)
                elif failures:
                    wait = min(BACKOFF * 2.0 ** min(failures - 1, 10), BACKOFF_LIMIT) * self._jitter()
                    await asyncio.wait({news}, timeout=wait)
            finally:
                attempt.cancel()
                news.cancel()
                await asyncio.gather(attempt, news, return_exceptions=True)

    async def _attempt(self, place: _Place, target: Target) -> bool:
        """Whether the hand has confirmed; why not is what it said."""
        try:
            async with asyncio.timeout(ATTEMPT):
                said = await place.hand.carry_out(target)
        except TimeoutError:
            place.said = f"no confirmation within {ATTEMPT:.0f} s"
        except (HandError, OSError) as error:
            place.said = str(error) or type(error).__name__
        except Exception as error:
            _log.exception("hand_failed", hand=place.hand.name)
            place.said = f"a defect of pointsman ({type(error).__name__}); see the log"
        else:
            before, place.last, place.said = place.last, target, said
            if _concern(place, target) == _concern(place, self._target):
                place.confirmed = self._target.table.serial
                if not place.done:
                    place.done, place.since = True, self._clock.now()
            self._confirmed(place.hand, before, target)
            return True
        if place.done:  # it was, and is no more
            place.done, place.since = False, self._clock.now()
        return False


def _concern(place: _Place, target: Target) -> object:
    return concern(target, place.hand.kind, place.hand.cluster)


async def _close(hand: Hand) -> None:
    with suppress(Exception):  # it is given up either way
        async with asyncio.timeout(CLOSE_WITHIN):
            await hand.close()
