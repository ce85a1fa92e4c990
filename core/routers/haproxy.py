"""HAProxy as a cluster's router, through its runtime API (spec S16, S18–S20, S33).

Carrying out is: read what it has, order what differs, read again; what HAProxy says to an order is not believed. A restart
of HAProxy forgets weights and stops, so that it is read again every :data:`AGAIN` seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.hands.hand import Hand, HandError, Target
from core.model import HandKind
from core.routers.endpoints import backends, pod_of, scaled
from core.routers.runtime_api import RuntimeApi, Server, open_frontends, servers
from core.settings import Cluster, Settings

AGAIN = 5.0
STATES = {"weight": None, "drain": "drain", "maintenance": "maint"}
"""Settings' word for what a detached pod gets beside weight 0 = HAProxy's."""


@dataclass(frozen=True, slots=True)
class Has:
    """What HAProxy has: its servers, and which of the frontends that a stop closes take connections."""

    servers: tuple[Server, ...]
    open: Mapping[str, bool]

    @property
    def sessions(self) -> int:
        return sum(server.sessions for server in self.servers)


def orders(has: Has, stop: bool, shares: Mapping[str, int], detached: str | None) -> Iterator[str]:
    """The commands that bring about what is wanted, none where it is so: pods that come back before those that leave, and a
    frontend closed first and opened last. ``detached`` is the state of a pod of weight 0; None: states are left alone."""
    frontends = [name for name, is_open in has.open.items() if is_open == stop]
    if stop:
        yield from (f"disable frontend {name}" for name in frontends)
    wanted = [(server, 0 if stop else shares[pod]) for server in has.servers if (pod := pod_of(server.name)) in shares]
    for server, share in sorted(wanted, key=lambda pair: pair[1] == 0):
        place = f"{server.backend}/{server.name}"
        value = scaled(server.full, share)
        if server.weight != value:
            yield f"set server {place} weight {f'{share}%' if value == server.full * share // 100 else value}"
        state = "ready" if share else detached
        if detached and server.state != state:
            yield f"set server {place} state {state}"
    if not stop:
        yield from (f"enable frontend {name}" for name in frontends)


class Haproxy:
    """The router of one cluster. ``places`` are the backends of its apps."""

    kind = HandKind.ROUTER

    def __init__(self, cluster: Cluster, places: tuple[str, ...]) -> None:
        self.cluster = self.name = cluster.name
        self.address = cluster.router.address
        self._settings = cluster.router
        self._detached = STATES[cluster.router.detach]
        self._backends = places
        self._api = RuntimeApi(self.address)
        self._stopped_at: float | None = None
        self.again_in = AGAIN

    async def carry_out(self, target: Target) -> str:
        stop, shares = self.cluster in target.stopped, target.weights.get(self.cluster, {})
        has = await self.read()
        wanted = [*orders(has, stop, shares, self._detached)]
        if wanted:
            said = await self._api.ask(wanted)
            has = await self.read()
            left = [*orders(has, stop, shares, self._detached)]
            if left:
                words = next(filter(None, said), "was said to be done, and is not so")
                raise HandError(f"{left[0]}: {words}")
        has = await self._cut(has) if stop else has
        self._stopped_at = self._stopped_at if stop else None
        return _words(has, stop, shares)

    async def close(self) -> None:
        """Nothing is held open."""

    async def read(self) -> Has:
        """What HAProxy has now."""
        stat, *states = await self._api.ask(["show stat", *(f"show servers state {name}" for name in self._backends)])
        found = [servers(name, state, stat) for name, state in zip(self._backends, states, strict=True)]
        return Has(tuple(each for some in found for each in some), open_frontends(self._settings.frontends, stat))

    async def _cut(self, has: Has) -> Has:
        """End what is in flight once its time is over (spec S16)."""
        now = time.monotonic()
        self._stopped_at = now if self._stopped_at is None else self._stopped_at
        left = self._stopped_at + self._settings.in_flight - now
        self.again_in = min(AGAIN, left) if left > 0 else AGAIN
        if left > 0 or not has.sessions:
            return has
        busy = [server for server in has.servers if server.sessions]
        await self._api.ask([f"shutdown sessions server {server.backend}/{server.name}" for server in busy])
        return await self.read()


def router(settings: Settings, cluster: Cluster) -> Hand:
    return Haproxy(cluster, tuple(dict.fromkeys(backends(settings, cluster).values())))


def _words(has: Has, stop: bool, shares: Mapping[str, int]) -> str:
    if stop:
        return f"closed, {has.sessions} in flight"
    known = {pod_of(server.name) for server in has.servers}
    missing = [pod for pod, share in shares.items() if share and pod not in known]
    words = f"open, {len(known & shares.keys())} pods weighted"
    return f"{words}; no server for {', '.join(sorted(missing)[:3])}" if missing else words
