"""Instants as people write them."""

from __future__ import annotations

import pytest

from core.text import instant

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


@pytest.mark.parametrize(
    ("text", "back"),
    [("10m", 600), ("90s ago", 90), ("2 h", 7200), ("1.5h", 5400), ("1d", 86400), ("07:00", 3600), ("07:59:30", 30),
     ("08:30", 84600), ("07:00 UTC", 3600), ("2027-01-15 07:00", 3600), ("2027-01-14T08:00:00Z", 86400),
     ("2027-01-15T09:00:00+02:00", 3600), ("2027-01-15", 8 * 3600)],
)  # fmt: skip
def test_a_time_is_read(text: str, back: float) -> None:
    assert instant(text, NOW) == NOW - back


@pytest.mark.parametrize("text", ["", " ", "soon", "25:00", "7:00", "10", "10w", "2027-02-30", "-5m"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert instant(text, NOW) is None
