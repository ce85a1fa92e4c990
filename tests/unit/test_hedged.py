"""The rules of a question that is asked again (:mod:`core.probes.hedged`), one each."""

from __future__ import annotations

import asyncio

import pytest

from core.probes.hedged import Hedged
from core.probes.rounds import Answer, NoAnswer, Target

WELL, BAD = Answer(True, "well"), Answer(False, "refused")


class Scripted(Target):
    """Answers what it is told, when it is told; nothing may be asked of it twice at once."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.asked = asyncio.Event()
        self.closed = 0

    async def ask(self) -> Answer:
        self.asked.set()
        return await asyncio.shield(self.answer)

    def close(self) -> None:
        self.closed += 1


class Made:
    """A hedged target, and those that it made, in their order."""

    def __init__(self, timeout: float) -> None:
        self.targets: list[Scripted] = []
        self.hedged = Hedged(self._make, timeout)

    def _make(self) -> Scripted:
        self.targets.append(Scripted())
        return self.targets[-1]

    async def ask(self, others: int) -> asyncio.Task[Answer]:
        """A question that so many others were asked for as well."""
        question = asyncio.create_task(self.hedged.ask())
        while len(self.targets) <= others:
            await asyncio.sleep(0.001)
        for target in self.targets:
            await target.asked.wait()
        return question


async def test_an_answer_in_time_is_asked_for_once() -> None:
    made = Made(60.0)
    made.targets[0].answer.set_result(WELL)
    assert await made.hedged.ask() == WELL
    assert len(made.targets) == 1


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_the_first_answer_counts_and_who_gave_it_is_asked_from_then_on(first: int) -> None:
    made = Made(0.02)
    question = await made.ask(2)
    made.targets[first].answer.set_result(BAD)
    assert await question == BAD
    await asyncio.sleep(0)
    assert [bool(target.closed) for target in made.targets] == [number != first for number in range(3)]
    assert await made.hedged.ask() == BAD
    assert len(made.targets) == 3


async def test_one_that_was_asked_again_and_tells_nothing_leaves_the_others_their_time() -> None:
    made = Made(0.02)
    question = await made.ask(2)
    made.targets[1].answer.set_exception(NoAnswer("not HTTP"))
    while not made.targets[1].closed:
        await asyncio.sleep(0.001)
    made.targets[0].answer.set_result(WELL)
    assert await question == WELL
    assert not made.targets[0].closed


async def test_what_could_not_be_sent_is_sent_later() -> None:
    made = Made(0.02)
    made.targets[0].answer.set_exception(NoAnswer("Operation not permitted"))
    question = await made.ask(2)
    made.targets[2].answer.set_result(WELL)
    assert await question == WELL


async def test_when_none_of_them_has_an_answer_the_first_tells_why() -> None:
    made = Made(0.02)
    question = await made.ask(2)
    for target, reason in zip(made.targets, "abc", strict=True):
        assert not question.done()
        target.answer.set_exception(NoAnswer(reason))
        await asyncio.sleep(0)
    with pytest.raises(NoAnswer, match="a"):
        await question


async def test_a_question_that_is_given_up_ends_all_that_were_asked() -> None:
    made = Made(0.02)
    question = await made.ask(2)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    await asyncio.sleep(0)
    made.hedged.close()
    assert [target.closed for target in made.targets] == [1, 1, 1]


async def test_an_answer_and_the_end_at_once_are_the_end() -> None:
    """Who ends a worker must not be held up by a router that answers in the same instant."""
    made = Made(0.02)
    question = await made.ask(2)
    made.targets[1].answer.set_result(WELL)
    await asyncio.sleep(0)  # the answer is on its way to whoever asked
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question


async def given_up(made: Made, others: int) -> None:
    question = await made.ask(others)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    made.hedged.give_up()


async def test_an_answer_that_came_too_late_is_none_and_what_it_came_over_is_asked_next() -> None:
    made = Made(0.02)
    await given_up(made, 2)
    made.targets[1].answer.set_result(BAD)
    await asyncio.sleep(0.001)
    made.targets[1].answer = asyncio.get_running_loop().create_future()
    made.targets[1].answer.set_result(WELL)
    assert await made.hedged.ask() == WELL
    assert len(made.targets) == 3
    await asyncio.sleep(0)
    assert [bool(target.closed) for target in made.targets] == [True, False, True]


async def test_what_a_late_answer_came_over_is_asked_at_once_where_a_question_waits() -> None:
    made = Made(0.02)
    await given_up(made, 2)
    question = await made.ask(3)
    late = made.targets[0]
    answer, late.answer = late.answer, asyncio.get_running_loop().create_future()
    late.asked.clear()
    answer.set_result(BAD)
    await late.asked.wait()
    assert not question.done()
    late.answer.set_result(WELL)
    assert await question == WELL
    await asyncio.sleep(0)
    assert [target.closed > 0 for target in made.targets] == [number > 0 for number in range(len(made.targets))]


async def test_what_does_not_answer_for_two_questions_is_dropped() -> None:
    made = Made(0.02)
    await given_up(made, 2)
    await given_up(made, 5)
    await asyncio.sleep(0)
    assert [target.closed for target in made.targets] == [1, 1, 1, 0, 0, 0]
    made.hedged.close()
    await asyncio.sleep(0)
    assert [target.closed for target in made.targets] == [1] * 6


async def test_a_late_answer_in_the_instant_of_the_end_is_no_answer() -> None:
    made = Made(60.0)
    question = await made.ask(0)
    made.targets[0].answer.set_result(WELL)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    made.hedged.give_up()
    await asyncio.sleep(0.001)
    assert await made.hedged.ask() == WELL
    assert len(made.targets) == 1
