"""Jittery links at accelerated time erase nothing: two hours of what ``make bench-jitter`` plays for twenty-four."""

from __future__ import annotations

import pytest

from bench.jitter import play


def test_two_hours_of_lost_packets_and_pauses_erase_nothing() -> None:
    gap_count, _, erased = play(2, 3, 0.01)
    assert gap_count > 10_000
    assert not erased


def test_three_hours_of_routers_that_are_watched_alone_erase_nothing() -> None:
    assert not play(3, 2, 0.01, nodes_each=0)[2]


@pytest.mark.parametrize(("loss", "most"), [(0.01, 0), (0.05, 0), (0.2, 1)])
def test_a_link_that_begins_to_lose_packets_erases_nothing(loss: float, most: int) -> None:
    """There is no history of its gaps yet, and voices that have lost packets are silent at once now and then. One packet in five is so many
    that one erase in some two hundred beginnings remains (``make bench-jitter ARGS="--onsets 250 --loss 20"``)."""
    assert len([erased for seed in range(30) for erased in play(30 / 3600, seed, loss)[2]]) <= most
