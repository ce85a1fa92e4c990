"""What is to change in other people's DNS: ours alone, never to nothing, and as a whole."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.hands.provider.plan import Plan, Records, Standing, Wanted, mark, mark_name, plan, wanted
from core.records import AppRecords, Record

NAME = "www.shop.test."
A, B, C = "192.0.2.1", "192.0.2.2", "203.0.113.9"


def goal(*places: str, known: tuple[str, ...] = (A, B), ttl: int = 5) -> Wanted:
    return Wanted(NAME, ttl, frozenset(places), frozenset((*known, *places)))


def standing(*addresses: str, ours: tuple[str, ...] | None = None, ttl: int = 5, owner: str = "me") -> Standing:
    records = {"A": Records(ttl, frozenset(addresses))} if addresses else {}
    return Standing(records, frozenset() if ours is None else frozenset({mark(owner, ours)}))


def made(goal: Wanted, found: Standing, **how: Any) -> Plan:
    return plan(goal, found, "me", adopt=how.get("adopt", False))


def test_nothing_changes_where_all_is_as_it_should_be() -> None:
    assert not made(goal(A, B), standing(A, B, ours=(A, B))).changes


def test_an_address_that_is_out_goes_and_the_mark_follows() -> None:
    found = made(goal(A), standing(A, B, ours=(A, B)))
    assert (found.remove, found.add, found.marks) == (frozenset({B}), frozenset(), frozenset({mark("me", [A])}))
    assert found.after == {"A": Records(5, frozenset({A}))}


def test_the_ttl_of_a_set_that_others_share_stays_theirs() -> None:
    found = made(goal(A), standing(A, B, C, ours=(A, B), ttl=300))
    assert found.after == {"A": Records(300, frozenset({A, C}))}
    assert made(goal(A), standing(A, ours=(A,), ttl=300)).after == {"A": Records(5, frozenset({A}))}


def test_a_host_name_stands_alone() -> None:
    name = "lb.example.net."
    found = made(goal(name, known=(A, name)), standing(A, ours=(A,)))
    assert found.after == {"A": None, "CNAME": Records(5, frozenset({name}))}
    assert "CNAME stands alone" in made(goal(name, known=(A, name)), standing(A, C, ours=(A,))).refused


def test_the_mark_stands_beside_the_name() -> None:
    assert mark_name(NAME) == "_pointsman.www.shop.test."
    assert mark_name("*.shop.test.") == "_pointsman._any.shop.test."


def test_a_long_mark_is_read_as_it_was_written() -> None:
    many = tuple(f"2001:db8::{n:x}" for n in range(1, 40))
    found = Standing({"AAAA": Records(5, frozenset(many))}, frozenset({mark("me", many)}))
    assert '" "' in mark("me", many)
    assert not made(goal(*many), found).changes


def test_other_text_records_beside_the_name_are_no_marks_and_stay() -> None:
    others = frozenset({'"heritage=external-dns,external-dns/owner=x"', '"v=spf1 -all"'})
    found = made(goal(A), Standing({}, others))
    assert found.add == {A}
    assert found.marks == others | {mark("me", [A])}


def test_failover_puts_the_first_alone() -> None:
    records = (Record("a", (A,)), Record("b", (B,)))
    assert wanted(AppRecords(NAME, 5, records, "failover"), [C]) == Wanted(
        NAME, 5, frozenset({A}), frozenset({A, B, C})
    )
    assert wanted(AppRecords(NAME, 5, records), []).places == {A, B}


ADDRESSES = st.frozensets(st.sampled_from([f"192.0.2.{n}" for n in range(1, 7)]))


@given(ADDRESSES, ADDRESSES, ADDRESSES, st.booleans(), st.booleans())
def test_whatever_is_there_only_ours_is_deleted_and_something_is_left(
    places: frozenset[str], present: frozenset[str], marked: frozenset[str], has_mark: bool, adopt: bool
) -> None:
    known = frozenset(("192.0.2.1", "192.0.2.2", "192.0.2.3"))
    found = made(
        Wanted(NAME, 5, places & known, known),
        standing(*present, ours=tuple(marked) if has_mark else None),
        adopt=adopt,
    )
    assert found.remove <= (marked if has_mark else known if adopt else frozenset())
    after = found.after.get("A", Records(5, present)) if present or found.after else None
    if found.refused:
        assert not found.changes
    else:
        assert after is not None
        assert after.values >= places & known
        assert after.values - places == present - places - found.remove
