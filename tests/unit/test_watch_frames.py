"""The reader of a watch's lines: exact for ours, unmoved by everything else, bounded."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.probes.frames import MAX_LINE, Flood, Frame, FrameParser

LINES = b"welcome\nT0 s bash\n\xff\xfe\x00\nT0 h 0 0 5.2\nT0 t 1\nT0 d 4 123\nT0 o 4 9 aGk=\nT0 x 4 9 \nT0 t 2\n"
FRAMES = [
    Frame("s", 0, b"bash"),
    Frame("h", 0, b"0 0 5.2"),
    Frame("t", 1),
    Frame("d", 4, b"123"),
    Frame("o", 4, b"9 aGk="),
    Frame("x", 4, b"9 "),
    Frame("t", 2),
]


@given(st.lists(st.integers(0, len(LINES))))
def test_lines_are_read_the_same_in_chunks_of_any_size(cuts: list[int]) -> None:
    parser, frames = FrameParser("T0"), []
    edges = [0, *sorted(cuts), len(LINES)]
    for start, stop in pairwise(edges):
        frames += parser.feed(LINES[start:stop], 0.0)
    assert frames == FRAMES


@given(st.binary(max_size=5000))
def test_garbage_is_never_a_frame_and_hides_none(garbage: bytes) -> None:
    parser = FrameParser("0123456789ab")
    assert parser.feed(garbage + b"\n0123456789ab t 7\n", 0.0) == [Frame("t", 7)]


@pytest.mark.parametrize(
    "line",
    [
        b"T0",
        b"T0 ",
        b"T0 t",
        b"T0 t x",
        b"T0 t -1",
        b"T0 q 1",
        b"T0 tt 1",
        b"T00 t 1",
        b" T0 t 1",
        b"T0 t " + b"9" * 20,
    ],
)
def test_a_line_that_is_nearly_ours_is_not_ours(line: bytes) -> None:
    assert FrameParser("T0").feed(line + b"\nT0 t 1\n", 0.0) == [Frame("t", 1)]


def test_an_overlong_line_is_passed_over_to_its_end_in_bounded_memory() -> None:
    parser = FrameParser("T0")
    assert parser.feed(b"T0 t 1\nT0 o 1 1 ", 0.0) == [Frame("t", 1)]
    for _ in range(40):
        assert parser.feed(b"A" * 3000, 0.0) == []
        assert len(parser._rest) <= MAX_LINE
    assert parser.feed(b"T0 t 2\nT0 t 3\n", 0.0) == [Frame("t", 3)]


def test_garbage_over_its_allowance_is_a_flood_that_says_what_came() -> None:
    parser = FrameParser("T0")
    with pytest.raises(Flood, match="sends garbage: no meaning"):
        for _ in range(1000):
            parser.feed(b"no meaning at all\n" * 1000, 5.0)


def test_a_little_garbage_is_borne_for_ever() -> None:
    parser = FrameParser("T0")
    for second in range(10_000):
        parser.feed(b"x" * 500 + b"\nT0 t 1\n", float(second))


def test_a_flood_of_our_own_lines_is_a_flood_too() -> None:
    parser = FrameParser("T0")
    with pytest.raises(Flood, match="far more than a watch would"):
        for _ in range(100_000):
            parser.feed(b"T0 t 1\n" * 1000, 5.0)


@pytest.mark.parametrize(
    "data", [b"T0 t 1\n", b"T0 t 1", b"T0 t x\n", b"T0 t 1\nT0 t 2\n", b"T0 d 1\n", b"T0 t " + b"9" * 20 + b"\n", b"\n"]
)
def test_a_beat_is_a_tick_by_itself_and_nothing_else(data: bytes) -> None:
    assert FrameParser("T0").beat(data, 0.0) == (data == b"T0 t 1\n")


def test_no_beat_is_read_in_the_middle_of_a_line() -> None:
    parser = FrameParser("T0")
    parser.feed(b"half of ", 0.0)
    assert not parser.beat(b"T0 t 1\n", 0.0)
    assert parser.feed(b"T0 t 1\n", 0.0) == []
    assert parser.beat(b"T0 t 2\n", 0.0)


def test_a_flood_of_beats_is_a_flood_too() -> None:
    parser = FrameParser("T0")
    with pytest.raises(Flood, match="far more than a watch would"):
        for _ in range(1_000_000):
            parser.beat(b"T0 t 1\n", 5.0)
