"""Sessions begin one after the other, and none while this process is behind (:mod:`core.probes.turns`)."""

from __future__ import annotations

import asyncio
import time

import pytest

from core.probes.turns import Turns


async def test_whoever_asks_first_begins_first_and_the_others_do_not_wait_for_its_end() -> None:
    turns, begun = Turns(), list[int]()

    async def session(number: int) -> None:
        await turns.wait()
        begun.append(number)
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(session(number)) for number in range(20)]
    async with asyncio.timeout(60):
        while len(begun) < 20:
            await asyncio.sleep(0.001)
    assert begun == [*range(20)]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _begins_after(passes: int, turns: Turns) -> int:
    """How many passes of a busy loop a session waited."""
    begins = asyncio.create_task(turns.wait())
    for number in range(passes):
        if begins.done():
            return number
        time.sleep(0.15)
        await asyncio.sleep(0.002)
    await begins
    return passes


async def test_nobody_begins_while_the_loop_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.probes.turns._AT_MOST", 1000.0)
    assert await _begins_after(10, Turns()) == 10


async def test_where_it_always_is_behind_sessions_begin_all_the_same() -> None:
    assert 1 < await _begins_after(1000, Turns()) < 1000
