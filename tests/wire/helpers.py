"""What the wire tests share: the example zone, settings and tables, and clients built on dnspython."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.query
import pytest

from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings, Zone
from dnsserver.server import DnsServer

TIMEOUT = 20.0

EXAMPLE_ZONE = """\
$TTL 300
@        SOA   ns1 hostmaster 1 7200 900 86400 60
@        NS    ns1
@        NS    ns2.elsewhere.test.
ns1      A     192.0.2.53
@        MX    10 mail
mail     A     192.0.2.25
www      CNAME app
out      CNAME somewhere.else.test.
loop1    CNAME loop2
loop2    CNAME loop1
gone     CNAME nothing.here
hop0     CNAME hop1
hop1     CNAME svc1.net.
*.wild   TXT   "from the wildcard"
*.wild   A     192.0.2.77
real.wild TXT  "from the name itself"
a.b.ent  A     192.0.2.66
sub      NS    ns.sub
sub      NS    ns.sibling
sub      DS    1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.sub   A     192.0.2.90
sibling  NS    ns.sibling
ns.sibling AAAA 2001:db8::91
old      DNAME new
x.new    A     192.0.2.88
s        DNAME a-target-that-is-much-longer.than-its-owner
web      HTTPS 1 . alpn=h2
caa      CAA   0 issue "ca.test"
odd      TYPE65280 \\# 2 abcd
""" + "".join(f'big TXT "{number:03} {"x" * 240}"\n' for number in range(250))


def settings(zone_file: Path, **dns_keys: Any) -> Settings:
    """Zone ``example.test.`` with the app ``app.example.test.``, and the app ``svc1.net.`` in no zone."""
    listen = dns_keys.pop("listen", ("127.0.0.1:0",))
    return Settings(
        dns=Dns(listen=listen, **dns_keys),
        zone=(Zone(name="example.test.", file=str(zone_file)),),
        app=(
            App(domain="app.example.test.", clusters=("a", "b")),
            App(domain="svc1.net.", clusters=("a", "b", "c")),
        ),
    )


def table(serial: int = 7, **svc1: Any) -> RecordTable:
    three = tuple(Record(name, (f"198.51.100.{number}", f"2001:db8::{number}")) for number, name in enumerate("abc", 1))
    return RecordTable(
        serial,
        {
            "app.example.test.": AppRecords("app.example.test.", 5, (Record("a", ("198.51.100.9",)),)),
            "svc1.net.": AppRecords("svc1.net.", 5, svc1.pop("records", three), **svc1),
        },
    )


def udp(server: DnsServer, name: str, qtype: str = "A", **keys: Any) -> dns.message.Message:
    query = dns.message.make_query(name, qtype, **keys)
    return dns.query.udp(query, server.addresses[0][0], port=server.addresses[0][1], timeout=TIMEOUT)


def tcp(server: DnsServer, name: str, qtype: str = "A", **keys: Any) -> dns.message.Message:
    query = dns.message.make_query(name, qtype, **keys)
    return dns.query.tcp(query, server.addresses[0][0], port=server.addresses[0][1], timeout=TIMEOUT)


def lines(section: list[Any]) -> list[str]:
    return [line for rrset in section for line in rrset.to_text().splitlines()]


def data(message: dns.message.Message) -> list[str]:
    return [rdata.to_text() for rrset in message.answer for rdata in rrset]


def authoritative(message: dns.message.Message) -> bool:
    return bool(message.flags & dns.flags.AA)


@contextmanager
def udp_socket(server: DnsServer) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(server.addresses[0])
        yield sock


def exchange(server: DnsServer, packet: bytes) -> bytes:
    with udp_socket(server) as sock:
        sock.send(packet)
        return sock.recv(65535)


@contextmanager
def tcp_socket(server: DnsServer, receive_buffer: int = 0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(TIMEOUT)
        sock.connect(server.addresses[0])
        yield sock


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2) + packet


def read_frame(sock: socket.socket) -> bytes:
    """One message; ``EOFError`` when the server has closed."""
    return _exactly(sock, int.from_bytes(_exactly(sock, 2)))


def closed(sock: socket.socket) -> bool:
    """Whether the server closes, having said nothing more."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def _exactly(sock: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        more = sock.recv(size - len(read))
        if not more:
            raise EOFError
        read += more
    return read


def option(code: int, value: bytes) -> dns.edns.Option:
    return dns.edns.GenericOption(dns.edns.OptionType.make(code), value)


def eventually(condition: Callable[[], bool], seconds: float = TIMEOUT) -> None:
    """Waits for what another thread is about to do; fails after a generous deadline."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def dig(server: DnsServer, *arguments: str) -> str:
    if not shutil.which("dig"):
        reason = "dig is not installed (Debian: bind9-dnsutils)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    address, port = server.addresses[0]
    command = ["dig", f"@{address}", "-p", str(port), "+tries=1", "+timeout=10", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
