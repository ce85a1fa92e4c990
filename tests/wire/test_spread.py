"""Rotation, shares and weights: what a client sees of them over many answers."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import AppRecords, Record
from dnsserver.server import DnsServer
from dnsserver.spread import Spread
from tests.wire.conftest import Serve
from tests.wire.helpers import data, table, udp, udp_socket


def app(*records: Record, policy: str = "all", fail_open: bool = False) -> AppRecords:
    return AppRecords("svc1.net.", 5, records, policy, fail_open)


def record(number: int, share: int = 100, weight: int = 100) -> Record:
    return Record(f"c{number}", (f"198.51.100.{number}",), share, weight)


def answers(records: AppRecords, count: int) -> list[tuple[str, ...]]:
    spread = Spread(records, 4)
    return [spread.addresses(spread.variant(turn)) for turn in range(count)]


def holding(records: AppRecords, count: int) -> Counter[str]:
    return Counter(address.rpartition(".")[2] for answer in answers(records, count) for address in answer)


@pytest.mark.live
def test_each_address_comes_first_equally_often(server: DnsServer) -> None:
    first = Counter(data(udp(server, "svc1.net"))[0] for _ in range(30))
    assert set(first.values()) == {10}


@pytest.mark.live
def test_shares_hold_over_ten_thousand_answers(serve: Serve) -> None:
    server = serve(records=table(records=(record(1), record(2, share=10), record(3, share=33))))
    query = dns.message.make_query("svc1.net", "A").to_wire()
    seen: Counter[str] = Counter()
    with udp_socket(server) as sock:
        for _ in range(200):
            for _ in range(50):
                sock.send(query)
            for _ in range(50):
                seen.update(data(dns.message.from_wire(sock.recv(4096))))
    assert seen == {"198.51.100.1": 10000, "198.51.100.2": 1000, "198.51.100.3": 3300}


@pytest.mark.live
def test_weights_hold_over_ten_thousand_answers(serve: Serve) -> None:
    records = (record(1, weight=70), record(2, weight=30), record(3, weight=0), record(4, share=50, weight=20))
    server = serve(records=table(records=records, policy="weighted"))
    query = dns.message.make_query("svc1.net", "A").to_wire()
    seen: Counter[str] = Counter()
    with udp_socket(server) as sock:
        for _ in range(200):
            for _ in range(50):
                sock.send(query)
            for _ in range(50):
                (address,) = data(dns.message.from_wire(sock.recv(4096)))
                seen[address] += 1
    assert set(seen) == {"198.51.100.1", "198.51.100.2", "198.51.100.4"}
    for address, share in (("198.51.100.1", 70), ("198.51.100.2", 30), ("198.51.100.4", 10)):
        assert seen[address] == pytest.approx(10000 * share / 110, abs=20)


def test_a_share_shows_within_a_few_answers() -> None:
    ramping = app(record(1), record(2, share=25))
    for start in range(40):
        window = answers(ramping, start + 4)[start:]
        assert sum("198.51.100.2" in answer for answer in window) == 1


def test_rotation_and_shares_do_not_go_in_step() -> None:
    """At 50 % the ramping record must come first as often as not among the answers that hold it."""
    both = [answer for answer in answers(app(record(1), record(2, share=50)), 400) if len(answer) == 2]
    assert Counter(answer[0] for answer in both) == {"198.51.100.1": 100, "198.51.100.2": 100}


def test_shares_never_leave_an_answer_empty() -> None:
    """The record with the highest share stands in, and the other keeps its own."""
    assert holding(app(record(1, share=10), record(2, share=50)), 100) == {"1": 10, "2": 100}
    assert all(answers(app(record(1, share=0)), 10))


def test_when_all_ramp_alike_they_take_turns() -> None:
    seen = holding(app(record(1, share=10), record(2, share=10)), 1000)
    assert abs(seen["1"] - seen["2"]) <= 20


def test_failover_answers_the_first_record_only() -> None:
    assert set(answers(app(record(1), record(2), policy="failover"), 20)) == {("198.51.100.1",)}


def test_failover_gives_a_ramping_first_record_its_share() -> None:
    assert holding(app(record(1, share=10), record(2), policy="failover"), 100) == {"1": 10, "2": 90}


def test_failover_does_not_skip_a_first_record_for_want_of_ipv6() -> None:
    second = Record("b", ("2001:db8::2",))
    assert Spread(app(record(1), second, policy="failover"), 6).addresses(0) == ()


@pytest.mark.parametrize("policy", ["all", "weighted", "failover"])
def test_weight_zero_is_never_answered_but_when_the_app_fails_open(policy: str) -> None:
    assert Spread(app(record(1, weight=0), policy=policy), 4).variants == 0
    assert "1" not in holding(app(record(1, weight=0), record(2), policy=policy), 100)
    assert set(answers(app(record(1, weight=0), policy=policy, fail_open=True), 10)) == {("198.51.100.1",)}


RECORDS = st.lists(
    st.builds(record, number=st.integers(1, 250), share=st.integers(0, 100), weight=st.integers(0, 10000)),
    max_size=12,
    unique_by=lambda r: r.cluster,
)


@given(records=RECORDS, policy=st.sampled_from(["all", "failover", "weighted"]), fail_open=st.booleans())
def test_no_answer_is_empty_while_a_record_may_be_answered(records: list[Record], policy: str, fail_open: bool) -> None:
    app_records = app(*records, policy=policy, fail_open=fail_open)
    may = [r for r in records if r.weight] or (records if fail_open else [])
    spread = Spread(app_records, 4)
    assert bool(spread.variants) == bool(may)
    for turn in range(spread.variants):
        addresses = spread.addresses(spread.variant(turn))
        assert addresses
        assert set(addresses) <= {r.addresses[0] for r in may}
        assert len(set(addresses)) == len(addresses)


@given(shares=st.lists(st.sampled_from([1, 5, 10, 25, 33, 50, 99]), min_size=1, max_size=4))
def test_a_share_is_exact_over_all_variants(shares: list[int]) -> None:
    records = [record(0), *(record(number, share) for number, share in enumerate(shares, 1))]
    spread = Spread(app(*records), 4)
    seen = holding(app(*records), spread.variants)
    assert [seen[str(number)] * 100 for number in range(len(records))] == [r.share * spread.variants for r in records]
    assert spread.variants <= 600


def test_successive_turns_differ() -> None:
    assert all(one != other for one, other in pairwise(answers(app(record(1), record(2), record(3)), 30)))
