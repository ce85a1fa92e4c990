"""Answers that were built, ready to be sent again: the query path is one look-up and one concatenation (decision 6).

Called by the wire thread alone, for one record table: a new table means a new cache. The key is the question in lower
case with the header flags and the OPT as they came; the client's id and its own spelling of the name are put into the
built message, whose compression pointers lead to the question, so that lengths never differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import dns.rcode

from dnsserver import message, tsig
from dnsserver.message import Refusal
from dnsserver.respond import Responder, Response
from dnsserver.spread import Spread
from dnsserver.stats import Counters

_PLAIN_OCTETS = 16
"""Root label, type, class and an OPT without options: what follows the name in an ordinary query."""
_OPT_HEAD = b"\x00\x00\x29"
_NSID_ASKED = b"\x00\x04\x00\x03\x00\x00"
_NO_OPTIONS = b"\x00\x00"
_LARGEST_KEPT = 4096
_LONGEST_KEY = 512
_TRUNCATED = message.TC >> 8

_Body: TypeAlias = tuple[bytes, bytes, int]
"""What follows the id, what follows the name, and the slot in which it is counted."""


class _Entry:
    """The answers to one question that have been built, by variant; ``turn`` is the next one's."""

    __slots__ = ("bodies", "end", "spread", "turn")

    def __init__(self, response: Response, turn: int) -> None:
        self.end = response.end
        self.spread: Spread | None = response.spread
        self.bodies: list[_Body | None] = [None] * (response.spread.variants if response.spread else 1)
        self.turn = turn


class AnswerCache:
    """Answers packets from built answers, at most ``limit`` of them, in two generations: when the young one is full it
    becomes the old one, so that a flood of random names pushes out others of its kind and not what is asked often.
    What is large is built each time.

    ``turns`` goes on from cache to cache, so that the first answer after a new table is not always the same.
    """

    __slots__ = ("_counters", "_counts", "_held", "_keyring", "_limit", "_old", "_responder", "_turns", "_young")

    def __init__(
        self,
        responder: Responder,
        limit: int,
        counters: Counters,
        turns: Iterator[int],
        keyring: tsig.Keyring = tsig.NO_KEYS,
    ) -> None:
        self._responder = responder
        self._keyring = keyring
        self._limit = limit // 2
        self._counters = counters
        self._counts = counters.answers
        self._turns = turns
        self._young: dict[bytes, _Entry] = {}
        self._old: dict[bytes, _Entry] = {}
        self._held = 0

    def answer(self, packet: bytes) -> bytes | None:
        """The message to send, or None for silence. Never raises: what goes wrong is answered SERVFAIL and counted."""
        name_end = packet.find(0, 12)
        rest = packet[name_end:]
        if len(rest) > _PLAIN_OCTETS:
            rest = _without_options(packet, name_end)
        # Lower-casing stops at the first zero octet, the end of any sane name. Length octets are below "A", so that
        # equal keys have equal structure whatever the labels hold.
        key = packet[2:12] + packet[12:name_end].lower() + rest
        entry = self._young.get(key)
        if entry is None:
            return self._miss(packet, key)
        turn = entry.turn
        entry.turn = turn + 1
        body = entry.bodies[0 if entry.spread is None else entry.spread.variant(turn)]
        if body is None:
            return self._build(packet, key, entry, turn)
        head, tail, slot = body
        self._counts[slot] += 1
        return packet[:2] + head + packet[12 : entry.end] + tail

    def _miss(self, packet: bytes, key: bytes) -> bytes | None:
        if not message.is_query(packet):
            self._counters.dropped += 1
            return None
        if tsig.is_signed(packet) and (reply := self._signed(packet)):
            return reply
        turn = next(self._turns)
        if entry := self._old.pop(key, None):
            self._keep(key, entry, sum(body is not None for body in entry.bodies))
            entry.turn = turn
            return self.answer(packet)
        return self._build(packet, key, None, turn)

    def _signed(self, packet: bytes) -> bytes | None:
        """What a secondary asks, as a rule: the SOA (RFC 8945 section 5.3). None where there is no signature after all."""
        try:
            parts = tsig.take_apart(packet)
            if not parts.tsig:
                return None
            plain, session = self._keyring.open(packet, parts)
            end = message.read(plain).end + 4
        except tsig.Rejected as rejected:
            self._counts[dns.rcode.NOTAUTH << 1] += 1
            return rejected.reply
        except Refusal as refusal:
            self._counts[refusal.rcode << 1] += 1
            return message.refuse(packet, refusal.rcode)
        reply = self.answer(plain) or message.refuse(plain, dns.rcode.SERVFAIL)
        if len(reply) + session.octets > self._responder.limit(parts.opt):
            reply = message.truncated(reply, end)
        return session.sign(reply)

    def _build(self, packet: bytes, key: bytes, entry: _Entry | None, turn: int) -> bytes:
        try:
            response = self._responder.respond(packet, turn)
        except Refusal as refusal:
            rcode = refusal.rcode
        except Exception:
            rcode = int(dns.rcode.SERVFAIL)
        else:
            if entry is None:
                entry = _Entry(response, turn + 1)
            head, tail, slot = _body(response)
            if len(response.message) <= _LARGEST_KEPT and len(key) <= _LONGEST_KEY:
                entry.bodies[response.variant] = head, tail, slot
                self._keep(key, entry, 1)
            self._counts[slot] += 1
            return packet[:2] + head + packet[12 : response.end] + tail
        self._counts[rcode << 1] += 1
        return message.refuse(packet, rcode)

    def _keep(self, key: bytes, entry: _Entry, built: int) -> None:
        if self._held + built > self._limit:
            self._old, self._young, self._held = self._young, {}, 0
        self._young[key] = entry
        self._held += built


def _body(response: Response) -> _Body:
    head, tail = response.message[2 : message.HEADER_OCTETS], response.message[response.end :]
    return head, tail, response.rcode << 1 | bool(head[0] & _TRUNCATED)


def _without_options(packet: bytes, name_end: int) -> bytes:
    """What follows the name, with all options left out but the question for the NSID, the one that changes an answer.

    A client's cookie would else make a key of its own. What is not a sane OPT is left as it is.
    """
    at = message.HEADER_OCTETS
    while at < name_end:
        at += packet[at] + 1
    rest = packet[name_end:]
    if at != name_end or rest[5:8] != _OPT_HEAD or len(rest) != _PLAIN_OCTETS + int.from_bytes(rest[14:16]):
        return rest
    codes = message.option_codes(rest[_PLAIN_OCTETS:])
    if codes is None:
        return rest
    return rest[:14] + (_NSID_ASKED if message.NSID in codes else _NO_OPTIONS)
