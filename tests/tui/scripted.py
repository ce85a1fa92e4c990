"""A small engine in memory that honours the control protocol, for the console's tests and for looking at it by hand.

It keeps revisions, refuses what is older than they are, refuses to empty a name without force, and can go away and
come back. Its rules are not the engine's; they are just enough for every dialog to have something to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from core.errors import CommandRefused, NotRunning
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
    PodView,
    Preview,
    Snapshot,
    SourceView,
    Update,
    WhyStep,
)

NOW = 1_800_000_000.0
DOMAINS = ("svc1.net.", "svc2.net.")
OUT = {ClusterState.ERASED, ClusterState.DRAINED, ClusterState.HELD_OUT, ClusterState.RECOVERING}
KINDS = (Kind.CONTAINERS, Kind.ROUTES, Kind.VSWITCH, Kind.RUNTIME)


def cluster(
    name: str, state: ClusterState = ClusterState.OK, *, number: int = 1, cause: str = "", revision: int = 1,
    tags: tuple[str, ...] = (), override: Override | None = None, since: float = NOW - 7620, domains: tuple[str, ...] = DOMAINS,
) -> ClusterView:  # fmt: skip
    """A cluster with two nodes, a physical machine and a router, in which one container has failed unless it is well."""
    well = state in (ClusterState.OK, ClusterState.DRAINED, ClusterState.HELD_OUT)
    silent = state is ClusterState.SILENT
    verdict = Verdict.OK if well else Verdict.UNKNOWN if silent else Verdict.FAIL
    said = cause or "namespace/web-7d4b: container web is Exited (137), attempt 3"

    def check(kind: Kind, bad: bool) -> CheckView:
        return CheckView(kind, "", verdict if bad else Verdict.OK, said if bad else f"{kind.value} are well",
                         NOW - 1, 0.0042, since, 3 if bad else 812)  # fmt: skip

    sources = [
        SourceView(f"node{n}", SourceKind.NODE, verdict if n == 1 else Verdict.OK, NOW - 0.05, "bash", "", (Kind.ROUTES,),
                   tuple(check(kind, n == 1 and kind is Kind.CONTAINERS) for kind in KINDS))
        for n in (1, 2)
    ]  # fmt: skip
    sources.append(
        SourceView("rack7", SourceKind.MACHINE, Verdict.OK, NOW - 1, "sh", "", (), (check(Kind.MACHINE, False),))
    )
    sources.append(
        SourceView("router", SourceKind.ROUTER, Verdict.OK, NOW - 0.1, "driver", "", (), (check(Kind.CONFIRM, False),))
    )
    inside = state not in OUT
    members = tuple(
        Membership(domain, name, inside, (25 if state is ClusterState.RAMPING else 100) if inside else 0,
                   Phase.SERVING if inside else Phase.ERASED, cause or ("all checks are well" if inside else "out"), since)
        for domain in domains
    )  # fmt: skip
    why = () if well else (
        WhyStep("check", f"node1/containers said: {said}", since, 0.0),
        WhyStep("verdict", "internal FAIL: 1 of 1 result in a row", since + 0.004, 4.0),
        WhyStep("decision", "erase: internal_anomaly", since + 0.005, 5.0),
        WhyStep("answer", "" if silent else "svc1.net. and svc2.net. answer without it, serial 42", 0.0 if silent else since + 0.009, None if silent else 9.0),
    )  # fmt: skip
    return ClusterView(
        name=name, state=state, cause=cause if cause or well else said, since=since, revision=revision,
        addresses=(f"192.0.2.{number}",), tags=tags, internal=verdict, internal_bad=0 if well else 1, internal_total=9,
        external=Verdict.OK, external_bad=0, external_total=1, fails=0, override=override,
        safe_at=None if inside else NOW + 8, recovers_at=None, flaps=0, memberships=members, sources=tuple(sources),
        pods=tuple(PodView(f"shop/web-{n}", f"node{n}", domains[:1], Verdict.OK if well or n > 1 else Verdict.FAIL,
                           100 if well or n > 1 else 0, said if not well and n == 1 else "", since) for n in (1, 2)),
        why=why, p50=0.0042, p95=0.0181,
    )  # fmt: skip


def apps(clusters: tuple[ClusterView, ...]) -> tuple[AppView, ...]:
    result = []
    for domain in dict.fromkeys(m.domain for c in clusters for m in c.memberships):
        members = tuple(m for c in clusters for m in c.memberships if m.domain == domain)
        inside = {m.cluster for m in members if m.in_dns}
        addresses = tuple(a for c in clusters if c.name in inside for a in c.addresses)
        result.append(AppView(domain, "all", 5, 100, addresses, False, members))
    return tuple(result)


def snapshot(*clusters: ClusterView, at: float = NOW) -> Snapshot:
    return Snapshot(
        at=at, started_at=NOW - 86400, installation="lab-east", production=False, version="0.1.0", mode="both", serial=42,
        starting=False, frozen=None, shadow=False, suspect_self="", fail_open=(), trouble=(), clusters=clusters,
        apps=apps(clusters), dns=DnsStats(queries=90210, rate=412.0, by_rcode=(("NOERROR", 90100), ("NXDOMAIN", 110))),
        listen=("127.0.0.1:5300",),
    )  # fmt: skip


class ScriptedClient:
    """A :class:`core.control.client.ControlClient`. ``orders`` are those that were accepted.

    ``before_order`` runs when an order comes in, ahead of its checks: so another operator's act can come between.
    """

    def __init__(self, first: Snapshot, events: list[Event] | None = None) -> None:
        self.now = self.first = first
        self.forgotten: set[int] = set()
        self.history = list(events or ())
        self.orders: list[Order] = []
        self.sent: list[Order] = []
        self.previewed: list[Order] = []
        self.asked: list[tuple[str, str, tuple[str, ...]]] = []
        self.refuse = ""
        self.grave: bool | None = None
        self.warnings: tuple[str, ...] = ()
        self.before_order: Callable[[], None] = lambda: None
        self.running = True
        self.connects = 0
        self._news = asyncio.Event()
        self._fresh: list[Event] = []

    # -- the script ------------------------------------------------------------------------------------------------

    def push(self, *events: Event, **changes: object) -> None:
        """A new snapshot with these fields, a little later than the last, and events."""
        self.now = replace(self.now, **{"at": self.now.at + 0.1, **changes})  # type: ignore[arg-type] # any field
        self.now = replace(self.now, apps=apps(self.now.clusters))
        for event in events:
            numbered = replace(event, id=len(self.history) + 1)
            self.history.append(numbered)
            self._fresh.append(numbered)
        self._wake()

    def change(self, name: str, **changes: object) -> None:
        """One cluster is different now, and has a new revision."""

        def other(view: ClusterView) -> ClusterView:
            state = changes.get("state", view.state)
            inside = state not in OUT
            members = tuple(replace(m, in_dns=inside, share=100 if inside else 0) for m in view.memberships)
            return replace(view, **{"revision": view.revision + 1, "memberships": members, **changes})  # type: ignore[arg-type]

        self.push(clusters=tuple(other(c) if c.name == name else c for c in self.now.clusters))

    def stop(self) -> None:
        self.running = False
        self._wake()

    def start(self) -> None:
        self.running = True
        self.push()

    def _wake(self) -> None:
        self._news.set()

    def _check(self) -> None:
        if not self.running:
            raise NotRunning("no pointsman answers at the socket")

    def view(self, name: str) -> ClusterView:
        return next(c for c in self.now.clusters if c.name == name)

    # -- the protocol ----------------------------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        self._check()
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
        self._check()
        return [e for e in self.history if e.id > after and (not before or e.id < before) and e.at >= since][-limit:]

    async def past(self, event: int) -> Snapshot:
        """The first snapshot with another time, for any event that there is."""
        self._check()
        found = next((e for e in self.history if e.id == event), None)
        if found is None or event in self.forgotten:
            raise CommandRefused(f"what the screens showed at event {event} was not kept")
        return replace(self.first, at=found.at)

    async def stream(self) -> AsyncIterator[Update]:
        self._check()
        self.connects += 1
        self._fresh.clear()
        yield Update(self.now)
        while True:
            await self._news.wait()
            self._news.clear()
            self._check()
            fresh, self._fresh = tuple(self._fresh), []
            yield Update(self.now, fresh)

    async def look_at(self, clusters: frozenset[str] | None) -> None:
        self.looked_at = clusters

    async def preview(self, order: Order) -> Preview:
        self._check()
        self.previewed.append(order)
        changes = []
        for app in self.now.apps:
            after = self._after(order, app)
            left = [m for m in app.memberships if m.in_dns and m.cluster not in order.clusters]
            if after != app.addresses or any(m.cluster in order.clusters for m in app.memberships):
                changes.append(
                    AnswerChange(app.domain, app.addresses, after, not after, len(left), len(app.memberships))
                )
        empty = [c.domain for c in changes if not c.after]
        refused = self.refuse or (f"{empty[0]} would have no address" if empty else "")
        grave = order.action is Action.ERASE or len(order.clusters) > 1
        return Preview(
            tuple(changes), tuple((name, self.view(name).revision) for name in order.clusters),
            10.0 if order.action in (Action.DRAIN, Action.ERASE) else 0.0, refused, self.warnings,
            grave if self.grave is None else self.grave,
        )  # fmt: skip

    def _after(self, order: Order, app: AppView) -> tuple[str, ...]:
        def inside(member: Membership) -> bool:
            if member.cluster in order.clusters:
                return order.action is Action.RESTORE and self.view(member.cluster).internal is Verdict.OK
            return member.in_dns

        return tuple(a for m in app.memberships if inside(m) for a in self.view(m.cluster).addresses)

    async def order(self, order: Order) -> OrderResult:
        self._check()
        self.sent.append(order)
        self.before_order()
        for name, revision in order.expected:
            now = self.view(name).revision
            if revision != now:
                raise CommandRefused(f"{name} has changed since revision {revision}", now)
        preview = await self.preview(order)
        if preview.refused and not order.force:
            raise CommandRefused(preview.refused)
        self.orders.append(order)
        if order.action in (Action.FREEZE, Action.THAW):
            self.push(frozen=Freeze(order.who, order.why, self.now.at) if order.action is Action.FREEZE else None)
        for name in order.clusters:
            self._apply(name, order)
        event = Event(EventName.OVERRIDE_SET, self.now.at, ",".join(order.clusters), who=order.who, cause=order.why)
        self.push(event, serial=self.now.serial + 1)
        return OrderResult(tuple(f"{name}: {order.action.value} accepted" for name in order.clusters), self.now.serial)

    def _apply(self, name: str, order: Order) -> None:
        states = {
            Action.DRAIN: ClusterState.DRAINED,
            Action.ERASE: ClusterState.HELD_OUT,
            Action.RESTORE: ClusterState.OK,
        }
        override = None
        if order.action is not Action.RESTORE:
            override = Override(name, order.action, order.who, order.why, self.now.at, order.until)
        state = states[order.action]
        if order.action is Action.RESTORE and self.view(name).internal is not Verdict.OK:
            state = ClusterState.ERASED
        self.change(name, state=state, override=override, since=self.now.at, safe_at=self.now.at + 10)

    async def answers(self, name: str, qtype: str = "A", without: tuple[str, ...] = ()) -> AnswerView:
        self._check()
        self.asked.append((name, qtype, without))
        fqdn = name.rstrip(".") + "."
        app = next((a for a in self.now.apps if a.domain == fqdn), None)
        if app is None:
            return AnswerView(
                fqdn, qtype, "NXDOMAIN", (), ("net. 5 IN SOA ns1.net. hostmaster.net. 42 60 60 60 5",), self.now.serial
            )
        members = [m for m in app.memberships if m.in_dns and m.cluster not in without]
        lines = tuple(f"{fqdn} {app.ttl} IN {qtype} {a}" for m in members for a in self.view(m.cluster).addresses)
        return AnswerView(fqdn, qtype, "NOERROR", lines, (), self.now.serial, app.memberships)

    async def reload(self) -> str:
        return "nothing changed"

    async def close(self) -> None:
        return None


def history() -> list[Event]:
    """One failure from fault to first clean answer."""
    steps = (
        (EventName.FAULT_SEEN, 0.0), (EventName.INTERNAL_ANOMALY, 4.0), (EventName.SWITCH_ORDERED, 5.0),
        (EventName.ADDRESS_ERASED, 7.0), (EventName.FIRST_CLEAN_ANSWER, 9.0),
    )  # fmt: skip
    return [
        Event(name, NOW - 12 + ms / 1000, "osaka", cause="node1/containers: shop/web-1 container web is Exited (137)",
              serial=42, since_fault_ms=ms, id=n)
        for n, (name, ms) in enumerate(steps, 1)
    ]  # fmt: skip


def fleet() -> Snapshot:
    """Eight clusters, of which some are not well."""
    return snapshot(
        cluster("tokyo", number=10, tags=("asia", "east")),
        cluster("osaka", ClusterState.ERASED, number=11, tags=("asia",), since=NOW - 12,
                cause="node1/containers: shop/web-7d4b container web is Exited (137)"),
        cluster("fukuoka", number=12, tags=("asia",)),
        cluster("berlin", ClusterState.DRAINED, number=13, tags=("eu",), since=NOW - 300,
                override=Override("berlin", Action.DRAIN, "ann", "kernel update", NOW - 300, NOW + 1500)),
        cluster("paris", ClusterState.DEGRADED, number=14, tags=("eu",), since=NOW - 64,
                cause="svc1.net.: 3 of 4 pods are well, 75% of 50% needed"),
        cluster("oslo", ClusterState.RAMPING, number=15, tags=("eu",), since=NOW - 20),
        cluster("dallas", ClusterState.SILENT, number=16, tags=("us",), since=NOW - 3, cause="node1: no line for 1.2 s"),
        cluster("newyork", number=17, tags=("us",)),
    )  # fmt: skip
