"""What a worker told: a real sink for the live tests of confirm and databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

from core.clock import Clock
from core.model import Evidence, Result, Silence, SourceId, SourceStatus
from core.probes.sink import ProbeSink

DEADLINE = 30.0


class Recorder:
    def __init__(self) -> None:
        self.results: list[Result] = []
        self.heard_at: list[tuple[SourceId, float]] = []
        self.statuses: list[SourceStatus] = []
        self.ended = False
        self._news = asyncio.Event()

    def end(self, _: object) -> None:
        self.ended = True
        self._news.set()

    def result(self, result: Result) -> None:
        self.results.append(result)
        self._news.set()

    def heard(self, source: SourceId, at: float) -> None:
        self.heard_at.append((source, at))

    def status(self, status: SourceStatus) -> None:
        self.statuses.append(status)

    async def until(self, wanted: Callable[[Result], bool], since: int = 0) -> Result:
        """The first result from ``since`` on that is wanted."""
        seen = since
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    for result in self.results[seen:]:
                        seen += 1
                        if wanted(result):
                            return result
                    assert not self.ended, "the worker ended by itself"
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not told; the last results: {self.results[-3:]}") from None


def well(result: Result) -> bool:
    return isinstance(result, Evidence) and result.healthy


def bad(result: Result) -> bool:
    return isinstance(result, Evidence) and not result.healthy


def silent(result: Result) -> bool:
    return isinstance(result, Silence)


def words(result: Result) -> str:
    return result.said if isinstance(result, Evidence) else result.reason


@asynccontextmanager
async def running(work: Callable[[ProbeSink, Clock], Coroutine[object, object, None]]) -> AsyncIterator[Recorder]:
    recorder = Recorder()
    task = asyncio.create_task(work(recorder, Clock()))
    task.add_done_callback(recorder.end)
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()):
            raise error
