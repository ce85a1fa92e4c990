"""Gaps that are worked out when they are asked for are those of a plain mapping, and who is late is found in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.model import SourceId
from core.state import Gaps, Tick


@given(st.lists(st.floats(0, 10), max_size=30), st.floats(0, 10))
def test_the_late_are_those_of_a_plain_mapping(instants: list[float], limit: float) -> None:
    heard = {SourceId("c", f"n{number}"): at for number, at in enumerate(sorted(instants))}
    gaps = Gaps(heard, 10.0)
    assert dict(gaps) == {source: 10.0 - at for source, at in heard.items()}
    assert {source for source in heard if gaps[source] > limit + 1e-9} <= {*Tick(gaps).late(limit)}
    assert {*Tick(gaps).late(limit)} <= {source for source in heard if gaps[source] > limit - 1e-9}


def test_ids_with_equal_parts_are_one_key_and_others_are_not() -> None:
    node = SourceId("c", "n")
    assert {node: 1, SourceId("c", "n"): 2} == {node: 2}
    assert node not in {SourceId("n", "c"), SourceId("c", "m")}
