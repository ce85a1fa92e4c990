"""DNS over TCP (RFC 7766) and its limits."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

import dns.message
import pytest

from core.settings import DnsLimits
from dnsserver.server import DnsServer
from tests.wire.conftest import Serve
from tests.wire.helpers import TIMEOUT, closed, data, eventually, framed, read_frame, settings, tcp, tcp_socket, udp

pytestmark = pytest.mark.live

QUERY = dns.message.make_query("svc1.net", "A", id=1).to_wire()


def limited(serve: Serve, zone_file: Path, **limits: float) -> DnsServer:
    return serve(settings(zone_file, limits=DnsLimits(**limits)))


def test_pipelined_queries_are_all_answered_in_order(server: DnsServer) -> None:
    with tcp_socket(server) as sock:
        sock.sendall(b"".join(framed(struct.pack("!H", ident) + QUERY[2:]) for ident in range(500)))
        for ident in range(500):
            assert read_frame(sock)[:2] == struct.pack("!H", ident)


def test_a_query_that_comes_octet_by_octet_is_answered(server: DnsServer) -> None:
    with tcp_socket(server) as sock:
        for octet in framed(QUERY):
            sock.sendall(bytes((octet,)))
        assert len(data(dns.message.from_wire(read_frame(sock)))) == 3


def test_what_was_asked_before_the_client_closed_its_side_is_answered(server: DnsServer) -> None:
    with tcp_socket(server) as sock:
        sock.sendall(framed(QUERY) * 300)
        sock.shutdown(1)
        for _ in range(300):
            read_frame(sock)
        assert closed(sock)


@pytest.mark.parametrize("garbage", [b"\x00\x00", b"\x00\x05hello", framed(b"\x00\x01\x80\x00" + bytes(8))])
def test_who_does_not_speak_dns_is_disconnected(server: DnsServer, garbage: bytes) -> None:
    with tcp_socket(server) as sock:
        sock.sendall(garbage)
        assert closed(sock)
    assert data(udp(server, "mail.example.test")) == ["192.0.2.25"]


def test_an_idle_connection_is_closed(serve: Serve, zone_file: Path) -> None:
    server = limited(serve, zone_file, tcp_idle=1.5)
    with tcp_socket(server) as sock:
        sock.sendall(framed(QUERY))
        read_frame(sock)
        assert closed(sock)
    eventually(lambda: server.stats().tcp_connections == 0)


def test_dribbling_octets_is_idling(serve: Serve, zone_file: Path) -> None:
    server = limited(serve, zone_file, tcp_idle=0.5)
    with tcp_socket(server) as sock, pytest.raises(ConnectionError):
        for octet in framed(QUERY + bytes(200)):
            sock.sendall(bytes((octet,)))
            time.sleep(0.1)


def test_a_connection_does_not_live_forever(serve: Serve, zone_file: Path) -> None:
    server = limited(serve, zone_file, tcp_total=0.5)
    until = time.monotonic() + TIMEOUT
    with tcp_socket(server) as sock, pytest.raises((EOFError, ConnectionError)):
        while time.monotonic() < until:
            sock.sendall(framed(QUERY))
            read_frame(sock)


def test_a_new_connection_over_the_limit_closes_the_longest_idle(serve: Serve, zone_file: Path) -> None:
    server = limited(serve, zone_file, tcp_connections=3)
    with tcp_socket(server) as a, tcp_socket(server) as b, tcp_socket(server) as c:
        for sock in (a, b, c, a):  # b is idle for longest
            sock.sendall(framed(QUERY))
            read_frame(sock)
        with tcp_socket(server) as d:
            d.sendall(framed(QUERY))
            read_frame(d)
            assert closed(b)
            for sock in (a, c, d):
                sock.sendall(framed(QUERY))
                read_frame(sock)
            assert server.stats().tcp_connections == 3


def test_one_address_cannot_take_the_connections_of_others(serve: Serve, zone_file: Path) -> None:
    server = limited(serve, zone_file, tcp_connections=10, tcp_per_address=2)
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.settimeout(TIMEOUT)
        other.connect(server.addresses[0])
        with tcp_socket(server) as a, tcp_socket(server) as b, tcp_socket(server) as c:
            for sock in (b, c, other):
                sock.sendall(framed(QUERY))
                read_frame(sock)
            assert closed(a)
        assert server.stats().tcp_connections <= 3


def test_a_slow_reader_is_not_read_from_and_delays_nobody(server: DnsServer) -> None:
    big = framed(dns.message.make_query("big.example.test", "TXT").to_wire())
    with tcp_socket(server, receive_buffer=4096) as slow:
        slow.sendall(big * 300)
        for _ in range(20):
            assert len(data(udp(server, "svc1.net"))) == 3
            assert len(data(tcp(server, "svc1.net"))) == 3
        assert server.stats().queries < 300
        for _ in range(300):
            assert len(read_frame(slow)) > 32768


def test_the_server_survives_clients_that_reset(server: DnsServer) -> None:
    for _ in range(50):
        with tcp_socket(server) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(framed(QUERY) * 20)
    assert len(data(tcp(server, "svc1.net"))) == 3
