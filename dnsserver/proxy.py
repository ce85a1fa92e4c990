"""The PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt section 2.2): whom a proxy in front of us speaks for. Pure.

Read only from the addresses in ``dns.proxies``. Called by :mod:`dnsserver.guard` and :mod:`dnsserver.tcp`.
"""

from __future__ import annotations

from struct import Struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD = Struct("!12sBBH")
_VERSION, _LOCAL, _PROXY = 0x20, 0, 1
_OCTETS = {0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16}
"""Of an address, by family and protocol: TCP and UDP over IPv4 and IPv6."""
_PORTS = 4


def begins(data: bytes | bytearray) -> bool:
    """Whether it is, or can become, a header."""
    return data[: len(SIGNATURE)] == SIGNATURE[: len(data)]


def take(data: bytes | bytearray) -> tuple[bytes, int] | None:
    """The client's address, empty where the proxy speaks for itself, and the length of the header. None while octets are
    missing. Raises ValueError where it can never be one."""
    if not begins(data):
        raise ValueError("no PROXY header")
    if len(data) < _HEAD.size:
        return None
    _, command, family, length = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    if command & 0xF0 != _VERSION or command & 0x0F not in (_LOCAL, _PROXY):
        raise ValueError("another version of the PROXY protocol")
    octets = _OCTETS.get(family, 0) if command & 0x0F == _PROXY else 0
    if octets and length < 2 * octets + _PORTS:
        raise ValueError("a PROXY header without its addresses")
    return (bytes(data[_HEAD.size : _HEAD.size + octets]), end) if len(data) >= end else None
