"""Answers that were built, ready to be sent again: the query path is one look-up and one concatenation (decision 6).

Called by the wire thread alone, for one record table: a new table means a new cache. The key is the question in lower
case with the header flags and the OPT as they came; the client's id and its own spelling of the name are put into the
built message, whose compression pointers lead to the question, so that lengths never differ. A cookie is no part of the
key: what it is answered with takes the place of the answer's empty options. Names that do not exist share their answers
(:mod:`dnsserver.names`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, repeat
from typing import TypeAlias

import dns.rcode

from dnsserver import message, tsig
from dnsserver.edns import BARE, NO_COOKIE, OPT_HEAD, WHOLE, cookie_of, opt_at, with_option
from dnsserver.message import Refusal
from dnsserver.names import Names
from dnsserver.respond import Responder, Response
from dnsserver.spread import Spread
from dnsserver.stats import Counters

_PLAIN_OCTETS = 15
_ORDINARY = (4, _PLAIN_OCTETS)
"""Type and class, and then an OPT without options: what follows the name in an ordinary query."""
_NSID_ASKED = b"\x00\x04\x00\x03\x00\x00"
_NO_OPTIONS = b"\x00\x00"
_COOKIES = {BARE: _PLAIN_OCTETS + 12, WHOLE: _PLAIN_OCTETS + 28}
_LONGEST_REST = _PLAIN_OCTETS + 4
"""Of a query with an OPT whose options are left out but for the NSID."""
_LARGEST_KEPT = 4096
_LONGEST_QUERY = 512
_TRUNCATED = message.TC >> 8

Echo: TypeAlias = Callable[[int, bytes], bytes]
"""From a packet's place and the cookie that it shows to the options of the answer, their length first; or nothing."""

_ROOM = 512 - 28
"""An answer over this is too long for a cookie to be put in just so."""

_Key: TypeAlias = bytes | tuple[bytes]
"""What is not an ordinary query has a key that no ordinary one can have, whatever it holds."""

_Body: TypeAlias = tuple[bytes, bytes, int, int, bytes]
"""What follows the id, what follows the name, the slot in which it is counted, where the name ends; and what follows the name up to
the length of the options, where a cookie can be put in without a look at the client's size."""


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
        "_heads",
        "_held",
        "_keyring",
        "_limit",
        "_names",
        "_old",
        "_payload",
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
        self._payload = responder.limit(edns=True)
        self._names = names
        self._keyring = keyring
        self._limit = limit // 2
        self._counters = counters
        self._counts = counters.answers
        self._turns = turns
        self._young: dict[_Key, Iterator[_Body]] = {}
        self._old: dict[_Key, Iterator[_Body]] = {}
        self._heads: dict[bytes, bytes] = {}
        self._held = 0

    def answer(self, packet: bytes) -> bytes | None:
        """As :meth:`answers`."""
        return self.answers((packet,))[0]

    def answers(self, packets: Sequence[bytes], echo: Echo | None = None) -> list[bytes | None]:
        """For each packet the message to send, or None for silence; without ``echo`` cookies are left alone. Never raises:
        what goes wrong is answered SERVFAIL and counted. What happens here happens for every query: each line is a per cent.

        A key takes type, class and OPT from the end. That is where they are: only sane queries are kept, and a packet with
        the same key has the same structure (length octets are below "A"), whatever its labels hold. Of the header,
        lower-casing changes, in what is answered from here, the AD bit alone, which no answer depends on.
        """
        replies: list[bytes | None] = []
        counts, kept, stand_in = self._counts, self._young.get, self._names.stand_in
        for packet in packets:
            try:
                lowered = rest = shown = NO_COOKIE
                if not packet[11]:
                    lowered, rest = packet[2:-4].lower(), packet[-4:]
                elif not packet[-1] or not echo:
                    lowered, rest = packet[2:-15].lower(), packet[-15:]
                elif packet[-14:-8] == BARE:
                    lowered, rest, shown = packet[2:-27].lower(), packet[-27:-14] + _NO_OPTIONS, packet[-8:]
                elif packet[-30:-24] == WHOLE:
                    lowered, rest, shown = packet[2:-43].lower(), packet[-43:-30] + _NO_OPTIONS, packet[-24:]
                answers = kept(lowered + rest) or kept(stand_in(lowered, rest))
                if answers is not None:
                    head, tail, slot, end, bare = next(answers)
                    counts[slot] += 1
                    if not (shown and echo and (options := echo(len(replies), shown))):
                        replies.append(packet[:2] + head + packet[12:end] + tail)
                    elif bare:
                        replies.append(packet[:2] + head + packet[12:end] + bare + options)
                    else:
                        reply = packet[:2] + head + packet[12:end] + tail
                        replies.append(with_option(packet, reply, options[2:], self._payload))
                    continue
            except (_Unbuilt, IndexError):
                pass
            replies.append(self._miss(packet, len(replies), echo))
            kept = self._young.get
        return replies

    def _miss(self, packet: bytes, place: int, echo: Echo | None) -> bytes | None:
        if len(packet) < message.HEADER_OCTETS or packet[2] & 0x80:
            self._counters.dropped += 1
            return None
        lowered, rest = _halves(packet)
        if len(rest) <= _PLAIN_OCTETS:
            return self._answer(packet, lowered, rest)
        rest = _without_options(rest)
        if len(rest) > _LONGEST_REST and tsig.is_signed(packet) and (reply := self._signed(packet)):
            return reply
        reply = self._answer(packet, lowered, rest)
        if echo and (shown := cookie_of(packet)) and (options := echo(place, shown)):
            return with_option(packet, reply, options[2:], self._payload)
        return reply

    def _answer(self, packet: bytes, lowered: bytes, rest: bytes) -> bytes:
        """To a query that was not found as it is; ``rest`` follows its name, options left out."""
        asked, key = packet, _key(packet, lowered, rest)
        if alike := self._names.stand_in(lowered, rest):
            asked = packet[:2] + alike
            key = _key(asked, alike[: -len(rest)], rest)
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
        head, tail, slot, end, _ = body
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

    def _build(self, packet: bytes, key: _Key, answers: Iterator[_Body] | None) -> _Body | int:
        """The rcode alone where there is no message. ``answers`` are those to the same question."""
        rotation = answers if isinstance(answers, _Rotation) else None
        turn = rotation.turn if rotation else next(self._turns)
        try:
            response = self._responder.respond(packet, turn)
        except Refusal as refusal:
            return refusal.rcode
        except Exception:
            return int(dns.rcode.SERVFAIL)
        body = self._body(response)
        if (
            len(response.message) > _LARGEST_KEPT
            or len(packet) > _LONGEST_QUERY
            or (packet[11] and opt_at(response.message) < 0)  # no place for a cookie: a transfer over UDP
        ):
            return body
        if response.spread:
            rotation = rotation or _Rotation(response.spread, turn)
            self._keep(key, rotation.add(response.variant, body), 1)
        else:
            self._keep(key, repeat(body), 1)
        return body

    def _body(self, response: Response) -> _Body:
        head = response.message[2 : message.HEADER_OCTETS]
        head = self._heads.setdefault(head, head)  # one for all that have the same: it stays in the cache of the core
        tail = response.message[response.end :]
        bare = tail[: -len(_NO_OPTIONS)] if len(response.message) <= _ROOM else b""
        return head, tail, response.rcode << 1 | bool(head[0] & _TRUNCATED), response.end, bare

    def _keep(self, key: _Key, answers: Iterator[_Body], built: int) -> None:
        if self._held + built > self._limit:
            self._old, self._young, self._held = self._young, {}, 0
        self._young[key] = answers
        self._held += built


def _halves(packet: bytes) -> tuple[bytes, bytes]:
    """Header without the id and name, in lower case, up to the first zero octet, the end of any sane name; and what follows."""
    end = packet.find(0, message.HEADER_OCTETS) + 1 or len(packet)
    return packet[2:end].lower(), packet[end:]


def _key(packet: bytes, lowered: bytes, rest: bytes) -> _Key:
    """Where a label holds the first zero octet, what follows is not type, class and OPT."""
    if not _is_sane(lowered):
        return (packet[2:],)
    return lowered + rest if len(rest) in _ORDINARY else (lowered + rest,)


def _without_options(rest: bytes) -> bytes:
    """What follows the name, with all options left out but the question for the NSID, the one that changes an answer.

    A client's cookie would else make a key of its own. What is not a sane OPT is left as it is.
    """
    if rest[4:7] != OPT_HEAD:
        return rest
    if _COOKIES.get(rest[13:19]) == len(rest):
        return rest[:13] + _NO_OPTIONS
    if len(rest) != _PLAIN_OCTETS + int.from_bytes(rest[13:15]):
        return rest
    codes = message.option_codes(rest[_PLAIN_OCTETS:])
    if codes is None:
        return rest
    return rest[:13] + (_NSID_ASKED if message.NSID in codes else _NO_OPTIONS)


def _is_sane(lowered: bytes) -> bool:
    at = message.HEADER_OCTETS - 2
    while at < len(lowered) - 1:
        at += lowered[at] + 1
    return at == len(lowered) - 1
