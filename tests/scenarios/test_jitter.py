"""Jittery links at accelerated time erase nothing: two hours of what ``make bench-jitter`` plays for twenty-four."""

from __future__ import annotations

from bench.jitter import play


def test_two_hours_of_lost_packets_and_pauses_erase_nothing() -> None:
    gap_count, _, erased = play(2, 3, 0.01)
    assert gap_count > 10_000
    assert not erased


def test_a_link_that_begins_to_lose_one_packet_in_a_hundred_erases_nothing() -> None:
    """There is no history of its gaps yet, and two voices that have lost one packet each are silent at once now and then."""
    assert not [erased for seed in range(60) for erased in play(30 / 3600, seed, 0.01)[2]]
