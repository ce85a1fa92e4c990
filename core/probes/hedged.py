"""A question that waits for long is asked again over a connection of its own, and the first answer counts (a hedged request).

A lost packet holds up the connection that it was lost on, and no other; where nothing is sent again, as with ICMP and DNS, it is the whole
question. What cannot be sent at all, be it for a filter or a full queue of our own, is tried again as well. An answer that comes too late
is none, but the connection that it came over is there to be asked: on a slow way a new one takes longer than an answer, and
whoever closed one at each late answer would never be answered again. Called by :mod:`core.probes.confirm` and
:mod:`core.probes.canary`, for every kind of message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.probes.rounds import Answer, Target

AGAIN = (0.5, 0.75)
"""When a question is asked again, in shares of the time that it has. Where one packet in a hundred is lost, all three are once in some
30,000 questions (over new connections of four packets each) to 125,000 (two datagrams)."""

_Asked = dict[asyncio.Task[Answer], Target]


class Hedged(Target):
    """Asks what ``make`` makes, and at each of :data:`AGAIN` of ``timeout`` seconds another of them. Who answers first is asked
    from then on, and the others are dropped. One that ends without an answer tells nothing before all of them have. Those of a
    question that was given up have the time of the next one to become free for it."""

    def __init__(self, make: Callable[[], Target], timeout: float) -> None:
        self._make, self._moments = make, [share * timeout for share in AGAIN]
        self._free: Target | None = make()
        self._asked: _Asked = {}
        self._late: _Asked = {}
        self._timers: list[asyncio.TimerHandle] = []
        self._answer: asyncio.Future[Answer] | None = None
        self._error: BaseException | None = None

    @property
    def held(self) -> bool:
        return self._free is not None and self._free.held

    async def ask(self) -> Answer:
        loop = asyncio.get_running_loop()
        self._answer, self._error = loop.create_future(), None
        self._timers = [loop.call_later(moment, self._ask_another) for moment in self._moments]
        first, self._free = self._free or self._make(), None
        self._ask_over(first)
        try:
            return await self._answer
        except asyncio.CancelledError:
            _drop(self._late)
            self._late, self._asked = self._asked, {}
            raise
        finally:
            self._answer = None
            for timer in self._timers:
                timer.cancel()

    def _ask_another(self) -> None:
        self._timers.pop(0)
        self._ask_over(self._make())

    def _ask_over(self, target: Target) -> None:
        task = asyncio.get_running_loop().create_task(target.ask(), name="ask")
        self._asked[task] = target
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        target = self._asked.pop(task, None)
        awaited = self._answer if self._answer and not self._answer.done() else None
        if target and awaited:
            self._ended_in_time(target, awaited, task, error)
        elif target := target or self._late.pop(task, None):
            self._ended_late(target, awaited, error)

    def _ended_in_time(
        self, target: Target, awaited: asyncio.Future[Answer], task: asyncio.Task[Answer], error: BaseException | None
    ) -> None:
        if error is None:
            self._free = target
            self._drop_all()
            awaited.set_result(task.result())
            return
        target.close()
        self._error = self._error or error
        if not self._asked and not self._timers:
            awaited.set_exception(self._error)

    def _ended_late(self, target: Target, awaited: asyncio.Future[Answer] | None, error: BaseException | None) -> None:
        if error is None and awaited:
            self._ask_over(target)
        elif error is None and self._free is None:
            self._free = target
        else:
            target.close()

    async def until_lost(self) -> None:
        await (self._free.until_lost() if self._free else super().until_lost())

    def give_up(self) -> None:
        """The question was cancelled; an answer may come yet, and free what it comes over."""

    def _drop_all(self) -> None:
        _drop(self._asked)
        _drop(self._late)

    def close(self) -> None:
        self._drop_all()
        if self._free:
            self._free.close()
            self._free = None


def _drop(asked: _Asked) -> None:
    for task, target in asked.items():
        task.cancel()
        target.close()
    asked.clear()
