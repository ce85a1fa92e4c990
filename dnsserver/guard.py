"""What stands between what comes in and what is answered: PROXY headers, cookies, and the limit on responses.

Called by the wire thread, with what is answered as a function. It works on packets and replies as they are, behind the
cache of built answers: a query without a cookie pays for one look at its end, and for nothing else that is not set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from ipaddress import ip_address, ip_network
from struct import Struct
from typing import TypeAlias, cast

import dns.rcode

from core.settings import Dns
from dnsserver import message, proxy
from dnsserver.cookies import Cookies
from dnsserver.message import HEADER, HEADER_OCTETS
from dnsserver.ratelimit import Fate, Limiter
from dnsserver.stats import Counters

Answers: TypeAlias = Callable[[list[bytes]], list[bytes | None]]

_MARK = b"\0\x0a\0"
_OPTION = Struct("!HH")
_OPT_OCTETS = 11
_OPT_HEAD = b"\0\0\x29"
_BARE, _WHOLE = b"\0\x0c\0\x0a\0\x08", b"\0\x1c\0\x0a\0\x18"
"""Length of the options, code and length of a cookie that is the only one: a client's, and with a server's part."""
_ALWAYS_FITS = 512
_NO_COOKIE = b""


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

    def datagrams(self, packets: list[bytes], peers: Callable[[], list[bytes]], answers: Answers) -> list[bytes | None]:
        """What is sent for each packet. ``peers`` gives the senders' addresses, 4 or 16 octets each."""
        marked = [i for i, packet in enumerate(packets) if _MARK in packet[-48:]] if self._cookies else []
        if not (marked or self._limiter or self._proxies):
            return answers(packets)
        clients = peers()
        if self._proxies:
            self._unwrap(packets, clients)
        replies = answers(packets)
        trusted = self._show(marked, packets, replies, clients) if self._cookies else ()
        if self._limiter:
            for i, reply in enumerate(replies):
                if reply is not None and i not in trusted:
                    replies[i] = self._limited(self._limiter, packets[i], reply, clients[i])
        return replies

    def stream(self, query: bytes, reply: bytes, client: str) -> bytes:
        """What is sent over a connection, which nobody can forge."""
        if self._cookies is None or not (shown := _cookie(query)):
            return reply
        option, _ = self._cookies.answer(shown, ip_address(client).packed)
        return _with_option(query, reply, option, message.STREAM_OCTETS) if option else reply

    def _show(
        self, marked: Sequence[int], packets: Sequence[bytes], replies: list[bytes | None], clients: Sequence[bytes]
    ) -> Container[int]:
        """Puts cookies into the replies to those who showed one; tells whose was good."""
        trusted = set()
        judge = cast(Cookies, self._cookies).answer
        for i in marked:
            reply = replies[i]
            if reply is None or not (shown := _cookie(packets[i])):
                continue
            option, good = judge(shown, clients[i])
            if good:
                trusted.add(i)
            if (
                option
                and reply[-11:-8] == _OPT_HEAD
                and reply[-2:] == b"\0\0"
                and len(reply) <= _ALWAYS_FITS - len(option)
            ):
                replies[i] = reply[:-2] + len(option).to_bytes(2) + option  # as nearly all
            elif option:
                replies[i] = _with_option(packets[i], reply, option, self._payload)
        return trusted

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


def _question_end(packet: bytes) -> int:
    """The offset behind the question of a packet whose reply has one."""
    at = HEADER_OCTETS
    while packet[at]:
        at += packet[at] + 1
    return at + 5


def _cookie(packet: bytes) -> bytes:
    """The cookie of a sane query whose OPT is its last record; empty where there is none. As a rule it is the only option."""
    if packet[-14:-8] == _BARE and packet[-23:-20] == _OPT_HEAD:
        return packet[-8:]
    if packet[-30:-24] == _WHOLE and packet[-39:-36] == _OPT_HEAD:
        return packet[-24:]
    try:
        at = _question_end(packet)
    except IndexError:
        return _NO_COOKIE
    if packet[4:6] != b"\0\x01" or packet[at : at + 3] != _OPT_HEAD:
        return _NO_COOKIE
    at += _OPT_OCTETS
    if len(packet) != at + int.from_bytes(packet[at - 2 : at]):
        return _NO_COOKIE
    while at + 4 <= len(packet):
        code, length = _OPTION.unpack_from(packet, at)
        if code == message.COOKIE and message.is_cookie_length(length):
            return packet[at + 4 : at + 4 + length]
        at += 4 + length
    return _NO_COOKIE


def _opt_at(reply: bytes) -> int:
    """Where the OPT of a reply begins, which is its last record; -1 where there is none."""
    at = len(reply) - _OPT_OCTETS
    while at >= HEADER_OCTETS:
        if reply[at : at + 3] == _OPT_HEAD and at + _OPT_OCTETS + int.from_bytes(reply[at + 9 : at + 11]) == len(reply):
            return at
        at = reply.rfind(_OPT_HEAD, HEADER_OCTETS, at + 2)
    return -1


def _with_option(packet: bytes, reply: bytes, option: bytes, most: int) -> bytes:
    """The reply with one more option in its OPT; over the client's size it is truncated."""
    at = _opt_at(reply)
    if at < 0:  # what could not be read is answered without an OPT
        return reply
    length = len(reply) - at - _OPT_OCTETS + len(option)
    whole = reply[: at + 9] + length.to_bytes(2) + reply[at + _OPT_OCTETS :] + option
    if len(whole) > _ALWAYS_FITS and most < message.STREAM_OCTETS:
        end = _question_end(packet)
        most = min(most, max(_ALWAYS_FITS, int.from_bytes(packet[end + 3 : end + 5])))
    return (
        whole
        if len(whole) <= most
        else _head(whole, message.TC) + packet[HEADER_OCTETS : _question_end(packet)] + whole[at:]
    )


def _empty(packet: bytes, reply: bytes) -> bytes:
    """What says "ask over TCP", or to who has cookies "with this one" (RFC 7873 section 5.2.3): question and OPT alone."""
    if len(reply) == HEADER_OCTETS:
        return reply
    at = _opt_at(reply)
    opt = bytearray(reply[at:] if at >= 0 else b"")
    bad_cookie = bool(opt) and bool(_cookie(packet))
    head = bytearray(_head(reply, 0 if bad_cookie else message.TC, additionals=bool(opt)))
    if bad_cookie:
        head[3] = head[3] & 0xF0 | dns.rcode.BADCOOKIE & 15
        opt[5] = dns.rcode.BADCOOKIE >> 4
    return bytes(head) + packet[HEADER_OCTETS : _question_end(packet)] + bytes(opt)


def _head(reply: bytes, more: int, *, additionals: bool = True) -> bytes:
    ident, flags, *_ = HEADER.unpack_from(reply)
    return HEADER.pack(ident, flags | more, 1, 0, 0, additionals)
