"""What stands between what comes in and what is answered: PROXY headers, cookies, and the limit on responses.

Called by the wire thread, with what is answered as a function. Cookies are told to who builds the answers; the rest works on
packets and replies as they are: what is not set costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from typing import Protocol

import dns.rcode

from core.settings import Dns
from dnsserver import message, proxy
from dnsserver.cache import Echo
from dnsserver.cookies import Cookies
from dnsserver.edns import cookie_of, head, opt_at, question_end, with_option
from dnsserver.message import HEADER_OCTETS
from dnsserver.ratelimit import Fate, Limiter
from dnsserver.stats import Counters


class Answers(Protocol):
    """As :meth:`dnsserver.cache.AnswerCache.answers`."""

    def __call__(self, packets: Sequence[bytes], echo: Echo | None = None) -> list[bytes | None]: ...


class Guard:
    """Made anew from the settings, never with a new table: what it counts and knows goes on. ``secrets`` are those of the
    cookies, for the guards of other processes that answer at the same addresses."""

    def __init__(self, settings: Dns, secrets: Sequence[bytes], counters: Counters) -> None:
        self.secrets = tuple(secrets)
        self._cookies = Cookies(secrets) if settings.cookies else None
        self._limiter = Limiter(settings.rate_limit, time.monotonic) if settings.rate_limit.per_second else None
        self._proxies = tuple(ip_network(text, strict=False) for text in settings.proxies)
        self._payload = settings.limits.udp_payload
        self._counters = counters

    def is_proxy(self, address: str) -> bool:
        return bool(self._proxies) and any(ip_address(address) in network for network in self._proxies)

    def datagrams(self, packets: list[bytes], peer: Callable[[int], bytes], answers: Answers) -> list[bytes | None]:
        """What is sent for each packet. ``peer`` gives the sender's address, 4 or 16 octets, of the packet at a place."""
        if self._proxies:
            clients = [peer(place) for place in range(len(packets))]
            self._unwrap(packets, clients)
            peer = clients.__getitem__
        trusted: set[int] = set()
        replies = answers(packets, self._cookies.echo(peer, trusted) if self._cookies else None)
        if self._limiter:
            for i, reply in enumerate(replies):
                if reply is not None and i not in trusted:
                    replies[i] = self._limited(self._limiter, packets[i], reply, peer(i))
        return replies

    def stream(self, query: bytes, reply: bytes, client: str) -> bytes:
        """What is sent over a connection, which nobody can forge."""
        if self._cookies is None or not (shown := cookie_of(query)):
            return reply
        options, _ = self._cookies.answer(shown, ip_address(client).packed)
        return with_option(query, reply, options[2:], message.STREAM_OCTETS) if options else reply

    def _limited(self, limiter: Limiter, packet: bytes, reply: bytes, client: bytes) -> bytes | None:
        fate = limiter.fate(client, reply)
        if fate is Fate.SEND:
            return reply
        self._counters.limited += 1
        return _empty(packet, reply) if fate is Fate.SLIP else None

    def _unwrap(self, packets: list[bytes], clients: list[bytes]) -> None:
        """Takes the headers of proxies off; what is none of theirs, or broken, is left and answered as what it is."""
        for i, packet in enumerate(packets):
            if packet.startswith(proxy.SIGNATURE) and self.is_proxy(str(ip_address(clients[i]))):
                try:
                    taken = proxy.take(packet)
                except ValueError:
                    continue
                if taken:
                    clients[i] = taken[0] or clients[i]
                    packets[i] = packet[taken[1] :]


NO_GUARD = Guard(Dns(cookies=False), (), Counters())


def _empty(packet: bytes, reply: bytes) -> bytes:
    """What says "ask over TCP", or to who has cookies "with this one" (RFC 7873 section 5.2.3): question and OPT alone."""
    if len(reply) == HEADER_OCTETS:
        return reply
    at = opt_at(reply)
    opt = bytearray(reply[at:] if at >= 0 else b"")
    bad_cookie = bool(opt) and bool(cookie_of(packet))
    empty = bytearray(head(reply, 0 if bad_cookie else message.TC, additionals=bool(opt)))
    if bad_cookie:
        empty[3] = empty[3] & 0xF0 | dns.rcode.BADCOOKIE & 15
        opt[5] = dns.rcode.BADCOOKIE >> 4
    return bytes(empty) + packet[HEADER_OCTETS : question_end(packet)] + bytes(opt)
