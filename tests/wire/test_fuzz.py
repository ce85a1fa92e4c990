"""Whatever comes in is answered, refused or met with silence: the whole path of a datagram, and the readers one by one.

``POINTSMAN_EXAMPLES=100000 python -m pytest tests/wire/test_fuzz.py`` searches for longer.
"""

from __future__ import annotations

import base64
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from core.settings import App, Dns, RateLimit, Settings, Zone
from dnsserver import message, proxy, transfer, tsig
from dnsserver.generation import Generation, Generations
from dnsserver.guard import Guard
from dnsserver.stats import Counters
from dnsserver.transfer import Access, Accesses
from dnsserver.wireform import labels_of
from dnsserver.zone import load
from tests.wire.helpers import EXAMPLE_ZONE, option, table

EXAMPLES = int(os.environ.get("POINTSMAN_EXAMPLES", "100"))
KEY = dns.tsig.Key("key.test.", base64.b64encode(bytes(32)).decode(), dns.tsig.HMAC_SHA256)
NAMES = (
    "svc1.net",
    "www.example.test",
    "a.b.wild.example.test",
    "x.old.example.test",
    "sub.example.test",
    "nx.svc1.net",
)
TYPES = ("A", "ANY", "TXT", "DS", "SOA", "CNAME", "AXFR", "IXFR", "TYPE250", "TYPE0", "OPT", "RRSIG")

searched = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """Sane ones, with everything that a query can carry."""
    options = [
        option(draw(st.sampled_from((3, 8, 10, 12, 65001))), draw(st.binary(max_size=44)))
        for _ in range(draw(st.integers(0, 3)))
    ]
    query = dns.message.make_query(
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(TYPES)),
        use_edns=draw(st.sampled_from((-1, 0, 0, 0, 1))),
        payload=draw(st.integers(0, 65535)),
        options=options,
        want_dnssec=draw(st.booleans()),
    )
    if draw(st.integers(0, 4)) == 0:
        query.use_tsig(KEY)
    wire = query.to_wire()
    if draw(st.integers(0, 4)) == 0:
        wire = proxy.SIGNATURE + b"\x21\x12\0\x0c" + draw(st.binary(min_size=12, max_size=12)) + wire
    return wire


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Sane ones, ones with a few octets wrong, too long or too short, and noise."""
    packet = bytearray(draw(st.one_of(queries(), st.binary(max_size=80))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(packet) - 1)))
        match draw(st.integers(0, 3)):
            case 0:
                packet[at : at + 1] = bytes((draw(st.integers(0, 255)),))
            case 1:
                del packet[at:]
            case 2:
                packet[at:at] = draw(
                    st.sampled_from((b"\xc0\x0c", b"\xff", b"\0\0\x29", b"\0\x0a\0\x08", b"\0\xfa\0\xff"))
                )
            case _:
                packet += draw(st.binary(max_size=40))
    return bytes(packet)


@cache
def generation() -> Generation:
    """With all that can stand in the way of a packet switched on."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "zone"
        path.write_text(EXAMPLE_ZONE)
        config = Settings(
            dns=Dns(nsid="ns-1", proxies=("127.0.0.0/8",), rate_limit=RateLimit(per_second=50)),
            zone=(Zone(name="example.test.", file=str(path)),),
            app=(App(domain="app.example.test.", clusters=("a",)), App(domain="svc1.net.", clusters=("a",))),
        )
        zones = load(config)
    counters = Counters()
    accesses = Accesses({labels_of("svc1.net"): Access(frozenset(), KEY)}, tsig.Keyring((KEY,)))
    return Generations(counters).make(
        zones, table(), config.dns, accesses, (), Guard(config.dns, (bytes(16),), counters)
    )


def answer(packet: bytes) -> bytes | None:
    now = generation()
    [reply] = now.guard.datagrams([packet], lambda _: bytes((127, 0, 0, 1)), now.datagrams.answers)
    return reply


@searched
@given(packets())
def test_a_datagram_is_answered_well_or_not_at_all(packet: bytes) -> None:
    reply = answer(packet)
    if reply is None:
        return
    assert len(reply) <= 1232
    assert reply[2] & 0x80, "a response"
    if len(reply) > message.HEADER_OCTETS:
        read = dns.message.from_wire(reply, keyring=False)
        assert read.rcode() != dns.rcode.SERVFAIL, "nothing went wrong inside"


@searched
@given(packets())
@example(
    bytes.fromhex("ad55010000010000000000010473766331036e657400000100010000290000000100000005000a000100")
)  # a broken cookie in a later version of EDNS
def test_a_message_on_a_connection_is_answered_well_or_not_at_all(packet: bytes) -> None:
    now = generation()
    reply = now.streams.answer(packet)
    if reply is not None:
        reply = now.guard.stream(packet, reply, "2001:db8::1")
        assert len(reply) <= message.STREAM_OCTETS
        if len(reply) > message.HEADER_OCTETS:
            assert dns.message.from_wire(reply, keyring=False).rcode() != dns.rcode.SERVFAIL
    if message.is_query(packet) and transfer.is_wanted(packet):
        for part in now.transfers.answer(packet, "192.0.2.1"):
            assert len(part) >= message.HEADER_OCTETS


@searched
@given(packets())
def test_a_signature_is_good_or_refused(packet: bytes) -> None:
    if len(packet) < message.HEADER_OCTETS:
        return
    try:
        parts = tsig.take_apart(packet)
        if parts.tsig:
            plain, _ = tsig.Keyring((KEY,)).open(packet, parts)
            assert len(plain) < len(packet)
    except message.Refusal:
        pass
    except tsig.Rejected as rejected:
        assert rejected.reply[2] & 0x80


@searched
@given(st.one_of(st.binary(max_size=60), st.builds(lambda tail: proxy.SIGNATURE + tail, st.binary(max_size=60))))
def test_a_proxy_header_is_read_or_refused(octets: bytes) -> None:
    try:
        taken = proxy.take(octets)
    except ValueError:
        return
    if taken:
        client, end = taken
        assert len(client) in (0, 4, 16)
        assert 16 <= end <= len(octets)


WORDS = (
    "$TTL", "$ORIGIN", "$GENERATE", "$INCLUDE", "$UNICODE", "2008", "@", "x", "*", "*.x", "a.b", "\\065", "\\", "\\300", "ä", "xn--a", ".", "..",
    "SOA", "NS", "A", "AAAA", "TXT", "CNAME", "DNAME", "MX", "SRV", "CAA", "HTTPS", "NAPTR", "DS", "LOC", "APL", "TYPE65280", "TYPE0", "TSIG",
    "OPT", "CLASS1", "IN", "CH", "60", "1w2d", "4294967296", "-1", "\\#", "0", "4", "c0000201", "192.0.2.1", "2001:db8::1", "ns1", "1-3", "1-99999999",
    "h$", "${0,3,x}", '"', '"a b"', "(", ")", ";", "alpn=h2", "1.5", "AAAA=", "\t", "\r", "\0", "\u2028",
)  # fmt: skip


@searched
@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(("\n", "\n", " ")), st.text(max_size=4)), max_size=30)
)
def test_a_zone_file_is_read_or_refused_with_its_line(words: list[str]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "zone"
        path.write_text(" ".join(words), encoding="utf-8", errors="replace", newline="")
        config = Settings(zone=(Zone(name="example.test.", file=str(path)),))
        try:
            zones = load(config)
        except ConfigError as error:
            assert all(problem.startswith(str(path)) and "\n" not in problem for problem in error.problems)
            return
    made = Generations(Counters()).make(zones, table(), config.dns)
    for name, node in zones[labels_of("example.test")].nodes.items():
        for rtype in {*node.rrsets, 1, 255}:
            query = dns.message.make_query(dns.name.Name((*name, b"")), dns.rdatatype.RdataType.make(rtype))
            reply = dns.message.from_wire(made.streams.answer(query.to_wire()) or b"")
            assert reply.rcode() != dns.rcode.SERVFAIL
