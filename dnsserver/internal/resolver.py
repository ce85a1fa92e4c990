"""One packet in, one message out: orders, answers from the cache, and questions to those behind it.

Called by :mod:`dnsserver.internal.server`; asks through :mod:`dnsserver.internal.upstream`. What is fresh is answered at once; one question that many ask
at a time is asked once. When nobody behind answers in time, what is held beyond its time is answered, where the settings
allow it (RFC 8767): so it outlives the loss of pointsman and of its name servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dnslib

from core.settings.resolver import Resolver as Settings
from dnsserver import message, tsig
from dnsserver.internal.cache import Cache, Entry, Item, Question, aged
from dnsserver.internal.orders import Orders, is_order
from dnsserver.internal.upstream import NoAnswer, Upstream
from dnsserver.message import Query
from dnsserver.resolve import TRANSFERS, Reply
from dnsserver.wireform import Labels, labels_of

CLIENT_WAITS = 1.8
"""Seconds until a client gets a stale answer while the question is still under way (RFC 8767 section 5)."""
ASK_AGAIN = 2.0
"""Seconds from a failed question to the next, while there is a stale answer. The RFC's 30 are for names that last longer than ours."""
STALE_TTL = 30
_UNDER_WAY = 1000
_LONGEST_CHAIN = 8
_RA = 0x80
_REFUSED_TYPES = (*TRANSFERS, int(dns.rdatatype.ANY), int(dns.rdatatype.OPT))
Answer: TypeAlias = bytes | Coroutine[Any, Any, bytes] | None


class Resolver:
    """``keys`` sign the orders; ``clock`` gives seconds, monotonic."""

    def __init__(self, settings: Settings, keys: tsig.Keyring, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._domains = tuple(labels_of(name.removeprefix("*.")) for name in settings.domains)
        self._serve_stale = settings.serve_stale > 0
        self._payload = settings.udp_payload
        self.cache = Cache(settings.entries, settings.serve_stale)
        self._orders = Orders(self.cache, keys, self._ours, clock)
        self._external = Upstream(settings.upstream_addresses, settings.timeout, settings.ttl_max)
        self._forward = Upstream(settings.forward_addresses, settings.timeout, settings.ttl_max)
        self._forwards = bool(settings.forward)
        self._asking: dict[Question, asyncio.Task[Entry]] = {}
        self._failed: dict[Question, float] = {}

    def answer(self, packet: bytes, *, trusted: bool, stream: bool) -> Answer:
        """The reply, or what gives it later; None where none is due. ``trusted``: may ask questions at all."""
        if not message.is_query(packet):
            return None
        if is_order(packet):
            return self._orders.obey(packet)
        try:
            query = message.read(packet)
        except message.Refusal as refusal:
            return message.refuse(packet, refusal.rcode)
        if query.edns and query.edns.version:
            return self._write(packet, query, Reply(dns.rcode.BADVERS), stream)
        if not trusted or query.qclass != dns.rdataclass.IN or query.qtype in _REFUSED_TYPES or not query.name:
            return self._write(packet, query, Reply(dns.rcode.REFUSED), stream)
        if not (self._forwards or self._ours(query.name)):
            return self._write(packet, query, Reply(dns.rcode.REFUSED), stream)
        entry = self.cache.get((query.name, query.qtype), self._clock())
        if entry and entry.fresh(self._clock()) and not entry.follow:
            return self._write(packet, query, self._reply([entry]), stream)
        return self._later(packet, query, stream)

    def _ours(self, name: Labels) -> bool:
        return any(name[-len(domain) :] == domain for domain in self._domains)

    async def _later(self, packet: bytes, query: Query, stream: bool) -> bytes:
        chain: list[Entry] = []
        name = query.name
        try:
            while name and len(chain) < _LONGEST_CHAIN and (self._forwards or self._ours(name)):
                chain.append(await self._entry((name, query.qtype)))
                name = chain[-1].follow
            reply = self._reply(
                [self.cache.clean(entry, self._clock()) for entry in chain]
            )  # an order may have come since
        except NoAnswer:
            reply = Reply(dns.rcode.SERVFAIL)
        return self._write(packet, query, reply, stream)

    async def _entry(self, question: Question) -> Entry:
        """Fresh, or else stale where that is allowed. Raises NoAnswer."""
        now = self._clock()
        held = self.cache.get(question, now)
        if held and held.fresh(now):
            return held
        if held and self._serve_stale:
            if now < self._failed.get(question, 0.0):
                return held
            try:
                return await asyncio.wait_for(asyncio.shield(self._ask(question)), CLIENT_WAITS)
            except (NoAnswer, TimeoutError):
                return self.cache.get(question, self._clock()) or held
        return await asyncio.shield(self._ask(question))

    def _ask(self, question: Question) -> asyncio.Task[Entry]:
        """The one task that asks this question now. Raises NoAnswer where too many are under way."""
        task = self._asking.get(question)
        if task is None:
            if len(self._asking) >= _UNDER_WAY:
                raise NoAnswer
            task = self._asking[question] = asyncio.create_task(self._fetch(question))
            task.add_done_callback(lambda done: self._asked(question, done))
        return task

    async def _fetch(self, question: Question) -> Entry:
        behind = self._external if self._ours(question[0]) else self._forward
        entry = await behind.ask(*question)
        return self.cache.put(question, entry, self._clock())

    def _asked(self, question: Question, task: asyncio.Task[Entry]) -> None:
        del self._asking[question]
        if task.cancelled() or task.exception() is None:
            self._failed.pop(question, None)
        elif len(self._failed) < _UNDER_WAY:
            self._failed[question] = self._clock() + ASK_AGAIN
        else:
            self._failed.clear()

    def _reply(self, chain: list[Entry]) -> Reply:
        """All that the chain of names led to."""
        now = self._clock()
        reply = Reply(chain[-1].rcode)
        for entry in chain:
            stale = max(1, min(STALE_TTL, entry.ttl))
            reply.answer += [_record(item) for item in aged(entry.answer, entry, now, stale)]
            if entry is chain[-1]:
                reply.authority += [_record(item) for item in aged(entry.authority, entry, now, stale)]
        return reply

    def _write(self, packet: bytes, query: Query, reply: Reply, stream: bool) -> bytes:
        """With the client's id and its spelling of the name."""
        payload = max(512, min(query.edns.payload, self._payload)) if query.edns else 512
        limit = message.STREAM_OCTETS if stream else payload
        written = bytearray(message.write(query, reply, limit, self._payload, b""))
        written[:2] = packet[:2]
        written[3] |= _RA
        written[message.HEADER_OCTETS : query.end] = packet[message.HEADER_OCTETS : query.end]
        return bytes(written)


def _record(item: Item) -> dnslib.RR:
    return dnslib.RR(dnslib.DNSLabel(item.owner), item.rtype, 1, item.ttl, dnslib.RD(item.data))
