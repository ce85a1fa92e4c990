"""Sessions begin one after the other, and one in each pass of the loop at most (:mod:`core.probes.turns`)."""

from __future__ import annotations

import asyncio
import time

from core.probes.turns import Turns


async def test_whoever_asks_first_begins_first_as_fast_as_the_loop_turns_and_nobody_waits_for_anothers_end() -> None:
    turns, begun = Turns(), list[int]()

    async def session(number: int) -> None:
        await turns.wait()
        begun.append(number)
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(session(number)) for number in range(20)]
    async with asyncio.timeout(60):
        while len(begun) < 20:
            before = len(begun)
            time.sleep(0.01)
            await asyncio.sleep(0)
            assert len(begun) <= before + 1
    assert begun == [*range(20)]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
