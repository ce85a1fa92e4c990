"""Holds the session with etcd: what we see goes there under a lease, what others see and order comes from there. I/O.

Runs beside the engine on its loop, and is waited for by nobody: DNS and decisions go on whatever etcd does. One member is talked to at a
time; whatever goes wrong with it ends the session, and the next member is asked. A *beat*, a third of the lease long, proves
the whole way: the lease is kept, our sight is written (which takes a majority of the members), and must come back by the watch. Without
one for as long as the lease the others are gone, and we are alone.

The engine's state is what is to be written: each time something happens it is compared with what was. Nothing waits in a queue here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Protocol

import aiohttp
import structlog

from core.clock import Clock
from core.errors import CommandRefused
from core.model import Order
from core.peering import sight
from core.settings import Settings
from core.shared import Document, Peers, SharedOrder
from core.sharing.etcd import Entry, EtcdError, Member, login, tls
from core.sharing.form import INSTANCE, ORDERS, FormError, Told, read_orders, read_sight, write_orders, write_sight
from core.snapshot import PeersView, PeerView
from core.state import State

BEATS = 3
"""Beats in the time of a lease."""
BACKOFF, BACKOFF_LIMIT = 0.1, 2.0
SHARE_WITHIN = 1.0
"""Seconds that the answer to an order waits until the others have it."""
LOOK = 0.25
PAUSE = 0.01
"""Seconds between two writes of orders: whoever was not the first tries again."""
_FAILED = (EtcdError, FormError, aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError)
"""How a member, or what stands there, can be in the way; what is no JSON of etcd's as well."""
_log = structlog.get_logger()


class Sharing(Protocol):
    """The engine as it is seen here."""

    state: State
    version: int

    def hear(self, given: Peers | Document) -> None: ...

    async def news(self, seen: int, within: float) -> int: ...


class Sharer:
    """:meth:`run` until cancelled; ``jitter`` gives a factor around 1 for the waits. Raises ConfigError for a file of the
    settings that cannot be used."""

    def __init__(self, settings: Settings, engine: Sharing, clock: Clock, jitter: Callable[[], float]) -> None:
        self._settings = settings.peers
        self._engine = engine
        self._clock = clock
        self._jitter = jitter
        self._tls, self._login = tls(self._settings), login(self._settings)
        self._process = f"{socket.gethostname()}:{settings.store.directory}"
        self._since = clock.now()
        self._alive_at = self._since
        self._said = "not asked yet"
        self._lease = 0
        self._beat = 0
        self._watched = asyncio.Condition()
        self._revision = 0
        self._told: dict[str, Told] = {}
        self._heard: dict[str, float] = {}
        self._skew: dict[str, float] = {}
        self._strangers: set[str] = set()

    # --- what the service asks ---

    @property
    def trouble(self) -> tuple[str, ...]:
        """What is wrong, one line each."""
        lines = [] if self._reachable else [f"peers: alone, no other instance is heard: {self._said}"]
        waiting = sorted(self._engine.state.sharing.unshared)
        return (
            (*lines, f"peers: orders that the others do not have yet: {', '.join(waiting)}") if waiting else (*lines,)
        )

    def view(self) -> PeersView:
        sights = self._engine.state.sharing.sights
        others = tuple(
            PeerView(name, name in sights, name in sights and sights[name].blind, self._heard.get(name, 0.0), self._skew.get(name, 0.0))
            for name in self._settings.instances
            if name != self._settings.name
        )  # fmt: skip
        return PeersView(
            self._settings.name,
            self._reachable,
            self._since,
            self._said,
            self._settings.silent_quorum,
            others,
            tuple(sorted(self._engine.state.sharing.unshared)),
        )

    async def settled(self, order: Order, since: float) -> tuple[str, ...]:
        """After an order that was carried out at ``since`` or later: once the others have it, or a moment has passed. Lines on what
        they do not have. Raises CommandRefused when another's was first."""
        loop = asyncio.get_running_loop()
        ends, engine = loop.time() + (SHARE_WITHIN if self._reachable else 0.0), self._engine
        version = engine.version
        while waiting := [name for name in order.clusters if name in engine.state.sharing.unshared]:
            if loop.time() >= ends:
                break
            version = await engine.news(version, min(LOOK, ends - loop.time()))
        for name in order.clusters:
            overruled = engine.state.sharing.overruled.get(name)
            if overruled and overruled.at >= since:
                raise CommandRefused(
                    f"overruled: {overruled.said}: look again, then decide", engine.state.revisions.get(name, 0)
                )
        return tuple(f"{name}: the other instances do not have this yet, etcd does not answer" for name in waiting)

    # --- the session ---

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._tls)
        async with aiohttp.ClientSession(connector=connector) as http:
            watcher = asyncio.create_task(self._watch_over(), name="peers watch over")
            members = [Member(http, each, self._settings.timeout, self._login) for each in self._settings.etcd]
            try:
                await self._go_round(members)
            finally:
                watcher.cancel()
                with suppress(Exception):  # whoever is gone at once need not be waited for; etcd ends the lease itself
                    async with asyncio.timeout(self._settings.timeout / 2):
                        if self._lease and self._reachable:
                            await members[0].revoke(self._lease)

    async def _go_round(self, members: list[Member]) -> None:
        failures = 0
        while True:
            member, began = members[0], self._alive_at
            try:
                await self._talk(member)
            except _FAILED as error:
                said = str(error) or f"no answer in {self._settings.timeout:g} s"
                if member.endpoint not in said:  # the reason is another's words: a reset, an alert of TLS
                    said = f"{member.endpoint}: {said}"
                if said != self._said:
                    _log.warning("etcd_session_ended", member=member.endpoint, why=said)
                self._said = said
            failures = 0 if self._alive_at > began else failures + 1
            members.append(members.pop(0))
            if failures >= len(members):
                rounds = failures // len(members) - 1
                await asyncio.sleep(min(BACKOFF * 2.0 ** min(rounds, 10), BACKOFF_LIMIT) * self._jitter())

    async def _talk(self, member: Member) -> None:
        """One session, which ends by an exception."""
        if self._lease and not await member.keep(self._lease):
            self._lease = 0
        if not self._lease:
            self._lease = await member.grant(ceil(self._settings.lease))
        found = await member.read(self._settings.prefix)
        self._told, self._revision = {}, found.revision
        self._take(found.entries)
        await self._hear_orders(member, found.entries, known=False)
        self._alive()
        parts = [asyncio.ensure_future(part) for part in (self._watch(member, found.revision), self._tell(member))]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            ended = await asyncio.gather(*parts, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _watch(self, member: Member, after: int) -> None:
        async for news in member.watch(self._settings.prefix, after):
            self._take(news.entries, live=True)
            await self._hear_orders(member, news.entries)
            self._hear_peers()
            async with self._watched:
                self._revision = max(self._revision, news.revision)
                self._watched.notify_all()

    async def _tell(self, member: Member) -> None:
        """Each time something has happened, and with each beat."""
        loop = asyncio.get_running_loop()
        told, beat_at, version = None, 0.0, -1
        while True:
            seen = sight(self._engine.state)
            if loop.time() >= beat_at and not await member.keep(self._lease):
                self._lease = 0
                raise EtcdError(f"{member.endpoint}: our lease has ended")
            if seen != told or loop.time() >= beat_at:
                self._beat += 1
                value = write_sight(Told(self._process, self._beat, self._clock.now(), seen))
                revision = await member.put(self._key(self._settings.name), value, self._lease)
                async with asyncio.timeout(self._settings.timeout), self._watched:
                    await self._watched.wait_for(partial(self._has_seen, revision))
                told, beat_at = seen, loop.time() + self._settings.lease / BEATS
                self._alive()
            if await self._write_orders(member):
                await asyncio.sleep(PAUSE)
            else:
                version = await self._engine.news(version, max(0.0, min(2 * LOOK, beat_at - loop.time())))

    def _has_seen(self, revision: int) -> bool:
        return self._revision >= revision

    async def _write_orders(self, member: Member) -> bool:
        """Ours into the document; whether there was anything to write."""
        wanted = self._engine.state.sharing.wanted
        if wanted is None:
            return False
        orders = {name: await self._timed(member, order) for name, order in wanted.orders.items()}
        document = Document(wanted.revision, orders)
        written, now = await member.swap(self._settings.prefix + ORDERS, wanted.revision, write_orders(document))
        if written:
            self._engine.hear(replace(document, revision=now.revision))
        else:
            await self._hear_orders(member, (now,))
        return True

    @staticmethod
    async def _timed(member: Member, order: SharedOrder) -> SharedOrder:
        if order.left is None or order.timer:
            return order
        return replace(order, timer=await member.grant(max(1, ceil(order.left))))

    # --- what is heard ---

    def _take(self, entries: Iterable[Entry], *, live: bool = False) -> None:
        for entry in entries:
            name = entry.key.removeprefix(self._settings.prefix + INSTANCE)
            if name == entry.key:
                continue
            if entry.value is None:
                self._told.pop(name, None)
                continue
            try:
                told = read_sight(entry.value)
            except FormError as error:  # of no use, and no harm to the others
                self._told.pop(name, None)
                _log.warning("peer_unreadable", key=entry.key, why=str(error))
                continue
            if name == self._settings.name and told.process != self._process:
                raise EtcdError(f"another instance is called {name}: {told.process}")
            if name not in self._settings.instances and name not in self._strangers:
                self._strangers.add(name)
                _log.warning("peer_unknown", name=name, process=told.process)
            self._told[name] = told
            self._heard[name] = self._clock.now()
            if live:
                self._skew[name] = told.at - self._clock.now()

    def _hear_peers(self) -> None:
        others = [name for name in self._settings.instances if name != self._settings.name and name in self._told]
        peers = Peers(True, {name: self._told[name].sight for name in others})
        if peers != self._engine.state.sharing.peers:
            self._engine.hear(peers)

    async def _hear_orders(self, member: Member, entries: Iterable[Entry], *, known: bool = True) -> None:
        """``known``: a document that is not among the entries has not changed; else there is none yet."""
        found = [entry for entry in entries if entry.key == self._settings.prefix + ORDERS]
        if not found and known:
            return
        document = (
            read_orders(found[-1].value, found[-1].revision if found[-1].value is not None else 0)
            if found
            else Document(0)
        )
        if document == self._engine.state.sharing.document:
            return
        adopted = self._engine.state.sharing.adopted
        orders = {
            name: replace(order, left=await member.left(order.timer))
            if order.timer and adopted.get(name) != order
            else order
            for name, order in document.orders.items()
        }
        self._engine.hear(Document(document.revision, orders))

    # --- how it stands ---

    @property
    def _reachable(self) -> bool:
        peers = self._engine.state.sharing.peers
        return peers is not None and peers.reachable

    def _alive(self) -> None:
        self._alive_at, self._said = self._clock.now(), "etcd answers"
        if not self._reachable:
            self._since = self._alive_at
        self._hear_peers()

    async def _watch_over(self) -> None:
        """Alone once there was no beat for as long as a lease."""
        while True:
            await asyncio.sleep(LOOK)
            peers = self._engine.state.sharing.peers
            if self._clock.now() - self._alive_at > self._settings.lease and (peers is None or peers.reachable):
                self._since = self._clock.now()
                self._engine.hear(Peers(False))

    def _key(self, name: str) -> str:
        return self._settings.prefix + INSTANCE + name
