"""Answers that were built, ready to be sent again: the query path is one look-up and one concatenation (decision 6).

Called by the wire thread alone, for one record table: a new table means a new cache. The key is the question in lower
case with the header flags and the OPT as they came; the client's id and its own spelling of the name are put into the
built message, whose compression pointers lead to the question, so that lengths never differ. Names that do not exist
share their answers (:mod:`dnsserver.names`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, repeat
from typing import TypeAlias

import dns.rcode

from dnsserver import message, tsig
from dnsserver.message import Refusal
from dnsserver.names import Names
from dnsserver.respond import Responder, Response
from dnsserver.spread import Spread
from dnsserver.stats import Counters

_PLAIN_OCTETS = 16
"""Root label, type, class and an OPT without options: what follows the name in an ordinary query."""
_OPT_HEAD = b"\x00\x00\x29"
_NSID_ASKED = b"\x00\x04\x00\x03\x00\x00"
_NO_OPTIONS = b"\x00\x00"
_COOKIES = {b"\x00\x0c\x00\x0a\x00\x08": _PLAIN_OCTETS + 12, b"\x00\x1c\x00\x0a\x00\x18": _PLAIN_OCTETS + 28}
"""Length of the options, code and length of a cookie that comes alone, the most frequent option by far, from a client that
has none of ours and from one that has (RFC 7873, RFC 9018)."""
_LONGEST_REST = _PLAIN_OCTETS + 4
"""Of a query with an OPT whose options are left out but for the NSID."""
_LARGEST_KEPT = 4096
_LONGEST_KEY = 512
_TRUNCATED = message.TC >> 8

_Body: TypeAlias = tuple[bytes, bytes, int, int]
"""What follows the id, what follows the name, the slot in which it is counted, and where the name ends."""


class _Unbuilt(Exception):
    """The variant whose turn it is has to be built."""


class _Rotation(Iterator[_Body]):
    """The answers to one question that take turns and are not all built yet; ``turn`` is the next one's."""

    __slots__ = ("_spread", "bodies", "missing", "turn")

    def __init__(self, spread: Spread, turn: int) -> None:
        self._spread = spread
        self.bodies: dict[int, _Body] = {}
        self.missing = spread.variants
        self.turn = turn

    def __next__(self) -> _Body:
        body = self.bodies.get(self._spread.variant(self.turn))
        if body is None:
            raise _Unbuilt
        self.turn += 1
        return body

    def add(self, variant: int, body: _Body) -> Iterator[_Body]:
        """What goes on from here: without a look at what is missing, once nothing is."""
        self.missing -= variant not in self.bodies
        self.bodies[variant] = body
        self.turn += 1
        return self if self.missing or not self._spread.in_order else _Round(self)

    @property
    def held(self) -> int:
        return len(self.bodies)


class _Round(cycle):  # type: ignore[type-arg] # not subscriptable at run time
    """A rotation that is whole: the next answer costs one call in C."""

    def __init__(self, rotation: _Rotation) -> None:
        self.held = rotation.held

    def __new__(cls, rotation: _Rotation) -> _Round:
        bodies, held = rotation.bodies, rotation.held
        return super().__new__(cls, [bodies[(rotation.turn + step) % held] for step in range(held)])


class AnswerCache:
    """Answers packets from built answers, at most ``limit`` of them, in two generations: when the young one is full it
    becomes the old one, so that a flood of questions pushes out others of its kind and not what is asked often.
    What is large is built each time.

    ``turns`` goes on from cache to cache, so that the first answer after a new table is not always the same.
    """

    __slots__ = (
        "_counters",
        "_counts",
        "_held",
        "_keyring",
        "_limit",
        "_names",
        "_old",
        "_responder",
        "_turns",
        "_young",
    )

    def __init__(
        self,
        responder: Responder,
        names: Names,
        limit: int,
        counters: Counters,
        turns: Iterator[int],
        keyring: tsig.Keyring = tsig.NO_KEYS,
    ) -> None:
        self._responder = responder
        self._names = names
        self._keyring = keyring
        self._limit = limit // 2
        self._counters = counters
        self._counts = counters.answers
        self._turns = turns
        self._young: dict[bytes, Iterator[_Body]] = {}
        self._old: dict[bytes, Iterator[_Body]] = {}
        self._held = 0

    def answer(self, packet: bytes) -> bytes | None:
        """As :meth:`answers`."""
        return self.answers((packet,))[0]

    def answers(self, packets: Sequence[bytes]) -> list[bytes | None]:
        """For each packet the message to send, or None for silence. Never raises: what goes wrong is answered SERVFAIL
        and counted. What happens here happens for every query: each line is a few per cent."""
        replies: list[bytes | None] = []
        counts, kept = self._counts, self._young.get
        for packet in packets:
            name_end = packet.find(0, 12)
            rest = packet[name_end:]
            if len(rest) > _PLAIN_OCTETS:
                rest = _without_options(rest)
            # Lower-casing stops at the first zero octet, the end of any sane name. Length octets are below "A", so that
            # equal keys have equal structure whatever the labels hold; of the header it changes, in what is answered
            # from here, the AD bit alone, which no answer depends on.
            key = packet[2:name_end].lower() + rest
            answers = kept(key)
            if answers is not None:
                try:
                    head, tail, slot, end = next(answers)
                except _Unbuilt:
                    pass
                else:
                    counts[slot] += 1
                    replies.append(packet[:2] + head + packet[12:end] + tail)
                    continue
            replies.append(self._miss(packet, key, name_end, rest))
            kept = self._young.get
        return replies

    def _miss(self, packet: bytes, key: bytes, name_end: int, rest: bytes) -> bytes | None:
        if len(packet) < message.HEADER_OCTETS or packet[2] & 0x80:
            self._counters.dropped += 1
            return None
        if len(rest) > _LONGEST_REST and tsig.is_signed(packet) and (reply := self._signed(packet)):
            return reply
        asked = packet
        if name := self._names.stand_in(packet, name_end, rest):
            key = packet[2:12] + name + rest
            answers = self._young.get(key)
            if answers is None:
                asked = packet[:12] + name + packet[name_end:]
        else:
            if not _is_sane(packet, name_end):
                key = packet[2:]
            answers = self._young.get(key)
        if answers is None and (answers := self._old.pop(key, None)):
            self._keep(key, answers, answers.held if isinstance(answers, _Rotation | _Round) else 1)
        try:
            body = next(answers) if answers is not None else self._build(asked, key, None)
        except _Unbuilt:
            body = self._build(asked, key, answers)
        if isinstance(body, int):
            self._counts[body << 1] += 1
            return message.refuse(packet, body)
        head, tail, slot, end = body
        self._counts[slot] += 1
        return packet[:2] + head + packet[12:end] + tail

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

    def _build(self, packet: bytes, key: bytes, answers: Iterator[_Body] | None) -> _Body | int:
        """The rcode alone where there is no message. ``answers`` are those to the same question."""
        rotation = answers if isinstance(answers, _Rotation) else None
        turn = rotation.turn if rotation else next(self._turns)
        try:
            response = self._responder.respond(packet, turn)
        except Refusal as refusal:
            return refusal.rcode
        except Exception:
            return int(dns.rcode.SERVFAIL)
        body = _body(response)
        if len(response.message) > _LARGEST_KEPT or len(key) > _LONGEST_KEY:
            return body
        if response.spread:
            rotation = rotation or _Rotation(response.spread, turn)
            self._keep(key, rotation.add(response.variant, body), 1)
        else:
            self._keep(key, repeat(body), 1)
        return body

    def _keep(self, key: bytes, answers: Iterator[_Body], built: int) -> None:
        if self._held + built > self._limit:
            self._old, self._young, self._held = self._young, {}, 0
        self._young[key] = answers
        self._held += built


def _body(response: Response) -> _Body:
    head, tail = response.message[2 : message.HEADER_OCTETS], response.message[response.end :]
    return head, tail, response.rcode << 1 | bool(head[0] & _TRUNCATED), response.end


def _without_options(rest: bytes) -> bytes:
    """What follows the name, with all options left out but the question for the NSID, the one that changes an answer.

    A client's cookie would else make a key of its own. What is not a sane OPT is left as it is.
    """
    if rest[5:8] != _OPT_HEAD:
        return rest
    if _COOKIES.get(rest[14:20]) == len(rest):
        return rest[:14] + _NO_OPTIONS
    if len(rest) != _PLAIN_OCTETS + int.from_bytes(rest[14:16]):
        return rest
    codes = message.option_codes(rest[_PLAIN_OCTETS:])
    if codes is None:
        return rest
    return rest[:14] + (_NSID_ASKED if message.NSID in codes else _NO_OPTIONS)


def _is_sane(packet: bytes, name_end: int) -> bool:
    """Whether the first zero octet ends the name. Where a label holds it, what follows is not type, class and OPT."""
    at = message.HEADER_OCTETS
    while at < name_end:
        at += packet[at] + 1
    return at == name_end
