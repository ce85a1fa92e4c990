"""Jittery links at accelerated time erase nothing: two hours of what ``make bench-jitter`` plays for twenty-four."""

from __future__ import annotations

from bench.jitter import play


def test_two_hours_of_lost_packets_and_pauses_erase_nothing() -> None:
    gap_count, _, erased = play(hours=2, seed=3)
    assert gap_count > 10_000
    assert not erased
