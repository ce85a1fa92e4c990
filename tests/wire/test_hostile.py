"""100,000 malformed, truncated, mutated and random packets: each is answered or silenced as the rules say."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import dns.message
import pytest

from dnsserver.server import DnsServer
from tests.wire.helpers import data, framed, option, tcp, tcp_socket, udp, udp_socket

pytestmark = [pytest.mark.live, pytest.mark.slow]

UDP_PACKETS = 80_000
TCP_PACKETS = 20_000
BATCH = 40
SENTINEL = 0xFFFF
NAMES = (
    "svc1.net",
    "www.example.test",
    "a.b.wild.example.test",
    "x.old.example.test",
    "sub.example.test",
    "nx.svc1.net",
)


def sane(generator: random.Random) -> bytearray:
    options = [option(generator.choice((3, 10, 8)), generator.randbytes(generator.randrange(20)))]
    query = dns.message.make_query(
        generator.choice(NAMES),
        generator.choice(("A", "AAAA", "ANY", "TXT", "NS", "DS", "SOA", "CNAME", "AXFR", "TYPE250")),
        use_edns=generator.choice((-1, 0, 1)),
        payload=generator.randrange(65536),
        options=options,
    )
    return bytearray(query.to_wire())


def hostile(seed: int, count: int) -> Iterator[bytes]:
    generator = random.Random(seed)
    models = [sane(generator) for _ in range(500)]
    for _ in range(count):
        packet = bytearray(generator.choice(models))
        match generator.randrange(6):
            case 0:
                packet = bytearray(generator.randbytes(generator.randrange(80)))
            case 1:
                del packet[generator.randrange(len(packet)) :]
            case 2:
                for _ in range(generator.randint(1, 8)):
                    packet[generator.randrange(len(packet))] = generator.randrange(256)
            case 3:
                packet[generator.randrange(len(packet))] ^= 1 << generator.randrange(8)
            case 4:
                at = generator.randrange(12, len(packet))
                packet[at:at] = generator.choice((b"\xc0\x0c", b"\xc0\xff", b"\x3f", b"\x00", generator.randbytes(300)))
            case _:  # a sane header before nonsense
                packet[12:] = generator.randbytes(generator.randrange(64))
        if packet[:2] == SENTINEL.to_bytes(2):
            packet[0] = 0
        yield bytes(packet)


def must_be_answered(packet: bytes) -> bool:
    return len(packet) >= 12 and not packet[2] & 0x80


def well(server: DnsServer, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing was written, nothing went wrong inside (SERVFAIL), and the answers are right."""
    assert len(data(udp(server, "svc1.net"))) == 3
    assert len(data(tcp(server, "svc1.net"))) == 3
    assert "SERVFAIL" not in dict(server.stats().by_rcode)
    assert capfd.readouterr() == ("", "")


def test_udp_answers_each_query_once_whatever_it_holds(server: DnsServer, capfd: pytest.CaptureFixture[str]) -> None:
    sentinel = dns.message.make_query("mail.example.test", "A", id=SENTINEL).to_wire()
    packets = hostile(1, UDP_PACKETS)
    with udp_socket(server) as sock:
        for _ in range(UDP_PACKETS // BATCH):
            expected = []
            for packet in (next(packets) for _ in range(BATCH)):
                sock.send(packet)
                if must_be_answered(packet):
                    expected.append(packet[:2])
            sock.send(sentinel)
            answered = []
            while (answer := sock.recv(4096))[:2] != sentinel[:2]:
                assert answer[2] & 0x80
                assert len(answer) <= 1232
                answered.append(answer[:2])
            assert answered == expected
            assert answer[-4:] == b"\xc0\x00\x02\x19"
    well(server, capfd)


def test_tcp_answers_or_disconnects(server: DnsServer, capfd: pytest.CaptureFixture[str]) -> None:
    generator = random.Random(2)
    packets = hostile(3, TCP_PACKETS)
    for _ in range(TCP_PACKETS // BATCH):
        batch = [next(packets) for _ in range(BATCH)]
        sane_framing = generator.random() < 0.8
        stream = b"".join(framed(p) if sane_framing else generator.randbytes(2) + p for p in batch)
        until = next((number for number, p in enumerate(batch) if not must_be_answered(p)), BATCH)
        with tcp_socket(server) as sock:
            answered = _answers(sock, stream)
        if sane_framing:  # a packet that gets silence ends the connection, and with a reset what was under way is lost
            assert answered <= until
            assert answered == BATCH or until < BATCH
    well(server, capfd)


def _answers(sock: socket.socket, stream: bytes) -> int:
    """How many whole answers come back until the server closes."""
    read = b""
    try:
        sock.sendall(stream)
        sock.shutdown(socket.SHUT_WR)
        while more := sock.recv(65536):
            read += more
    except ConnectionError:
        pass
    count = at = 0
    while at + 2 <= len(read) and at + 2 + int.from_bytes(read[at : at + 2]) <= len(read):
        at += 2 + int.from_bytes(read[at : at + 2])
        count += 1
    return count
