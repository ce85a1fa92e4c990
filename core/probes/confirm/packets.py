"""The confirmation over TCP, ICMP and DNS (spec S11). Called by :mod:`core.probes.confirm`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
from ipaddress import ip_address
from typing import cast

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype

from core.probes.rounds import Answer, NoAnswer, Target, judge_error

_WORDS = 16  # a server may speak first; one that goes on for ever is not read for ever
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def _connected(address: str, port: int, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
    """A connected socket to an IP address."""
    sock = socket.socket(_family(address), kind, protocol)
    try:
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        else:  # sends nothing and takes no time; asyncio would look the address up, which fails for ICMP
            sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


class TcpTarget(Target):
    """Well when the router accepts a connection. It is held until the next question, so that its end makes one."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._socket: socket.socket | None = None

    @property
    def held(self) -> bool:
        return self._socket is not None

    async def ask(self) -> Answer:
        try:
            sock = await _connected(self._host, self._port, socket.SOCK_STREAM)
        except OSError as error:
            self.close()
            return judge_error(error)
        self.close()
        self._socket = sock
        return Answer(True, "connection accepted")

    async def until_lost(self) -> None:
        with contextlib.suppress(OSError):
            for _ in range(_WORDS if self._socket else 0):
                if not await asyncio.get_running_loop().sock_recv(cast(socket.socket, self._socket), 4096):
                    return
            await super().until_lost()

    def close(self) -> None:
        if self._socket:
            # Ten connections a second to each router would leave thousands in TIME-WAIT (RFC 9293 section 3.6.1).
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._socket.close()
            self._socket = None


class DnsTarget(Target):
    """Well when the router's DNS answers ``name`` with NOERROR and, where ``expect`` is an address, with that.

    Raises dns.exception.DNSException when ``name`` is none."""

    def __init__(self, host: str, port: int, name: str, expect: str) -> None:
        self._host, self._port = host, port
        try:
            self._expect = str(ip_address(expect))
        except ValueError:
            self._expect = ""
        self._query = dns.message.make_query(name, "AAAA" if ":" in self._expect else "A")

    async def ask(self) -> Answer:
        self._query.id = secrets.randbelow(65536)
        loop = asyncio.get_running_loop()
        try:
            # A new socket each time: its port is a part of what a forger would have to guess (RFC 5452 section 4.5).
            with await _connected(self._host, self._port, socket.SOCK_DGRAM) as sock:
                await loop.sock_sendall(sock, self._query.to_wire())
                while True:
                    data = await loop.sock_recv(sock, 4096)
                    with contextlib.suppress(dns.exception.DNSException, ValueError):
                        reply = dns.message.from_wire(data, raise_on_truncation=False, ignore_trailing=True)
                        if self._query.is_response(reply):
                            return self._judge(reply)
        except OSError as error:
            return judge_error(error)

    def _judge(self, reply: dns.message.Message) -> Answer:
        rcode = dns.rcode.to_text(reply.rcode())
        if reply.rcode() != dns.rcode.NOERROR:
            return Answer(False, f"answered {rcode}")
        addresses = [
            rdata.to_text()
            for rrset in reply.answer
            if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
            for rdata in rrset
        ]
        if self._expect and self._expect not in addresses:
            return Answer(False, f"answered {', '.join(addresses[:5]) or 'no address'}, not {self._expect}")
        return Answer(True, f"answered {rcode}")

    def close(self) -> None:
        pass


class IcmpTarget(Target):
    """Well when the router answers an echo request (RFC 792, RFC 4443 section 4). An answer is the only evidence:
    errors along the way come from others."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._socket: socket.socket | None = None
        self._raw = False
        self._sequence = 0

    async def ask(self) -> Answer:
        try:
            return await self._echo()
        except OSError as error:
            self.close()
            raise NoAnswer(error.strerror or str(error)) from error

    async def _echo(self) -> Answer:
        loop = asyncio.get_running_loop()
        sock = self._socket = self._socket or await self._open()
        version = 6 if sock.family == socket.AF_INET6 else 4
        self._sequence = (self._sequence + 1) % 65536
        token = secrets.token_bytes(16)
        request = echo_request(version, self._sequence, token)
        await loop.sock_sendall(sock, request)
        while True:
            data = await loop.sock_recv(sock, 1024)
            if self._raw and version == 4:
                data = data[(data[0] & 15) * 4 :] if data else data
            if data[:1] == (b"\x00" if version == 4 else b"\x81") and data[6:] == request[6:]:
                return Answer(True, "echo reply")

    async def _open(self) -> socket.socket:
        protocol = socket.IPPROTO_ICMPV6 if _family(self._host) == socket.AF_INET6 else socket.IPPROTO_ICMP
        for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
            with contextlib.suppress(PermissionError):
                sock = await _connected(self._host, 0, kind, protocol)
                self._raw = kind == socket.SOCK_RAW
                return sock
        raise NoAnswer("not allowed to ping: it needs this group in net.ipv4.ping_group_range, or CAP_NET_RAW")

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


def echo_request(version: int, sequence: int, token: bytes) -> bytes:
    """An echo request with identifier 0 (the kernel sets it on a ping socket); for ICMPv6 the kernel sums it up."""
    kind = 8 if version == 4 else 128
    packet = struct.pack("!BBHHH", kind, 0, 0, 0, sequence) + token
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 0xFFFF)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return struct.pack("!BBHHH", kind, 0, checksum, 0, sequence) + token
