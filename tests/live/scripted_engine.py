"""The seam below the control API: a control client that answers by script, and says what it was asked.

Everything above it in these tests is real: the server, its sockets, the remote client and the commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from core.control.access import Access
from core.control.remote import RemoteClient
from core.control.server import ControlServer
from core.errors import CommandRefused
from core.model import Action, Event, EventName, Kind, Order, OrderResult, Override, Phase, SourceKind, Verdict
from core.snapshot import (
    AnswerChange,
    AnswerView,
    AppView,
    CheckView,
    ClusterState,
    ClusterView,
    DnsStats,
    Freeze,
    Membership,
    Preview,
    Snapshot,
    SourceView,
    Update,
    WhyStep,
)

NOW = 1_790_000_000.0
HOSTILE = 'crictl said \x1b[2J\x1b]0;owned\x07 "x"\nforged line'


def membership(cluster: str, in_dns: bool = True) -> Membership:
    phase = Phase.SERVING if in_dns else Phase.ERASED
    return Membership("svc1.net.", cluster, in_dns, 100 if in_dns else 0, phase, HOSTILE if not in_dns else "well", NOW)


def cluster(name: str, number: int, state: ClusterState = ClusterState.OK) -> ClusterView:
    well = state is ClusterState.OK
    verdict = Verdict.OK if well else Verdict.FAIL
    check = CheckView(Kind.CONTAINERS, "", verdict, "2 of 2 running" if well else HOSTILE, NOW - 0.5, 0.06, NOW - 60, 9)
    source = SourceView("node1", SourceKind.NODE, verdict, NOW - 0.05, "bash", "", (Kind.CONTAINERS,), (check,))
    why = (
        WhyStep("fault_seen", HOSTILE, NOW - 1, 0.0),
        WhyStep("address_erased", "svc1.net.", NOW - 0.96, 41.5),
        WhyStep("first_clean_answer", "not yet", 0.0),
    )
    return ClusterView(
        name=name,
        state=state,
        cause="" if well else f"node1 containers: {HOSTILE}",
        since=NOW - 60,
        revision=7,
        addresses=(f"192.0.2.{number}",),
        tags=(),
        internal=verdict,
        internal_bad=0 if well else 1,
        internal_total=1,
        external=Verdict.OK,
        external_bad=0,
        external_total=1,
        fails=0,
        override=None,
        safe_at=None,
        recovers_at=None,
        flaps=0,
        memberships=(membership(name, well),),
        sources=(source,),
        pods=(),
        why=() if well else why,
        p50=0.01,
        p95=0.02,
    )


def snapshot() -> Snapshot:
    clusters = (cluster("tokyo", 1), cluster("osaka", 2, ClusterState.ERASED), cluster("fukuoka", 3))
    app = AppView(
        "svc1.net.", "all", 5, 100, ("192.0.2.1", "192.0.2.3"), False, tuple(c.memberships[0] for c in clusters)
    )
    return Snapshot(
        at=NOW,
        started_at=NOW - 3600,
        installation="lab",
        production=False,
        version="0.1.0",
        mode="both",
        serial=42,
        starting=False,
        frozen=None,
        shadow=False,
        suspect_self="",
        fail_open=(),
        trouble=(),
        clusters=clusters,
        apps=(app,),
        dns=DnsStats(queries=10, by_rcode=(("NOERROR", 9), ("NXDOMAIN", 1))),
        listen=("127.0.0.1:5300",),
    )


class ScriptedEngine:
    """Carries orders out on its snapshot, refuses stale ones, and streams whatever is put into ``updates``."""

    def __init__(self) -> None:
        self.now = snapshot()
        self.history = [
            Event(
                EventName.FAULT_SEEN, NOW - 1, "osaka", cause="containers", evidence=HOSTILE, since_fault_ms=0.0, id=1
            ),
            Event(EventName.ADDRESS_ERASED, NOW - 0.9, "osaka", "svc1.net.", serial=42, since_fault_ms=41.5, id=2),
        ]
        self.orders: list[Order] = []
        self.asked: list[dict[str, object]] = []
        self.updates: asyncio.Queue[Update | Exception] = asyncio.Queue()
        self.streams = 0
        self.grave = False
        self.refused = ""
        self.before_answer: Callable[[], object] = lambda: None
        self.failure: Exception | None = None

    async def snapshot(self) -> Snapshot:
        if self.failure:
            raise self.failure
        return self.now

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
        self.asked.append({"since": since, "after": after, "cluster": cluster, "name": name, "limit": limit})
        found = [e for e in self.history if e.id > after and e.at >= since and cluster in ("", e.cluster)]
        return [e for e in found if name in ("", e.name)][-limit:]

    async def past(self, event: int) -> Snapshot:
        self.asked.append({"past": event})
        if event > len(self.history):
            raise CommandRefused(f"event {event} is not, or no longer, in the history")
        return self.now

    async def stream(self) -> AsyncIterator[Update]:
        self.streams += 1
        try:
            yield Update(self.now)
            while True:
                update = await self.updates.get()
                if isinstance(update, Exception):
                    raise update
                yield update
        finally:
            self.streams -= 1

    async def look_at(self, clusters: frozenset[str] | None) -> None:
        self.looked_at = clusters

    async def preview(self, order: Order) -> Preview:
        addresses = {c.name: c.addresses[0] for c in self.now.clusters}
        before = self.now.apps[0].addresses
        gone = {addresses[c] for c in order.clusters}
        after = tuple(sorted({*before} | gone if order.action is Action.RESTORE else {*before} - gone))
        return Preview(
            changes=(AnswerChange("svc1.net.", before, after, False, len(after), 3),),
            expected=tuple((c.name, c.revision) for c in self.now.clusters if c.name in order.clusters),
            safe_in=5.0,
            refused=self.refused,
            warnings=("svc1.net. is left with 1 of 3",) if self.grave else (),
            grave=self.grave,
        )

    async def order(self, order: Order) -> OrderResult:
        revisions = {c.name: c.revision for c in self.now.clusters}
        for name, seen in order.expected:
            if seen != revisions[name]:
                raise CommandRefused(f"{name} has changed since you looked", revisions[name])
        if self.refused and not order.force:
            raise CommandRefused(self.refused)
        repeated = bool(order.key) and order.key in {o.key for o in self.orders}
        self.orders.append(order)
        if not repeated:
            self._carry_out(order)
        self.before_answer()
        said = tuple(f"{name}: {order.action} ordered" for name in order.clusters) or (f"{order.action} ordered",)
        return OrderResult(said, self.now.serial, tuple((name, 8) for name in order.clusters))

    async def answers(self, name: str, qtype: str = "A", without: tuple[str, ...] = ()) -> AnswerView:
        if name.rstrip(".") != "svc1.net":
            return AnswerView(name, qtype, "REFUSED", (), (), 42)
        kept = [c for c in self.now.clusters if c.memberships[0].in_dns and c.name not in without]
        lines = tuple(f"svc1.net. 5 IN {qtype} {c.addresses[0]}" for c in kept)
        return AnswerView("svc1.net.", qtype, "NOERROR", lines, (), 42, self.now.apps[0].memberships)

    async def reload(self) -> str:
        if self.refused:
            raise CommandRefused(self.refused)
        return "nothing changed"

    async def close(self) -> None: ...

    def _carry_out(self, order: Order) -> None:
        if order.action is Action.FREEZE:
            self.now = replace(self.now, frozen=Freeze(order.who, order.why, NOW))
        clusters = tuple(
            replace(
                c,
                revision=c.revision + 1,
                override=Override(c.name, order.action, order.who, order.why, NOW, order.until),
            )
            if c.name in order.clusters
            else c
            for c in self.now.clusters
        )
        self.now = replace(self.now, clusters=clusters, serial=self.now.serial + 1)


@asynccontextmanager
async def served(
    directory: Path, engine: ScriptedEngine, *, ready: bool = True, access: Access | None = None
) -> AsyncIterator[tuple[ControlServer, RemoteClient]]:
    """The engine behind a real server on ``directory/control.sock``, and a client of it."""
    socket = directory / "control.sock"
    server = ControlServer(engine, socket, lambda: ready, version="0.1.0", access=access)
    await server.start()
    client = RemoteClient(socket)
    try:
        yield server, client
    finally:
        await client.close()
        await server.stop()
