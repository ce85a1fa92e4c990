"""The engine under load: evidence overtakes heartbeats, what says nothing new is no work, and what waits is bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.engine import JOBS
from core.model import CheckId, EventName, Evidence, Kind, Phase, Silence, SourceId, SourceKind
from tests.live.test_engine import Running, running

pytestmark = pytest.mark.live
ROUTES = CheckId(SourceId("a", "n1"), Kind.ROUTES)


def phase(it: Running) -> Phase:
    standing = it.engine.state.standings.get(("svc1.net.", "a"))
    return standing.phase if standing else Phase.SERVING


async def begun(it: Running) -> None:
    """The first round is over: from now on it is decided."""
    async with asyncio.timeout(10):
        while not it.engine.state.round_over:
            await asyncio.sleep(0.005)


def say(it: Running, *, healthy: bool) -> None:
    it.engine.result(Evidence(ROUTES, healthy, "as the test says", it.clock.now()))


async def test_a_fail_among_thousands_of_heartbeats_is_decided_when_it_comes(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        await begun(it)
        for _ in range(1000):
            it.beat()
            say(it, healthy=True)
        say(it, healthy=False)
        assert phase(it) is Phase.ERASED, "the fail waited for something"


async def test_heartbeats_and_results_that_say_what_is_known_are_no_work(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        await begun(it)
        before, waiting = it.engine.state, it.engine.waiting
        for _ in range(1000):
            it.beat()
            say(it, healthy=True)
        assert it.engine.state is before
        assert it.engine.waiting == waiting
        say(it, healthy=False)
        say(it, healthy=True)
        assert it.engine.state.clusters["a"].checks[ROUTES].run == 1, "a good result was kept for later after a bad one"


async def test_more_steps_than_may_wait_become_one_and_lose_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        await begun(it)
        flaps = 3 * JOBS
        for _ in range(flaps):
            say(it, healthy=False)
            say(it, healthy=True)
            say(it, healthy=True)
            assert it.engine.waiting <= JOBS
        say(it, healthy=False)
        table = it.engine.state.table
        await it.told_of(EventName.ADDRESS_ERASED)
        assert it.answered() == {"192.0.2.2", "192.0.2.3"}
        assert it.engine.state.table.apps == table.apps
        told = [event.id for event in it.told]
        assert told == sorted(told)
        assert sum(event.name is EventName.FAULT_SEEN for event in it.told) == flaps + 1


async def test_a_router_that_falls_silent_is_decided_when_its_question_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as it:
        await begun(it)
        router = SourceId("a", "router", SourceKind.ROUTER)
        now, later = it.clock.now, 60.0  # until when it was only just met
        monkeypatch.setattr(it.clock, "now", lambda: now() + later)
        it.mute = str(router)
        await asyncio.sleep(0.6)
        assert phase(it) is Phase.SERVING
        later += 0.01  # since the last look at who is silent
        it.engine.result(Silence(CheckId(router, Kind.CONFIRM), "no answer", it.clock.now(), 0.35))
        assert phase(it) is Phase.ERASED, "the silence waited for a tick"
