"""Response rate limiting: forged queries must not make this server flood who did not ask. Pure but for its counts.

Answers of one kind to one network are counted within each second. Who is over the limit gets every ``slip``-th time an
empty answer that says "ask over TCP", which a real client can and a victim of forgery does not, and else nothing.
Called by :mod:`dnsserver.guard`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from ipaddress import ip_address, ip_network

import dns.rcode

from core.settings import RateLimit

_MOST_COUNTED = 100_000
"""Networks and kinds in one second; more come from forged senders of every network, and none of them is flooded."""


class Fate(Enum):
    SEND, SLIP, DROP = range(3)


class Limiter:
    """``clock`` gives seconds, monotonic. For one thread."""

    def __init__(self, settings: RateLimit, clock: Callable[[], float]) -> None:
        self._most, self._slip = settings.per_second, settings.slip
        self._exempt = tuple(ip_network(text, strict=False) for text in settings.exempt)
        self._keep = {4: _mask(settings.ipv4_prefix, 4), 16: _mask(settings.ipv6_prefix, 16)}
        self._clock = clock
        self._second = -1
        self._counts: dict[tuple[int, int], int] = {}

    def fate(self, client: bytes, reply: bytes) -> Fate:
        """What becomes of a reply to the address in ``client``, 4 or 16 octets."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._counts = second, {}
        key = int.from_bytes(client) & self._keep[len(client)], _kind(reply)
        count = self._counts.get(key, 0) + 1
        if count > 1 or len(self._counts) < _MOST_COUNTED:
            self._counts[key] = count
        if count <= self._most or (self._exempt and self._is_exempt(client)):
            return Fate.SEND
        return Fate.SLIP if self._slip and not (count - self._most) % self._slip else Fate.DROP

    def _is_exempt(self, client: bytes) -> bool:
        address = ip_address(client)
        return any(address in network for network in self._exempt)


def _kind(reply: bytes) -> int:
    """Answers, what is empty or leads on, names that do not exist, and errors are counted apart: a flood of one does
    not silence the others."""
    rcode = reply[3] & 15
    if rcode == dns.rcode.NOERROR:
        return 0 if reply[6:8] != b"\0\0" else 1
    return 2 if rcode == dns.rcode.NXDOMAIN else 3


def _mask(prefix: int, octets: int) -> int:
    return (1 << prefix) - 1 << 8 * octets - prefix
