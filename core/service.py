"""The engine as a :class:`core.control.client.ControlClient`: what API and console ask of it. Runs on the engine's loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from core import preview as previews
from core import views
from core.clock import Clock
from core.engine import Engine
from core.errors import CommandRefused
from core.model import Action, Event, Order, OrderResult
from core.past import past
from core.records import RecordTable
from core.snapshot import AnswerView, ClusterView, DnsStats, HandView, PeersView, Preview, Snapshot, Update
from core.state import State
from core.step import step
from core.store import Store

REFRESH = 0.5
EVENTS_AT_ONCE = 200
PIECE = 0.005
"""Seconds of making a snapshot in which nobody else has a turn; a cluster is made whole."""


class Answering(Protocol):
    """The DNS server as the service sees it."""

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]: ...

    def stats(self) -> DnsStats: ...

    def ask(self, name: str, qtype: str, table: RecordTable | None = None) -> AnswerView: ...


class Told(Protocol):
    """Those who are told of decisions, as the service sees them."""

    def views(self) -> tuple[HandView, ...]: ...

    def weights(self) -> Mapping[str, Mapping[str, int]]: ...


class Peering(Protocol):
    """The other instances, as the service sees them."""

    def view(self) -> PeersView: ...

    async def settled(self, order: Order, since: float) -> tuple[str, ...]: ...


class Service:
    """Everything that can be asked of a running pointsman; ``reload_settings`` reads them again and gives one line,
    ``trouble`` what is wrong with pointsman beside the engine."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        dns: Answering,
        hands: Told,
        clock: Clock,
        reload_settings: Callable[[], Awaitable[str]],
        trouble: Callable[[], tuple[str, ...]] = tuple,
        peers: Peering | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._dns = dns
        self._hands = hands
        self._clock = clock
        self._reload = reload_settings
        self._trouble = trouble
        self._peers = peers
        self._views = views.Views()
        self.version = _version()

    async def snapshot(self) -> Snapshot:
        engine, state = self._engine, self._engine.state
        settings = state.world.settings
        heard = self._heard()
        clusters = await self._clusters(state, heard)
        return Snapshot(
            at=self._clock.now(),
            started_at=engine.started_at,
            installation=settings.console.installation or socket.gethostname(),
            production=settings.console.production,
            version=self.version,
            mode=settings.detection.mode,
            serial=state.table.serial,
            starting=not state.round_over,
            frozen=state.frozen,
            shadow=settings.safety.shadow,
            suspect_self=str(state.suspicion),
            fail_open=tuple(domain for domain, app in state.table.apps.items() if app.fail_open),
            trouble=(*engine.trouble, *self._trouble()),
            clusters=clusters,
            apps=views.apps(state, heard),
            dns=self._dns.stats(),
            listen=tuple(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self._dns.addresses),
            hands=self._hands.views(),
            peers=self._peers.view() if self._peers else None,
        )

    async def _clusters(self, state: State, heard: views.Heard) -> tuple[ClusterView, ...]:
        """Made in pieces: of thousands of nodes they take longer than anybody is to wait for a decision."""
        made = []
        began = self._clock.now()
        for view in self._views.clusters(state, heard):
            made.append(view)
            if self._clock.now() - began > PIECE:
                await asyncio.sleep(0)
                began = self._clock.now()
        return tuple(made)

    async def events(
        self,
        *,
        since: float = 0.0,
        after: int = 0,
        before: int = 0,
        cluster: str = "",
        name: str = "",
        limit: int = 500,
    ) -> list[Event]:
        return await self._store.events(
            since=since, after=after, before=before, cluster=cluster, name=name, limit=limit
        )

    async def past(self, event: int) -> Snapshot:
        return await past(self._store, event)

    async def stream(self) -> AsyncIterator[Update]:
        seen, told = self._engine.version, self._engine.last_event_id
        while True:
            events = tuple(event for event in self._engine.recent if event.id > told)[:EVENTS_AT_ONCE]
            told = events[-1].id if events else told
            began = self._clock.now()
            snapshot = await self.snapshot()
            took = self._clock.now() - began
            yield Update(snapshot, events)
            await asyncio.sleep(took)  # who looks gets half of the time at most, however much there is to see
            seen = await self._engine.news(seen, REFRESH)

    async def record(self) -> AsyncIterator[bytes]:
        """What comes into the engine from now on, some lines at a time. Raises CommandRefused while somebody else records."""
        with self._engine.recorded() as tape:
            yield tape.head(self.version, await self._store.load())
            async for lines in tape.chunks():
                yield lines

    async def look_at(self, clusters: frozenset[str] | None) -> None:
        """Nothing: the snapshot is there, whole, for whoever asks."""

    async def preview(self, order: Order) -> Preview:
        return previews.preview(self._engine.state, order, self._clock.now())

    async def order(self, order: Order) -> OrderResult:
        given_at = self._clock.now()
        done = await self._engine.order(order)
        unshared = await self._peers.settled(order, given_at) if self._peers else ()
        return replace(done, said=(*done.said, *unshared)) if unshared else done

    async def answers(self, name: str, qtype: str = "A", without: tuple[str, ...] = ()) -> AnswerView:
        state = self._engine.state
        unknown = [cluster for cluster in without if cluster not in state.world.clusters]
        if unknown:
            raise CommandRefused(f"no cluster named {', '.join(unknown)}")
        table = state.table
        if without:
            order = Order(Action.ERASE, without, "as if", force=True)
            state = step(state, order, self._clock.now())[0]
            table = state.table
        try:
            answer = self._dns.ask(name, qtype, table if without else None)
        except ValueError as error:
            raise CommandRefused(str(error)) from error
        domain = name.lower().rstrip(".") + "."
        app = state.world.apps.get(domain)
        members = (
            tuple(views.membership(state, domain, cluster, self._heard()) for cluster in app.clusters) if app else ()
        )
        return replace(answer, memberships=members)

    def _heard(self) -> views.Heard:
        engine = self._engine
        return views.Heard(
            self._clock.now(), engine.started_at, engine.heard_at, engine.latencies, self._hands.weights()
        )

    async def reload(self) -> str:
        return await self._reload()

    async def close(self) -> None:
        """The engine goes on; a client of another process would close its connection here."""


def _version() -> str:
    try:
        return version("pointsman")
    except PackageNotFoundError:
        return "from source"
