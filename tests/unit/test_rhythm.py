"""The rules of :mod:`core.detection.rhythm`, one each."""

from __future__ import annotations

from core.detection.rhythm import HALF_LIFE, MARGIN, Rhythm


def test_without_a_history_the_configured_ticks_hold() -> None:
    assert Rhythm().allowed(0.15, 1.0, 100.0) == 0.15


def test_a_gap_that_lasts_does_not_excuse_itself() -> None:
    assert Rhythm().lasting(0.6).allowed(0.15, 1.0, 100.0) == 0.15


def test_a_gap_that_ended_is_remembered_with_a_margin() -> None:
    assert Rhythm().lasting(0.3).ended(1.0, 5.0, 100.0).allowed(0.15, 1.0, 100.0) == 0.3 * MARGIN


def test_a_shorter_gap_does_not_hide_a_longer_one() -> None:
    worst = Rhythm().lasting(0.4).ended(1.0, 5.0, 100.0)
    assert worst.lasting(0.2).ended(1.0, 5.0, 101.0).left(101.0) > 0.39


def test_the_worst_gap_is_slowly_forgotten() -> None:
    rhythm = Rhythm().lasting(0.4).ended(1.0, 5.0, 100.0)
    assert abs(rhythm.left(100.0 + HALF_LIFE) - 0.2) < 1e-9


def test_a_shorter_gap_counts_once_the_longer_one_is_forgotten() -> None:
    rhythm = Rhythm().lasting(0.4).ended(1.0, 5.0, 100.0)
    later = 100.0 + 2 * HALF_LIFE
    assert rhythm.lasting(0.2).ended(1.0, 5.0, later).left(later) == 0.2


def test_a_long_gap_counts_no_longer_than_the_limit() -> None:
    assert Rhythm().lasting(4.0).ended(0.7, 5.0, 100.0).left(100.0) == 0.7


def test_an_outage_is_no_history() -> None:
    assert Rhythm().lasting(60.0).ended(3.3, 5.0, 100.0).allowed(0.15, 5.0, 100.0) == 0.15
    slow = Rhythm().lasting(0.4).ended(3.3, 5.0, 100.0)
    assert slow.lasting(60.0).ended(3.3, 5.0, 200.0).left(200.0) == slow.left(200.0), (
        "what was known before still holds"
    )


def test_no_history_exceeds_the_upper_bound() -> None:
    assert Rhythm().lasting(0.9).ended(5.0, 5.0, 100.0).allowed(0.15, 1.0, 100.0) == 1.0
