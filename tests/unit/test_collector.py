"""No garbage is collected while sessions begin (:mod:`core.collector`)."""

from __future__ import annotations

import asyncio
import gc

import pytest

from core.collector import THRESHOLDS, calm


async def test_it_waits_for_the_first_round_and_for_all_who_are_still_being_heard_for_the_first_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.collector.LOOK", 0)
    usual = gc.get_threshold()
    heard, over = 1, False
    waits = asyncio.ensure_future(calm(lambda: over, lambda: heard))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not gc.isenabled()
    over = True
    for _ in range(10):  # somebody new at each look
        heard += 1
        await asyncio.sleep(0)
    assert not gc.isenabled()
    async with asyncio.timeout(60):
        await waits
    assert gc.isenabled()
    assert gc.get_threshold() == THRESHOLDS
    gc.set_threshold(*usual)
    gc.unfreeze()
