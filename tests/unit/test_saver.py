"""The saver: what was put in reaches the store once it can, whatever happens to a write."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import cast

import pytest

from core.clock import Clock
from core.errors import PointsmanError
from core.model import Event, EventName
from core.saver import Saver
from core.state import Save
from core.store import Batch, Store


class Disk:
    """Takes what is written; or hangs, or fails, as the test says."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.open = asyncio.Event()
        self.error: Exception | None = None

    async def write(self, batch: Batch) -> None:
        await self.open.wait()
        if self.error:
            raise self.error
        self.batches.append(batch)


def _saver(disk: Disk) -> Saver:
    return Saver(cast("Store", disk), Clock())


async def test_a_write_that_is_cut_off_at_the_end_is_made_once_more_with_all_of_it() -> None:
    disk = Disk()
    saver = _saver(disk)
    task = asyncio.create_task(saver.run())
    first = saver.put([Save("a", 1)], [Event(EventName.STARTED, 1.0, id=7)], True)
    await asyncio.sleep(0)
    second = saver.put([Save("b", 2)], [], False)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    disk.open.set()
    with suppress(asyncio.CancelledError):
        await task
    [batch] = disk.batches
    assert batch.put == {"a": b"1", "b": b"2"}
    assert [event.id for event in batch.events] == [7]
    assert batch.durable, "what was to be on the disk before it is acknowledged still is"
    assert first.done()
    assert second.done()


async def test_a_store_that_raises_what_it_should_not_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.saver.RETRY", 0.01)
    disk = Disk()
    disk.open.set()
    disk.error = ValueError("no active connection")
    saver = _saver(disk)
    task = asyncio.create_task(saver.run())
    saved = saver.put([Save("a", 1)], [], False)
    with pytest.raises(PointsmanError, match="no active connection"):
        await saved
    assert "no active connection" in saver.trouble
    disk.error = None
    await saver.put([Save("b", 2)], [], False)
    assert disk.batches[-1].put == {"a": b"1", "b": b"2"}
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_store_that_hangs_makes_nothing_grow() -> None:
    saver = _saver(Disk())
    task = asyncio.create_task(saver.run())
    futures = set()
    for number in range(1000):
        futures.add(saver.put([Save("a", number)], [], False))
        await asyncio.sleep(0)
    assert len(futures) <= 2
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
