"""What the screens showed at each event, kept in the store so that an incident can be replayed as it was seen.

Runs beside the engine and never holds it up: a moment after something happened it takes the snapshot and writes what
the events were about, the clusters and their names; everything at the start and after a reload. The past at an event is
then, for each cluster and name, the newest that was written by then. Called by :mod:`core.app` and the service.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import msgspec

from core.engine import Engine
from core.errors import CommandRefused
from core.model import Event, EventName
from core.snapshot import AppView, ClusterView, Snapshot
from core.store import Store, StoreError

GATHER = 0.1
"""Seconds in which events belong together and are seen as one moment."""
LOOK = 5.0
NEAR = 5.0
"""Seconds after an event in which its moment must have been written to be shown for it."""
HEAD = "head"
T = TypeVar("T")
WHOLE = {EventName.STARTED, EventName.RELOADED}


class Showing(Protocol):
    """The service as the recorder sees it."""

    async def snapshot(self) -> Snapshot: ...


@dataclass(frozen=True, slots=True)
class Head:
    """A snapshot without its clusters and names, and which there were."""

    snapshot: Snapshot
    clusters: tuple[str, ...]
    apps: tuple[str, ...]


class Recorder:
    """Writes the moments. :meth:`run` until cancelled."""

    def __init__(self, engine: Engine, showing: Showing, store: Store) -> None:
        self._engine = engine
        self._showing = showing
        self._store = store
        self._told = engine.last_event_id

    async def run(self) -> None:
        seen = -1
        while True:
            seen = await self._engine.news(self._engine.version if seen < 0 else seen, LOOK)
            if self._engine.last_event_id == self._told:
                continue
            await asyncio.sleep(GATHER)
            events = [event for event in self._engine.recent if event.id > self._told]
            try:
                await self._store.keep_past(events[-1].id, dict(moment(await self._showing.snapshot(), events)))
            except StoreError:
                continue  # told by the saver; what is missing comes with the next moment
            self._told = events[-1].id


def moment(snapshot: Snapshot, events: Iterable[Event]) -> Iterator[tuple[str, bytes]]:
    """What is to be written of a snapshot after these events, by name."""
    about = {event.cluster for event in events}
    whole = any(event.name in WHOLE for event in events)
    clusters = tuple(cluster.name for cluster in snapshot.clusters)
    apps = tuple(app.domain for app in snapshot.apps)
    yield HEAD, _pack(Head(replace(snapshot, clusters=(), apps=()), clusters, apps))
    for cluster in snapshot.clusters:
        if whole or cluster.name in about:
            yield f"cluster/{cluster.name}", _pack(cluster)
    for app in snapshot.apps:
        if whole or any(member.cluster in about for member in app.memberships):
            yield f"app/{app.domain}", _pack(app)


async def past(store: Store, event: int) -> Snapshot:
    """What the screens showed when an event had happened. Raises CommandRefused when that is not, or no longer, known."""
    found = await store.events(after=event - 1, before=event + 1)
    if not found:
        raise CommandRefused(f"event {event} is not, or no longer, in the history")
    written = await store.past(event, HEAD)
    head = _unpack(written[HEAD], Head) if HEAD in written else None
    if head is None or head.snapshot.at - found[0].at > NEAR:
        raise CommandRefused(f"what the screens showed at event {event} was not kept")
    clusters = (_unpack(written.get(f"cluster/{name}"), ClusterView) for name in head.clusters)
    apps = (_unpack(written.get(f"app/{domain}"), AppView) for domain in head.apps)
    return replace(head.snapshot, clusters=tuple(filter(None, clusters)), apps=tuple(filter(None, apps)))


def _pack(view: object) -> bytes:
    return zlib.compress(msgspec.json.encode(view), 1)


def _unpack(body: bytes | None, shape: type[T]) -> T | None:
    """None for what was never written, or by another version."""
    if body is None:
        return None
    try:
        return msgspec.json.decode(zlib.decompress(body), type=shape)
    except (msgspec.DecodeError, zlib.error):
        return None
