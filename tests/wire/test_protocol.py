"""Headers, EDNS, truncation and refusals: RFC 1035, 5001, 6891, 7766, and silence where an answer would do harm."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest

from core.records import Record
from dnsserver.server import DnsServer
from tests.wire.conftest import Serve
from tests.wire.helpers import data, dig, exchange, option, settings, table, tcp, udp, udp_socket

pytestmark = pytest.mark.live

QUESTION = b"\x04svc1\x03net\x00\x00\x01\x00\x01"
OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"


def packet(
    body: bytes = QUESTION, flags: int = 0x0100, counts: tuple[int, int, int, int] = (1, 0, 0, 0), ident: int = 77
) -> bytes:
    return struct.pack("!6H", ident, flags, *counts) + body


def rcode_of(answer: bytes) -> int:
    return answer[3] & 15


MALFORMED = {
    "no question": packet(b"", counts=(0, 0, 0, 0)),
    "two questions": packet(QUESTION * 2, counts=(2, 0, 0, 0)),
    "question missing": packet(b""),
    "question cut": packet(QUESTION[:-1]),
    "name cut": packet(b"\x04sv"),
    "trailing bytes": packet(QUESTION + b"\x00"),
    "compressed question": packet(b"\xc0\x0c\x00\x01\x00\x01"),
    "reserved label type": packet(b"\x41" + b"a" * 65 + b"\x00\x00\x01\x00\x01"),
    "name over 255 octets": packet((b"\x3f" + b"a" * 63) * 4 + b"\x00\x00\x01\x00\x01"),
    "two OPTs": packet(QUESTION + OPT * 2, counts=(1, 0, 0, 2)),
    "OPT with a name": packet(QUESTION + b"\x01a" + OPT, counts=(1, 0, 0, 1)),
    "OPT cut": packet(QUESTION + OPT[:-1], counts=(1, 0, 0, 1)),
    "OPT longer than it says": packet(QUESTION + OPT + b"\x00", counts=(1, 0, 0, 1)),
    "option cut": packet(QUESTION + OPT[:-1] + b"\x05\x00\x03\x00\x04\x00", counts=(1, 0, 0, 1)),
    "OPT not counted": packet(QUESTION + OPT),
    "OPT counted and missing": packet(QUESTION, counts=(1, 0, 0, 1)),
    "OPT as answer": packet(QUESTION + OPT, counts=(1, 1, 0, 0)),
    "OPT asked for": packet(QUESTION[:-4] + b"\x00\x29\x00\x01"),
}


@pytest.mark.parametrize("bad", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_query_is_formerr(server: DnsServer, bad: bytes) -> None:
    answer = exchange(server, bad)
    assert answer[:2] == bad[:2]
    assert answer[2] & 0x80
    assert rcode_of(answer) == dns.rcode.FORMERR


@pytest.mark.parametrize("silenced", [b"", b"x", packet()[:11], packet(flags=0x8100), packet(flags=0x8100) + b"junk"])
def test_responses_and_what_has_no_header_get_silence(server: DnsServer, silenced: bytes) -> None:
    with udp_socket(server) as sock:
        sock.send(silenced)
        sock.send(packet(ident=78))
        assert sock.recv(4096)[:2] == b"\x00\x4e"
    assert server.stats().dropped == 1


@pytest.mark.parametrize("opcode", [dns.opcode.IQUERY, dns.opcode.STATUS, dns.opcode.NOTIFY, dns.opcode.UPDATE, 15])
def test_other_opcodes_are_notimp(server: DnsServer, opcode: int) -> None:
    answer = exchange(server, packet(flags=opcode << 11))
    assert rcode_of(answer) == dns.rcode.NOTIMP
    assert answer[2] >> 3 & 15 == opcode


def test_recursion_is_not_offered_and_only_rd_and_cd_come_back(server: DnsServer) -> None:
    (flags,) = struct.unpack_from("!H", exchange(server, packet(flags=0x07F0)), 2)
    assert flags == dns.flags.QR | dns.flags.AA | dns.flags.RD | dns.flags.CD


def test_edns_is_answered_with_edns_and_only_then(server: DnsServer) -> None:
    assert udp(server, "svc1.net").edns == -1
    answer = udp(server, "svc1.net", use_edns=0, payload=4000, ednsflags=dns.flags.DO)
    assert (answer.edns, answer.payload, answer.ednsflags) == (0, 1232, dns.flags.DO)


def test_edns_stands_in_errors_too(server: DnsServer) -> None:
    assert udp(server, "missing.example.test", use_edns=0).edns == 0
    assert udp(server, "elsewhere.test", use_edns=0).edns == 0


def test_another_edns_version_is_badvers(server: DnsServer) -> None:
    answer = udp(server, "svc1.net", use_edns=1)
    assert answer.rcode() == dns.rcode.BADVERS
    assert (answer.edns, answer.answer) == (0, [])


def test_unknown_options_are_ignored(server: DnsServer) -> None:
    for unknown in (option(65001, b"x" * 50), option(12, b"12345678")):
        answer = udp(server, "svc1.net", use_edns=0, options=[unknown])
        assert len(data(answer)) == 3
        assert list(answer.options) == []


def test_nsid_is_told_to_those_who_ask(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file, nsid="pm-1"))
    assert "NSID: 70 6d 2d 31" in dig(server, "svc1.net", "+nsid")
    assert "NSID" not in dig(server, "svc1.net")


def test_chaos_names_are_refused_by_default_and_told_when_set(serve: Serve, server: DnsServer, zone_file: Path) -> None:
    for name in ("version.bind", "id.server", "hostname.bind", "version.server"):
        assert udp(server, name, "TXT", rdclass="CH").rcode() == dns.rcode.REFUSED
    told = serve(settings(zone_file, nsid="pm-1", version="none of your business"))
    assert data(udp(told, "version.bind", "TXT", rdclass="CH")) == ['"none of your business"']
    assert data(udp(told, "ID.server", "TXT", rdclass="CH")) == ['"pm-1"']


def test_other_classes_are_refused(server: DnsServer) -> None:
    assert udp(server, "svc1.net", "A", rdclass="HS").rcode() == dns.rcode.REFUSED


MANY = tuple(Record(f"c{number}", (f"198.51.100.{number}",)) for number in range(1, 101))


@pytest.mark.parametrize(
    ("size", "fits"), [(None, 30), (100, 29), (512, 29), (1000, 60), (1232, 74), (4096, 74)], ids=str
)
def test_truncation_begins_at_the_smaller_of_the_clients_size_and_ours(
    serve: Serve, size: int | None, fits: int
) -> None:
    edns: dict[str, Any] = {} if size is None else {"use_edns": 0, "payload": size}
    for count, truncated in ((fits, False), (fits + 1, True)):
        server = serve(records=table(records=MANY[:count]))
        answer = udp(server, "svc1.net", **edns)
        assert bool(answer.flags & dns.flags.TC) == truncated
        assert len(data(answer)) == (0 if truncated else count)
        assert answer.question[0].name.to_text() == "svc1.net."
        assert answer.edns == (-1 if size is None else 0)
        assert server.stats().truncated == truncated
        assert len(data(tcp(server, "svc1.net"))) == count


def test_answers_beyond_16_kilobytes_keep_their_names(serve: Serve, tmp_path: Path) -> None:
    """A compression pointer has 14 bits: names that first stand beyond cannot be pointed to."""
    path = tmp_path / "z"
    exchanges = [f"{host}.group{number}.example.test." for number in range(700) for host in "ab"]
    path.write_text("$TTL 60\n" + "".join(f"@ MX 10 {exchange}\n" for exchange in exchanges))
    server = serve(settings(path))
    answer = tcp(server, "example.test", "MX")
    assert len(answer.to_wire(max_size=65535)) > 2**15
    assert data(answer) == [f"10 {exchange}" for exchange in exchanges]


def test_labels_that_are_not_utf8_are_names_like_others(server: DnsServer) -> None:
    body = b"\x02\xff\x00" + b"\x07example\x04test\x00\x00\x01\x00\x01"
    answer = exchange(server, packet(body))
    assert rcode_of(answer) == dns.rcode.NXDOMAIN
    assert answer[12 : 12 + len(body)] == body
