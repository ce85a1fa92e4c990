"""The runner of hands: the newest target, until it is confirmed, and nobody waits for anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from core.clock import Clock
from core.hands import runner
from core.hands.hand import HandError, Target
from core.hands.runner import Hands
from core.model import HandKind
from core.records import RecordTable


class Scripted:
    """A hand that does what its script says at each attempt: an error to raise, "hang", or a text to confirm with."""

    kind, cluster, address = HandKind.SECONDARY, "", "192.0.2.1:53"

    def __init__(self, name: str, *script: object) -> None:
        self.name = name
        self.script = list(script)
        self.serials: list[int] = []
        self.closed = False

    async def carry_out(self, target: Target) -> str:
        self.serials.append(target.table.serial)
        does = self.script.pop(0) if self.script else f"serial {target.table.serial}"
        if isinstance(does, Exception):
            raise does
        if does == "hang":
            await asyncio.Event().wait()
        return str(does)

    async def close(self) -> None:
        self.closed = True


class ScriptedRouter(Scripted):
    """A router, which is asked again at once after each confirmation."""

    kind, cluster, address = HandKind.ROUTER, "tokyo", "192.0.2.1:9999"
    again_in = 0.001


def to(serial: int) -> Target:
    return Target(RecordTable(serial))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(*hands: Scripted) -> AsyncIterator[Hands]:
    found = Hands(hands, to(1), Clock(), lambda: 1.0)
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "BACKOFF", 0.001)


async def test_each_hand_is_told_at_the_start_and_after_each_change() -> None:
    hand = Scripted("a")
    async with running(hand) as hands:
        await until(lambda: hands.views()[0].done)
        hands.tell(to(2))
        assert not hands.views()[0].done
        await until(lambda: hands.views()[0].done)
    assert hand.serials == [1, 2]
    assert hand.closed


async def test_a_hand_that_fails_is_asked_again_until_it_confirms_and_says_why_not() -> None:
    hand = Scripted("a", HandError("refused: bad key"), OSError("connection refused"), "hang")
    async with running(hand) as hands:
        await until(lambda: len(hand.serials) == 3)
        view = hands.views()[0]
        assert (view.done, view.said) == (False, "connection refused")
        hands.tell(to(2))
        await until(lambda: hands.views()[0].done)
    assert hand.serials == [1, 1, 1, 2]


async def test_an_older_target_is_never_carried_out_once_there_is_a_newer() -> None:
    hand = Scripted("a", "hang", "hang")
    async with running(hand) as hands:
        await until(lambda: hand.serials == [1])
        hands.tell(to(2))
        hands.tell(to(3))
        await until(lambda: 3 in hand.serials)
        hands.tell(to(4))
        await until(lambda: hands.views()[0].confirmed == 4)
    assert hand.serials == [1, 3, 4]


async def test_a_hand_that_hangs_delays_no_other() -> None:
    stuck, quick = Scripted("stuck", "hang"), Scripted("quick")
    async with running(stuck, quick) as hands:
        await until(lambda: hands.views()[1].done)
        assert not hands.views()[0].done


async def test_a_hand_that_does_not_answer_in_time_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ATTEMPT", 0.01)
    hand = Scripted("a", *["hang"] * 50)
    async with running(hand) as hands:
        await until(lambda: "no confirmation within" in hands.views()[0].said)
        await until(lambda: len(hand.serials) >= 2)


async def test_a_defect_of_a_hand_is_told_and_ends_nothing() -> None:
    hand = Scripted("a", ZeroDivisionError())
    async with running(hand, Scripted("b")) as hands:
        await until(lambda: hands.views()[0].done and hands.views()[1].done)


async def test_a_reload_closes_the_old_hands_and_tells_the_new_ones() -> None:
    old, new = Scripted("old"), Scripted("new")
    async with running(old) as hands:
        await until(lambda: hands.views()[0].done)
        hands.replace([new])
        await until(lambda: hands.views()[0].done)
        assert [view.name for view in hands.views()] == ["new"]
        assert old.closed


async def test_the_time_without_a_confirmation_counts_from_the_decision_and_not_from_the_last_try() -> None:
    hand = Scripted("a", "well", *[HandError("no")] * 1000)
    async with running(hand) as hands:
        await until(lambda: hands.views()[0].done)
        hands.tell(to(2))
        first = hands.views()[0].since
        await until(lambda: len(hand.serials) > 4)
        hands.tell(to(3))
        assert hands.views()[0].since == first


async def test_a_confirmation_is_told_with_the_target_that_the_same_hand_confirmed_before() -> None:
    told: list[tuple[int, int]] = []
    hand = Scripted("a", HandError("not yet"))
    hands = Hands(
        [hand], to(1), Clock(), lambda: 1.0, lambda hand, was, now: told.append((was.table.serial, now.table.serial))
    )
    task = asyncio.create_task(hands.run())
    await until(lambda: hands.views()[0].done)
    hands.tell(to(2))
    await until(lambda: hands.views()[0].done)
    task.cancel()
    await asyncio.wait({task})
    assert told == [(1, 1), (1, 2)]


def weighing(serial: int, weight: int, *stopped: str) -> Target:
    return Target(RecordTable(serial), {}, frozenset(stopped), {"tokyo": {"shop/web-1": weight}})


async def test_a_router_is_not_told_of_a_table_and_is_told_of_a_weight_and_a_stop() -> None:
    router, told = ScriptedRouter("a"), list[bool]()
    router.again_in = 1000.0
    hands = Hands(
        [router], weighing(1, 100), Clock(), lambda: 1.0, lambda _, was, now: told.append("tokyo" in now.stopped)
    )
    task = asyncio.create_task(hands.run())
    await until(lambda: hands.views()[0].done)
    hands.tell(weighing(2, 100))
    assert hands.views()[0].done
    assert hands.views()[0].confirmed == 2
    hands.tell(weighing(2, 0))
    assert not hands.views()[0].done
    assert hands.weights() == {"tokyo": {"shop/web-1": 100}}
    await until(lambda: hands.views()[0].done)
    assert hands.weights() == {"tokyo": {"shop/web-1": 0}}
    hands.tell(weighing(2, 0, "osaka"))
    hands.tell(weighing(2, 0, "osaka", "tokyo"))
    await until(lambda: told == [False, False, True])
    assert len(router.serials) == 3
    task.cancel()
    await asyncio.wait({task})


async def test_a_router_that_lost_its_state_is_told_anew_and_shown_until_it_has_it_again() -> None:
    router = ScriptedRouter("a", "fine", "fine", OSError("connection refused"), OSError("connection refused"), "hang")
    async with running(router) as hands:
        await until(lambda: len(router.serials) == 5)
        view = hands.views()[0]
        assert (view.done, view.said) == (False, "connection refused")
