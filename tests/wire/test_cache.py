"""A cached answer is the answer that would have been built."""

from __future__ import annotations

import struct
from itertools import count
from pathlib import Path
from typing import Any

import dns.message
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.records import Record
from dnsserver.cache import AnswerCache
from dnsserver.edns import cookie_of
from dnsserver.names import Names
from dnsserver.respond import Responder
from dnsserver.stats import Counters
from dnsserver.zone import load
from tests.wire.helpers import option, settings, table

OPT = b"\x00\x00\x29"
LABELS = st.one_of(
    st.sampled_from([b"svc1", b"net", b"example", b"test", b"www", b"wild", b"old", b"sub", b"big", b"app", b"\x00"]),
    st.binary(min_size=1, max_size=12),
)
TAILS = st.sampled_from(
    [
        (b"svc1", b"net"),
        (b"app", b"example", b"test"),
        (b"example", b"test"),
        (b"wild", b"example", b"test"),
        (b"sub", b"example", b"test"),
        (b"old", b"example", b"test"),
        (),
    ]
)
OPTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([3, 10, 12, 65001]), st.binary(max_size=12)),
        st.sampled_from([(3, b""), (10, b"8 octets"), (10, b"of a cookie 24 octets..."), (12, bytes(8))]),
    ).map(lambda pair: struct.pack("!HH", pair[0], len(pair[1])) + pair[1]),
    max_size=3,
).map(b"".join)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Mostly sane queries, in any spelling, with any flags, EDNS and options."""
    labels = (*draw(st.lists(LABELS, max_size=2)), *draw(TAILS))
    upper = draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels)))
    name = b"".join(
        bytes((len(label),)) + (label.upper() if up else label) for label, up in zip(labels, upper, strict=True)
    )
    qtype = draw(st.sampled_from([1, 2, 5, 6, 15, 16, 28, 33, 41, 43, 65, 97, 251, 255, 65280]))
    flags = draw(st.sampled_from([0x0000, 0x0100, 0x0110, 0x0120, 0x4100, 0x8100, 0x0900]))
    body = name + b"\x00" + struct.pack("!HH", qtype, draw(st.sampled_from([1, 1, 1, 3, 255])))
    edns = draw(st.booleans())
    if edns:
        options = draw(OPTIONS)
        size, ttl = draw(st.sampled_from([0, 512, 1232, 4096])), draw(st.sampled_from([0, 0x8000, 0x10000]))
        body += OPT + struct.pack("!HIH", size, ttl, len(options)) + options
    if draw(st.integers(0, 9)) == 9:
        body = (
            draw(st.sampled_from([b"\x3f" + b"l" * 63, b"\x40" + b"l" * 64, b"\xc0\x0c"])) * draw(st.integers(1, 6))
            + body
        )
    ident = draw(st.integers(0, 65535))
    packet = struct.pack("!6H", ident, flags, 1, 0, 0, edns) + body
    return packet[: len(packet) - draw(st.sampled_from([0, 0, 0, 0, 1, 4]))]


def responder(zone_file: Path, serial: int = 7, **records: Any) -> Responder:
    config = settings(zone_file)
    return Responder(load(config), table(serial, **records), config.dns, stream=False)


def cache(responder: Responder, limit: int = 1000) -> AnswerCache:
    return AnswerCache(responder, Names(responder._zones), limit, Counters(), count())


class EachOnItsOwn(Names):
    """Answers every name under its own."""

    def stand_in(self, head: bytes, rest: bytes) -> bytes:
        return b""


def built(responder: Responder, packet: bytes) -> bytes | None:
    """What is answered by who keeps nothing."""
    return AnswerCache(responder, EachOnItsOwn({}), 1000, Counters(), count()).answer(packet)


@pytest.fixture(scope="module")
def one_address(zone_file: Path) -> Responder:
    """Nothing rotates."""
    return responder(zone_file, records=(Record("a", ("198.51.100.1", "2001:db8::1")),))


@pytest.fixture(scope="module")
def three_addresses(zone_file: Path) -> Responder:
    return responder(zone_file)


@given(asked=st.lists(packets(), min_size=1, max_size=12))
@hypothesis_settings(deadline=None, max_examples=300)
def test_a_cached_answer_is_the_one_that_would_be_built(one_address: Responder, asked: list[bytes]) -> None:
    warm = cache(one_address)
    for packet in asked * 2:
        assert warm.answer(packet) == built(one_address, packet)


@given(asked=st.lists(packets(), min_size=1, max_size=12))
@hypothesis_settings(deadline=None, max_examples=300)
def test_a_cached_answer_gets_the_cookie_that_a_built_one_gets(one_address: Responder, asked: list[bytes]) -> None:
    """A cookie that is echoed whatever it is, and none where a packet has none."""

    def echo(place: int, shown: bytes) -> bytes:
        return struct.pack("!HHH", 28, 10, 24) + shown.ljust(24, b".")[:24]

    warm = cache(one_address)
    for packet in asked * 2:
        [reply] = warm.answers([packet], echo)
        assert reply == cache(one_address).answers([packet], echo)[0]
        plain = built(one_address, packet)
        if reply != plain:
            assert plain and reply and cookie_of(packet) in reply
            assert len(reply) == len(plain) + 28 or reply[2] & 2, "with a cookie, or truncated for it"


@given(asked=st.lists(packets(), min_size=1, max_size=12))
@hypothesis_settings(deadline=None)
def test_a_cached_answer_that_rotates_differs_by_its_order_alone(
    three_addresses: Responder, asked: list[bytes]
) -> None:
    warm = cache(three_addresses)
    for packet in asked * 2:
        one, other = warm.answer(packet), built(three_addresses, packet)
        assert sorted(one or b"") == sorted(other or b"")


def query(name: str, qtype: str = "A", **keys: Any) -> bytes:
    return dns.message.make_query(name, qtype, **keys).to_wire()


def test_the_second_answer_comes_from_the_cache_whatever_the_id_and_the_spelling(three_addresses: Responder) -> None:
    warm = cache(three_addresses)
    for name in ("mail.example.test", "MAIL.example.test", "mAiL.eXample.TEST"):
        asked = query(name)
        answer = warm.answer(asked)
        assert answer is not None
        assert answer[:2] == asked[:2]
        assert dns.message.from_wire(answer).question[0].name.to_text() == name + "."
    assert len(warm._young) == 1


def test_a_clients_cookie_does_not_make_an_entry_of_its_own(three_addresses: Responder) -> None:
    warm = cache(three_addresses)
    for cookie in (b"11111111", b"22222222"):
        warm.answer(query("svc1.net", use_edns=0, options=[option(10, cookie)]))
    warm.answer(query("svc1.net", use_edns=0))
    assert len(warm._young) == 1


def test_what_is_large_is_not_kept(zone_file: Path) -> None:
    config = settings(zone_file)
    streams = cache(Responder(load(config), table(), config.dns, stream=True))
    assert len(streams.answer(query("big.example.test", "TXT")) or b"") > 4096
    assert streams.answer(query("example.test", "AXFR") + bytes(1000))
    assert not streams._young


def test_a_label_that_looks_like_an_opt_is_not_taken_for_one(one_address: Responder) -> None:
    """Both packets would have one key, were the part after the first zero octet read as type, class and OPT."""

    def packet(zone: bytes) -> bytes:
        end = zone + b"\x00\x00\x01\x00\x01"
        head = b"a\x00\x00\x01\x00\x01" + OPT + b"\x04\xd0\x00\x00\x00\x00"
        label = head + struct.pack("!HHH", 4 + len(end), 10, len(end))
        return struct.pack("!6H", 1, 0, 1, 0, 0, 0) + bytes((len(label),)) + label + end

    warm = cache(one_address)
    for zone in (b"\x04svc1\x03net", b"\x07example\x04test"):
        answer = warm.answer(packet(zone)) or b""
        assert answer == built(one_address, packet(zone))
        assert dns.message.from_wire(answer).authority


@pytest.mark.parametrize("cookie", [b"8 octets", b"of a cookie 24 octets..."])
def test_a_transfer_over_udp_has_no_place_for_a_cookie(one_address: Responder, cookie: bytes) -> None:
    """Its OPT is not read, so that the answer has none that could hold an option."""
    warm = cache(one_address)
    for options in ([], [option(10, cookie)]):
        asked = query("example.test", "AXFR", use_edns=0, options=options)
        assert warm.answers([asked], lambda place, shown: bytes(30)) == [built(one_address, asked)]


def test_a_class_and_what_follows_it_are_not_taken_for_an_opt(one_address: Responder) -> None:
    """Of a question in class 0 without an OPT, and the same with class 12 and what reads as a cookie behind."""
    warm = cache(one_address)
    plain = query("svc1.net")[:-2] + b"\0\0"
    longer = plain[:-2] + b"\0\x0c\0\x0a\0\x08" + bytes(7) + b"\1"
    for packet in (plain, longer, longer[:10] + b"\0\1" + longer[12:]):
        assert warm.answers([packet], lambda place, shown: bytes(30)) == [built(one_address, packet)]


def test_types_that_differ_by_the_bit_of_the_case_are_kept_apart(three_addresses: Responder) -> None:
    warm = cache(three_addresses)
    assert warm.answer(query("web.example.test", "TYPE65")) != warm.answer(query("web.example.test", "TYPE97"))
    assert len(dns.message.from_wire(warm.answer(query("web.example.test", "TYPE65")) or b"").answer) == 1
    for qtype in ("TYPE65", "TYPE97"):
        asked = query("web.example.test", qtype, use_edns=0, options=[option(3, b"")])
        assert warm.answer(asked) == built(three_addresses, asked)


def test_the_cache_is_bounded_and_a_flood_of_names_leaves_what_is_asked_often(three_addresses: Responder) -> None:
    warm = cache(three_addresses, limit=100)
    popular = query("mail.example.test")
    warm.answer(popular)
    kept = warm._young[popular[2:]]
    for number in range(1000):
        warm.answer(query("www.example.test", use_edns=0, payload=1232 + number))
        assert len(warm._young) + len(warm._old) <= 100
        if number % 40 == 0:
            warm.answer(popular)
    assert popular[2:] in {**warm._young, **warm._old}
    assert kept is {**warm._old, **warm._young}[popular[2:]]


@pytest.mark.parametrize("qtype", ["A", "AAAA"])
def test_turns_go_on_from_one_table_to_the_next(zone_file: Path, qtype: str) -> None:
    """Else each new table would send all first clients to the same cluster."""
    turns = count()
    first = set()
    for serial in range(3):
        made = responder(zone_file, serial)
        answer = AnswerCache(made, Names(made._zones), 100, Counters(), turns).answer(query("svc1.net", qtype))
        first.add(dns.message.from_wire(answer or b"").answer[0][0].to_text())
    assert len(first) == 3


@pytest.mark.parametrize(
    ("names", "entries"),
    [
        (["aa.svc1.net", "ab.svc1.net", "aB.svc1.NET"], 1),  # no such name
        (["aa.svc1.net", "aaa.svc1.net"], 2),  # of another length
        (["aa.wild.example.test", "ab.wild.example.test"], 1),  # the wildcard's
        (["aa.sub.example.test", "ab.sub.example.test"], 1),  # referred
        (["aa.nobodys.org", "ab.another.org"], 1),  # nobody's
        (["aa.old.example.test", "ab.old.example.test"], 2),  # below a DNAME: the answer holds the name
        (["mail.example.test", "gone.example.test"], 2),  # these are there
        (["a" * 60 + "." + "b" * 4 + ".svc1.net", "c" * 31 + "." + "d" * 33 + ".svc1.net"], 1),  # of more than a label
    ],
)
def test_unknown_names_share_an_answer_as_far_as_it_is_the_same(
    one_address: Responder, names: list[str], entries: int
) -> None:
    warm = cache(one_address)
    for packet in map(query, names * 2):
        assert warm.answer(packet) == built(one_address, packet)
    assert len(warm._young) == entries


def test_a_flood_of_random_names_takes_no_room(three_addresses: Responder) -> None:
    warm = cache(three_addresses)
    for number in range(2000):
        warm.answer(query(f"x{number * 7919}.example.test"))
    assert len(warm._young) < 10


def test_a_name_that_is_pointed_to_is_answered_under_its_own(zone_file: Path) -> None:
    """The name server in the SOA does not exist; the answer is compressed with it."""
    made = responder(zone_file)
    asked = query("ns1.svc1.net"), query("ns2.svc1.net")
    warm = cache(made)
    assert [warm.answer(packet) for packet in asked] == [built(made, packet) for packet in asked]
    assert len(warm._young) == 2
