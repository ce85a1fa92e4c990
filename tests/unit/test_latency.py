"""A router's answer times: the strip of a quarter of an hour and the quantiles of the newest."""

from __future__ import annotations

from core.latency import PERIOD, PERIODS, UNANSWERED, Latency

START = 1_800_000_000.0


def test_each_period_has_the_median_of_its_answers() -> None:
    latency = Latency()
    for at, took in ((0, 0.001), (1, 0.009), (2, 0.002), (PERIOD, 0.005)):
        latency.note(START + at, took)
    strip = latency.strip(START + PERIOD)
    assert len(strip) == PERIODS
    assert strip[-3:] == (None, 0.002, 0.005)


def test_one_message_that_was_not_answered_marks_its_period() -> None:
    latency = Latency()
    latency.note(START, 0.001)
    latency.note(START + 1, None)
    latency.note(START + PERIOD, 0.001)
    assert latency.strip(START + PERIOD)[-2:] == (UNANSWERED, 0.001)


def test_what_is_older_than_the_strip_is_forgotten_and_gaps_stay_gaps() -> None:
    latency = Latency()
    latency.note(START, 0.001)
    assert latency.strip(START + 2 * PERIOD)[-3:] == (0.001, None, None)
    assert set(latency.strip(START + PERIODS * PERIOD)) == {None}
    latency.note(START + 1000 * PERIOD, 0.002)
    assert latency.strip(START + 1000 * PERIOD)[-1] == 0.002
    assert len(latency.strip(START + 1000 * PERIOD)) == PERIODS


def test_a_clock_that_was_set_back_loses_nothing() -> None:
    latency = Latency()
    latency.note(START + 2 * PERIOD, 0.004)
    latency.note(START, 0.002)
    assert latency.strip(START)[-1] == 0.003


def test_quantiles_are_those_of_answered_messages() -> None:
    latency = Latency()
    assert latency.quantiles() == (None, None)
    for number in range(100):
        latency.note(START, (number + 1) / 1000)
        latency.note(START, None)
    assert latency.quantiles() == (0.0505, 0.096)
