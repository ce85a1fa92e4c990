"""The cache of the internal DNS: what is erased stays out, what is stale is known as such, and nothing grows without end."""

from __future__ import annotations

import pytest

from dnsserver.internal.cache import HELD_OUT, Cache, Entry, Item, StaleOrder, aged, place_of
from dnsserver.wireform import Labels, labels_of, wire_name

NAME = labels_of("svc1.test.")
A, AAAA, CNAME = 1, 28, 5
TOKYO, OSAKA = place_of("192.0.2.1"), place_of("192.0.2.2")


def entry(*addresses: str, owner: Labels = NAME, at: float = 0.0, ttl: int = 5) -> Entry:
    items = tuple(Item(owner, *place_of(address)[:1], ttl, place_of(address)[1]) for address in addresses)
    return Entry(0, items, (), at, ttl)


def held(cache: Cache, now: float = 1.0, name: Labels = NAME) -> set[bytes] | None:
    found = cache.get((name, A), now)
    return {item.data for item in found.answer} if found else None


def test_an_erased_address_leaves_what_is_held_and_does_not_come_back_with_what_is_fetched() -> None:
    cache = Cache(100, 0.0)
    cache.put((NAME, A), entry("192.0.2.1", "192.0.2.2"), 0.0)
    assert cache.erase(NAME, frozenset({OSAKA}), 7, 1.0) == 1
    assert held(cache) == {TOKYO[1]}
    cache.put((NAME, A), entry("192.0.2.1", "192.0.2.2", at=2.0), 2.0)
    assert held(cache, 2.0) == {TOKYO[1]}
    cache.erase(NAME, frozenset(), 8, 3.0)
    cache.put((NAME, A), entry("192.0.2.1", "192.0.2.2", at=3.0), 3.0)
    assert held(cache, 3.0) == {TOKYO[1], OSAKA[1]}


def test_an_order_is_harmless_to_repeat_and_refused_when_a_later_one_was_there() -> None:
    cache = Cache(100, 0.0)
    cache.erase(NAME, frozenset({OSAKA}), 7, 0.0)
    cache.erase(NAME, frozenset({OSAKA}), 7, 1.0)
    with pytest.raises(StaleOrder):
        cache.erase(NAME, frozenset(), 6, 1.0)
    with pytest.raises(StaleOrder):
        cache.forget(NAME, 6, 1.0)
    cache.put((NAME, A), entry("192.0.2.1", "192.0.2.2", at=1.0), 1.0)
    assert held(cache) == {TOKYO[1]}


def test_serials_go_round_as_in_rfc_1982() -> None:
    cache = Cache(100, 0.0)
    cache.erase(NAME, frozenset({OSAKA}), 0xFFFFFFFF, 0.0)
    cache.erase(NAME, frozenset({TOKYO}), 3, 0.0)
    with pytest.raises(StaleOrder):
        cache.erase(NAME, frozenset(), 0xFFFFFFFF, 0.0)


def test_an_answer_that_is_erased_whole_is_given_once_and_not_kept() -> None:
    cache = Cache(100, 0.0)
    cache.put((NAME, A), entry("192.0.2.2"), 0.0)
    cache.erase(NAME, frozenset({OSAKA}), 7, 1.0)
    assert held(cache) is None
    found = cache.put((NAME, A), entry("192.0.2.2", at=1.0), 1.0)
    assert len(found.answer) == 1
    assert not found.fresh(1.0)


def test_an_erase_holds_in_chains_and_below_a_wildcard_and_nowhere_else() -> None:
    cache = Cache(100, 0.0)
    alias = labels_of("www.test.")
    chain = Entry(0, (Item(alias, CNAME, 5, wire_name(NAME)), *entry("192.0.2.1", "192.0.2.2").answer), (), 0.0, 5)
    cache.put((alias, A), chain, 0.0)
    cache.put((labels_of("other.test."), A), entry("192.0.2.2", owner=labels_of("other.test.")), 0.0)
    cache.erase(NAME, frozenset({OSAKA}), 7, 1.0)
    assert held(cache, 1.0, alias) == {wire_name(NAME), TOKYO[1]}
    assert held(cache, 1.0, labels_of("other.test.")) == {OSAKA[1]}
    below = labels_of("a.wild.test.")
    cache.put((below, A), entry("192.0.2.1", "192.0.2.2", owner=below), 1.0)
    cache.erase(labels_of("*.wild.test."), frozenset({TOKYO}), 8, 1.0)
    assert held(cache, 1.0, below) == {OSAKA[1]}


def test_what_is_over_is_kept_for_as_long_as_it_may_be_served_stale_and_with_a_ttl_of_its_own() -> None:
    cache = Cache(100, 60.0)
    cache.put((NAME, A), entry("192.0.2.1"), 0.0)
    found = cache.get((NAME, A), 2.5)
    assert found is not None
    assert [item.ttl for item in aged(found.answer, found, 2.5, 30)] == [3]
    late = cache.get((NAME, A), 64.0)
    assert late is not None
    assert not late.fresh(64.0)
    assert [item.ttl for item in aged(late.answer, late, 64.0, 30)] == [30]
    assert cache.get((NAME, A), 65.0) is None
    assert len(cache) == 0


def test_it_is_bounded_and_an_order_is_forgotten_when_its_time_is_over() -> None:
    cache = Cache(100, 0.0)
    for number in range(150):
        cache.put((labels_of(f"n{number}.test."), A), entry("192.0.2.1"), 0.0)
    assert len(cache) == 100
    cache.erase(NAME, frozenset({OSAKA}), 7, 0.0)
    cache.erase(NAME, frozenset({OSAKA}), 3, HELD_OUT)


def test_a_notify_forgets_what_is_at_and_below_the_name() -> None:
    cache = Cache(100, 60.0)
    for name in ("svc1.test.", "a.svc1.test.", "svc2.test."):
        cache.put((labels_of(name), A), entry("192.0.2.1"), 0.0)
    assert cache.forget(NAME, None, 1.0) == 2
    assert len(cache) == 1
