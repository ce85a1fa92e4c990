"""A question that waits for long is asked again over a connection of its own, and the first answer counts (a hedged request).

A lost packet holds up the connection that it was lost on, and no other; where nothing is sent again, as with ICMP and DNS, it is the whole
question. What cannot be sent at all, be it for a filter or a full queue of our own, is tried again as well. Called by :mod:`core.probes.confirm` and :mod:`core.probes.canary`, for every kind of message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.probes.rounds import Answer, Target

AGAIN = (0.5, 0.75)
"""When a question is asked again, in shares of the time that it has. Where one packet in a hundred is lost, all three are once in some
30,000 questions (over new connections of four packets each) to 125,000 (two datagrams)."""


class Hedged(Target):
    """Asks what ``make`` makes, and at each of :data:`AGAIN` of ``timeout`` seconds another of them. Who answers first is asked
    from then on, and the others are dropped. One that ends without an answer tells nothing before all of them have."""

    def __init__(self, make: Callable[[], Target], timeout: float) -> None:
        self._make, self._moments = make, [share * timeout for share in AGAIN]
        self._target = make()
        self._asked = self._failed = 0
        self._others: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._first: tuple[Target, Answer] | None = None
        self._none_left = asyncio.Event()

    @property
    def held(self) -> bool:
        return self._target.held

    async def ask(self) -> Answer:
        asking = asyncio.current_task()
        assert asking is not None
        cancelling = asking.cancelling()
        self._asked = self._failed = 0
        self._first = None
        self._none_left.clear()
        self._wait(asking, 0.0)
        try:
            return await self._ask_first()
        except asyncio.CancelledError:
            if self._first is None or asking.uncancel() > cancelling:
                raise  # at the deadline, or for good
        finally:
            self._drop_others()
        self._target.close()  # what it may answer yet is no answer to the next question
        self._target, answer = self._first
        return answer

    async def _ask_first(self) -> Answer:
        try:
            return await self._target.ask()
        except Exception:
            await self._none_left.wait()
            raise

    def _wait(self, asking: asyncio.Task[object], since: float) -> None:
        if self._asked < len(self._moments):
            moment = self._moments[self._asked]
            self._timer = asyncio.get_running_loop().call_later(moment - since, self._ask_another, asking, moment)

    def _ask_another(self, asking: asyncio.Task[object], moment: float) -> None:
        self._asked += 1
        self._others.append(asyncio.get_running_loop().create_task(self._race(asking), name="ask again"))
        self._wait(asking, moment)

    async def _race(self, asking: asyncio.Task[object]) -> None:
        other = self._make()
        try:
            answer = await other.ask()
            if self._first is None:
                self._first = other, answer
                asking.cancel()
        except Exception:  # no answer: others may have one yet
            self._failed += 1
            if self._failed == len(self._moments):
                self._none_left.set()
        finally:
            if self._first is None or self._first[0] is not other:
                other.close()

    def _drop_others(self) -> None:
        if self._timer:
            self._timer.cancel()
        for other in self._others:
            other.cancel()
        self._others.clear()

    async def until_lost(self) -> None:
        await self._target.until_lost()

    def close(self) -> None:
        self._target.close()
