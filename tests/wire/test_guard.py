"""DNS cookies (RFC 7873, 9018), the limit on responses, and the PROXY protocol, before a real server."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from core.errors import ConfigError
from core.settings import Dns, DnsLimits, RateLimit, Settings, Zone
from dnsserver.cookies import Cookies, read_secrets
from dnsserver.proxy import SIGNATURE, take
from dnsserver.ratelimit import Fate, Limiter
from dnsserver.server import DnsServer
from tests.wire.conftest import Serve
from tests.wire.helpers import (
    closed,
    data,
    dig,
    exchange,
    framed,
    option,
    read_frame,
    settings,
    tcp,
    tcp_socket,
    udp,
    udp_socket,
)

pytestmark = pytest.mark.live
COOKIE = 10
MINE = bytes(range(8))
HOME = ip_address("127.0.0.1").packed


def over_tcp(server: DnsServer, packet: bytes) -> bytes:
    with tcp_socket(server) as sock:
        sock.sendall(framed(packet))
        return read_frame(sock)


WAYS = {"udp": exchange, "tcp": over_tcp}


def answered(cookies: Cookies, shown: bytes, client: bytes = HOME) -> tuple[bytes, bool]:
    """Without the head of the option."""
    option, good = cookies.answer(shown, client)
    return option[6:], good


def query(cookie: bytes, name: str = "svc1.net", qtype: str = "A", **keys: Any) -> dns.message.Message:
    return dns.message.make_query(name, qtype, use_edns=0, options=[option(COOKIE, cookie)], **keys)


def ask(server: DnsServer, cookie: bytes, name: str = "svc1.net", qtype: str = "A", **keys: Any) -> dns.message.Message:
    return dns.message.from_wire(exchange(server, query(cookie, name, qtype, **keys).to_wire()))


def cookie_of(answer: dns.message.Message) -> bytes:
    found = [each.to_wire() or b"" for each in answer.options if each.otype == COOKIE]
    return found[0] if found else b""


# --- cookies ---------------------------------------------------------------------------------------------------------


def test_a_server_cookie_is_as_rfc_9018_appendix_a_has_it() -> None:
    now = [1559731985.0]
    cookies = Cookies([bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")], lambda: now[0])
    client, address = bytes.fromhex("2464c4abcf10c957"), ip_address("198.51.100.100").packed
    made, good = answered(cookies, client, address)
    assert (made.hex(), good) == ("2464c4abcf10c957010000005cf79f111f8130c3eee29480", False)
    assert answered(cookies, made, address) == (made, True)
    assert answered(cookies, made, ip_address("198.51.100.101").packed)[1] is False
    now[0] += 1801
    renewed, good = answered(cookies, made, address)
    assert good and renewed != made and renewed[:8] == client
    now[0] += 1800
    assert answered(cookies, made, address)[1] is False
    assert answered(cookies, renewed, address)[1] is True


def test_a_cookie_of_an_older_secret_is_good_and_replaced() -> None:
    old, new = bytes(16), bytes(range(16))
    made, _ = answered(Cookies([old], lambda: 1000.0), MINE, HOME)
    replaced, good = answered(Cookies([new, old], lambda: 1001.0), made, HOME)
    assert good and replaced != made
    assert answered(Cookies([new], lambda: 1002.0), replaced, HOME) == (replaced, True)
    assert answered(Cookies([new], lambda: 1002.0), made, HOME)[1] is False


def test_a_flood_of_new_cookies_is_not_looked_into_for_longer_than_it_may() -> None:
    now = [1000.0]
    cookies = Cookies([bytes(16)], lambda: now[0])
    known, _ = cookies.answer(MINE, HOME)
    made = [cookies.answer(number.to_bytes(8), HOME)[0] for number in range(1, 5000)]
    assert 3000 < sum(map(bool, made)) < 5000
    assert cookies.answer(MINE, HOME)[0] == known, "who was known before still is"
    now[0] += 1
    assert cookies.answer(bytes(8), HOME)[0]


@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_who_shows_a_cookie_gets_one_back_and_nobody_else_does(server: DnsServer, over: str) -> None:
    ways = {"udp": udp, "tcp": tcp}[over]
    answer = ways(server, "svc1.net", use_edns=0, options=[option(COOKIE, MINE)])
    assert len(data(answer)) == 3
    whole = cookie_of(answer)
    assert (whole[:8], len(whole)) == (MINE, 24)
    assert cookie_of(ways(server, "svc1.net", use_edns=0, options=[option(COOKIE, whole)])) == whole
    assert cookie_of(ways(server, "svc1.net", use_edns=0)) == b""
    forged = MINE + b"\x01" + bytes(15)
    assert cookie_of(ways(server, "nx.svc1.net", use_edns=0, options=[option(COOKIE, forged)]))[:8] == MINE


@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_who_asks_nothing_but_shows_a_cookie_gets_the_servers(server: DnsServer, over: str) -> None:
    """RFC 7873 section 5.4."""
    asks = dns.message.Message(id=77)
    asks.use_edns(0, options=[option(COOKIE, MINE)])
    answer = dns.message.from_wire(WAYS[over](server, asks.to_wire()))
    assert (answer.id, answer.rcode(), answer.question, answer.answer) == (77, dns.rcode.NOERROR, [], [])
    assert cookie_of(answer)[:8] == MINE
    assert cookie_of(ask(server, cookie_of(answer))) == cookie_of(answer), "it is good"
    status = bytearray(asks.to_wire())
    status[2] |= 2 << 3
    assert WAYS[over](server, bytes(status))[3] & 15 == dns.rcode.NOTIMP
    asks.use_edns(0)
    plain = dns.message.from_wire(WAYS[over](server, asks.to_wire()))
    assert (plain.rcode(), plain.edns) == (dns.rcode.FORMERR, -1)


@pytest.mark.parametrize("size", [0, 1, 7, 9, 15, 41])
def test_a_cookie_of_a_wrong_length_is_malformed(server: DnsServer, size: int) -> None:
    ask(server, MINE)  # the same question with a sane cookie is known already
    assert ask(server, bytes(size)).rcode() == dns.rcode.FORMERR


def test_cookies_and_nsid_go_together(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file, nsid="ns-7"))
    asked = dns.message.make_query("svc1.net", "A", use_edns=0, options=[option(3, b""), option(COOKIE, MINE)])
    answer = dns.message.from_wire(exchange(server, asked.to_wire()))
    assert {int(each.otype) for each in answer.options} == {3, COOKIE}


def test_an_answer_that_the_cookie_makes_too_long_is_truncated(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "z"
    path.write_text(f'$TTL 60\nx TXT "{"a" * 230}" "{"b" * 215}"\n')
    server = serve(Settings(dns=Dns(listen=("127.0.0.1:0",)), zone=(Zone(name="test.", file=str(path)),)))
    plain = dns.message.make_query("x.test", "TXT", use_edns=0, payload=512)
    assert 484 < len(exchange(server, plain.to_wire())) <= 512
    answer = ask(server, MINE, "x.test", "TXT", payload=512)
    assert answer.flags & dns.flags.TC
    assert (answer.answer, cookie_of(answer)[:8], answer.payload) == ([], MINE, 1232)
    assert not ask(server, MINE, "x.test", "TXT", payload=1232).flags & dns.flags.TC


def test_cookies_can_be_switched_off(serve: Serve, zone_file: Path) -> None:
    assert cookie_of(ask(serve(settings(zone_file, cookies=False)), MINE)) == b""


def test_dig_finds_the_cookie_good(server: DnsServer) -> None:
    output = dig(server, "svc1.net", "+cookie=0001020304050607", "+norec")
    assert "(good)" in output
    assert "WARNING" not in output


def test_secrets_are_read_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    config = Settings(dns=Dns(cookie_secrets=str(path)))
    path.write_text(f"{'00' * 16}\n\n{'AB' * 16}\n")
    assert read_secrets(config) == (bytes(16), b"\xab" * 16)
    for text, expected in (("00" * 16 + "\nxyz", "2: a cookie secret is"), ("", " no cookie secret")):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_secrets(config)
        assert caught.value.problems[0].startswith(f"{path}:{expected}")


# --- the limit on responses ------------------------------------------------------------------------------------------


def reply(rcode: int = 0, answers: int = 0) -> bytes:
    return bytes((0, 1, 0x84, rcode)) + struct.pack("!4H", 1, answers, 0, 0) + b"\x01a\x00\x00\x01\x00\x01"


def test_answers_of_one_kind_to_one_network_are_limited_each_second() -> None:
    now = [10.0]
    limiter = Limiter(RateLimit(per_second=3, slip=2), lambda: now[0])

    def fates(address: str, what: bytes, count: int) -> str:
        return "".join(limiter.fate(ip_address(address).packed, what).name[1] for _ in range(count))

    assert fates("192.0.2.1", reply(answers=1), 8) == "EEERLRLR"
    assert fates("192.0.2.200", reply(answers=1), 1) == "L", "the same /24"
    assert fates("192.0.3.1", reply(answers=1), 1) == "E"
    assert fates("192.0.2.1", reply(3), 1) == "E", "another kind"
    assert fates("2001:db8::1", reply(3), 4) == "EEER"
    assert fates("2001:db8:0:ff::1", reply(3), 1) == "L", "the same /56"
    assert fates("2001:db8:0:100::1", reply(3), 1) == "E"
    now[0] = 11.0
    assert fates("192.0.2.1", reply(answers=1), 4) == "EEER"


@pytest.mark.parametrize(("slip", "expected"), [(0, "DDDD"), (1, "SSSS"), (3, "DDSD")])
def test_slip_says_how_many_are_told_to_come_over_tcp(slip: int, expected: str) -> None:
    limiter = Limiter(RateLimit(per_second=1, slip=slip), lambda: 1.0)
    assert limiter.fate(HOME, reply()) is Fate.SEND
    fates = [limiter.fate(HOME, reply()) for _ in range(4)]
    assert "".join("S" if fate is Fate.SLIP else "D" for fate in fates) == expected


def test_who_is_exempt_has_no_limit() -> None:
    limiter = Limiter(RateLimit(per_second=1, exempt=("127.0.0.0/8",)), lambda: 1.0)
    assert {limiter.fate(HOME, reply()) for _ in range(5)} == {Fate.SEND}


def burst(server: DnsServer, packet: bytes, count: int) -> list[dns.message.Message]:
    """What comes back to so many of the same query; a TSIG-free sentinel over TCP tells that all were seen."""
    with udp_socket(server) as sock:
        for _ in range(count):
            sock.send(packet)
        answers: list[dns.message.Message] = []
        sock.settimeout(2)
        try:
            while len(answers) < count:
                answers.append(dns.message.from_wire(sock.recv(4096)))
        except TimeoutError:
            pass
        return answers


def test_over_the_limit_some_are_told_to_come_over_tcp_and_the_rest_get_nothing(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file, rate_limit=RateLimit(per_second=5, slip=1)))
    answers = burst(server, dns.message.make_query("svc1.net", "A", use_edns=0).to_wire(), 200)
    whole = [a for a in answers if not a.flags & dns.flags.TC]
    empty = [a for a in answers if a.flags & dns.flags.TC]
    assert len(answers) == 200, "slip 1 answers all"
    assert 5 <= len(whole) < 200
    assert all(not a.answer and a.edns == 0 and a.question[0].name.to_text() == "svc1.net." for a in empty)
    assert server.stats().limited == len(empty)
    assert len(data(tcp(server, "svc1.net"))) == 3, "TCP has no limit"


def test_a_good_cookie_is_not_limited_and_a_bare_one_is_told_the_good_one(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file, rate_limit=RateLimit(per_second=1, slip=1)))
    answers = burst(server, query(MINE).to_wire(), 100)
    refused = [a for a in answers if a.rcode() == dns.rcode.BADCOOKIE]
    assert refused and all(not a.answer and not a.flags & dns.flags.TC for a in refused)
    good = cookie_of(refused[0])
    assert good[:8] == MINE
    assert all(len(data(a)) == 3 for a in burst(server, query(good).to_wire(), 100))


# --- PROXY -----------------------------------------------------------------------------------------------------------


def header(client: str, command: int = 1, protocol: int = 2) -> bytes:
    packed = ip_address(client).packed
    addresses = packed * 2 + struct.pack("!HH", 4000, 53) if command else b""
    family = (0x10 if len(packed) == 4 else 0x20) | protocol if command else 0
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(addresses)) + addresses


def test_a_header_is_read_whole_or_not_at_all() -> None:
    for client in ("192.0.2.7", "2001:db8::7"):
        whole = header(client)
        assert take(whole + b"rest") == (ip_address(client).packed, len(whole))
        for length in range(len(whole)):
            assert take(whole[:length]) is None
    assert take(header("192.0.2.7", command=0)) == (b"", 16)
    for wrong in (
        b"x",
        SIGNATURE + b"\x11\x11\0\0",
        SIGNATURE + b"\x21\x11\0\x04" + bytes(4),
        SIGNATURE + b"\x22\0\0\0",
    ):
        with pytest.raises(ValueError, match="PROXY"):
            take(wrong)


def test_a_datagrams_cookie_is_that_of_the_client_behind_the_proxy(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file, proxies=("127.0.0.1",)))
    packet = query(MINE).to_wire()
    through = cookie_of(dns.message.from_wire(exchange(server, header("192.0.2.7") + packet)))
    packet = query(through).to_wire()
    assert cookie_of(dns.message.from_wire(exchange(server, header("192.0.2.7") + packet))) == through
    assert cookie_of(dns.message.from_wire(exchange(server, header("192.0.2.8") + packet))) != through
    assert cookie_of(dns.message.from_wire(exchange(server, header("192.0.2.7", command=0) + packet))) != through
    assert len(data(udp(server, "svc1.net"))) == 3, "without a header it speaks for itself"


def test_headers_of_others_are_nonsense(server: DnsServer) -> None:
    packet = header("192.0.2.7") + query(MINE).to_wire()
    assert dns.rcode.from_flags(struct.unpack("!H", exchange(server, packet)[2:4])[0], 0) == dns.rcode.NOTIMP
    with tcp_socket(server) as sock:
        sock.sendall(header("192.0.2.7", protocol=1) + framed(packet))
        sock.shutdown(socket.SHUT_WR)
        assert closed(sock)


def test_a_connections_header_may_come_octet_by_octet(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file, proxies=("127.0.0.0/8",)))
    with tcp_socket(server) as sock:
        for octet in header("2001:db8::7", protocol=1) + framed(query(MINE).to_wire()):
            sock.sendall(bytes((octet,)))
        through = cookie_of(dns.message.from_wire(read_frame(sock)))
        sock.sendall(framed(query(through).to_wire()))
        assert cookie_of(dns.message.from_wire(read_frame(sock))) == through
    assert cookie_of(tcp(server, "svc1.net", use_edns=0, options=[option(COOKIE, through)])) != through


def test_a_broken_header_ends_the_connection(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file, proxies=("127.0.0.1",)))
    for broken in (SIGNATURE + b"\x11\x11\0\0", SIGNATURE + b"\x21\x11\0\0"):
        with tcp_socket(server) as sock:
            sock.sendall(broken)
            assert closed(sock)
    assert len(data(tcp(server, "svc1.net"))) == 3


def test_connections_are_counted_for_the_client_and_not_for_the_proxy(serve: Serve, zone_file: Path) -> None:
    limits = DnsLimits(tcp_per_address=2)
    server = serve(settings(zone_file, proxies=("127.0.0.1",), limits=limits))
    asked = framed(query(MINE).to_wire())
    with tcp_socket(server) as a, tcp_socket(server) as b, tcp_socket(server) as c, tcp_socket(server) as d:
        for sock, client in ((a, "192.0.2.1"), (b, "192.0.2.1"), (c, "192.0.2.2"), (d, "192.0.2.1")):
            sock.sendall(header(client, protocol=1) + asked)
            read_frame(sock)
        assert closed(a)
        for sock in (b, c, d):
            sock.sendall(asked)
            read_frame(sock)
