"""Snapshots, events and previews as plain lines that a screen reader can read. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from core.cli.output import table
from core.errors import CommandRefused
from core.model import Event, Order, Override, Verdict
from core.snapshot import AnswerView, ClusterView, Membership, PeersView, Preview, Snapshot
from core.text import utc

SKEWED = 2.0
"""Seconds that another instance's clock may be off until that is said."""


def lasting(seconds: float) -> str:
    """``4s``, ``12m05s``, ``3h07m``, ``2d04h``."""
    whole = max(0, int(seconds))
    for unit, name, below, below_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            return f"{whole // unit}{name}{whole % unit // below:02}{below_name}"
    return f"{whole}s"


def status(s: Snapshot) -> Iterator[str]:
    """The whole in a few lines: what is wrong with everything first, then clusters, then answers."""
    yield (
        f"{s.installation}{' PRODUCTION' if s.production else ''}  pointsman {s.version}  mode {s.mode}"
        f"  serial {s.serial}  up {lasting(s.at - s.started_at)}  {utc(s.at)}"
    )
    if s.starting:
        yield "starting: no whole round of checks is in yet"
    if s.frozen:
        yield f"FROZEN by {s.frozen.who} since {utc(s.frozen.since)}: {s.frozen.why or 'no reason given'}"
    if s.shadow:
        yield "SHADOW: nothing that is decided is done"
    if s.suspect_self:
        yield f"SUSPECT SELF: {s.suspect_self}"
    for domain in s.fail_open:
        yield f"FAIL OPEN: {domain}: every cluster is abnormal, all are served"
    if s.peers:
        yield _peers(s.peers, s.at)
    for line in s.trouble:
        yield f"TROUBLE: {line}"
    for hand in s.hands:
        if not hand.done:
            yield f"NOT CONFIRMED by {hand.kind} {hand.name} for {lasting(s.at - hand.since)}: {hand.said}"
    yield ""
    heads = ("CLUSTER", "STATE", "IN DNS", "INTERNAL", "EXTERNAL", "SINCE", "OVERRIDE", "CAUSE")
    yield from table(heads, [_cluster_row(c, s.at) for c in s.clusters])
    yield ""
    answers = [
        (a.domain, " ".join(a.addresses), a.policy, str(a.ttl), "fail open" if a.fail_open else "") for a in s.apps
    ]
    yield from table(("NAME", "ANSWERS", "POLICY", "TTL", ""), answers)


def _peers(p: PeersView, now: float) -> str:
    """The instances, each as it stands."""
    if not p.reachable:
        return f"ALONE: {p.name} hears no other instance, etcd has not answered for {lasting(now - p.since)}"
    told = [f"{p.name} is here"]
    for each in p.instances:
        ago = f" for {lasting(now - each.heard_at)}" if each.heard_at else " yet"
        word = "cannot see" if each.blind else "is heard"
        clock = f" (its clock is {each.ahead:+.0f} s off)" if abs(each.ahead) >= SKEWED else ""
        told.append(f"{each.name} {word}{clock}" if each.heard else f"{each.name} IS NOT HEARD{ago}")
    return f"instances: {', '.join(told)}; silence takes {p.quorum}"


def _cluster_row(c: ClusterView, now: float) -> tuple[str, ...]:
    inside = [m for m in c.memberships if m.in_dns]
    least = min((m.share for m in inside), default=100)
    return (
        c.name,
        c.state,
        f"{len(inside)} of {len(c.memberships)}" + (f" at {least}%" if least < 100 else ""),
        _detector(c.internal, c.internal_bad, c.internal_total),
        _detector(c.external, c.external_bad, c.external_total),
        lasting(now - c.since),
        f"{c.override.action} by {c.override.who}" if c.override else "",
        c.cause,
    )


def _detector(verdict: Verdict, bad: int, total: int) -> str:
    return f"{verdict} {total - bad}/{total}" if total else "none"


def event_line(e: Event) -> str:
    """One event in one line."""
    parts = [
        utc(e.at),
        "(shadow)" if e.shadow else "",
        e.name,
        e.cluster,
        e.app,
        f"+{e.since_fault_ms:.1f} ms" if e.since_fault_ms is not None else "",
        e.cause,
        f"{e.evidence!r}" if e.evidence else "",
        f"by {e.who}" if e.who else "",
        f"serial {e.serial}" if e.serial else "",
    ]
    return "  ".join(filter(None, parts))


def explanation(s: Snapshot, name: str) -> Iterator[str]:
    """Why a cluster is where it is (spec S31). Raises CommandRefused when there is none of that name."""
    c = next((c for c in s.clusters if c.name == name), None)
    if c is None:
        raise CommandRefused(f"there is no cluster {name!r}; there are: {', '.join(c.name for c in s.clusters)}")
    yield f"{c.name} is {c.state} since {utc(c.since)}, {lasting(s.at - c.since)} ago" + (
        f": {c.cause}" if c.cause else ""
    )
    if c.override:
        yield f"override: {_override(c.override)}"
    if c.safe_at is not None:
        left = c.safe_at - s.at
        yield f"cached answers: {'all expired' if left <= 0 else f'the last expires in {lasting(left)}'}"
    if c.recovers_at is not None:
        yield f"returns at {utc(c.recovers_at)} if it stays well"
    yield from ("", *_memberships(c.memberships, "NAME", [m.domain for m in c.memberships]))
    if c.why:
        yield ""
        rows = [
            (
                step.stage,
                utc(step.at) if step.at else "not yet",
                f"+{step.since_fault_ms:.1f} ms" if step.since_fault_ms is not None else "",
                step.said,
            )
            for step in c.why
        ]
        yield from table(("STEP", "AT", "SINCE FAULT", "WHAT"), rows)
    bad = [
        (
            f"{source.name}/{check.kind}{':' if check.name else ''}{check.name}",
            check.verdict,
            lasting(s.at - check.since),
            check.said,
        )
        for source in c.sources
        for check in source.checks
        if check.verdict is not Verdict.OK
    ]
    if bad:
        yield from ("", *table(("NOT OK", "VERDICT", "FOR", "SAID"), bad))
    silent = [
        (
            source.name,
            source.kind,
            lasting(s.at - source.heard_at) if source.heard_at else "never heard",
            source.detail,
        )
        for source in c.sources
        if source.verdict is Verdict.UNKNOWN
    ]
    if silent:
        yield from ("", *table(("SILENT", "KIND", "FOR", "WHY"), silent))


def _override(o: Override) -> str:
    until = f"until {utc(o.until)}" if o.until is not None else "until restored"
    return f"{o.action} by {o.who} since {utc(o.since)}, {until}: {o.why or 'no reason given'}"


def _memberships(memberships: tuple[Membership, ...], head: str, names: list[str]) -> list[str]:
    rows = [
        (name, f"in, {m.share}%" if m.in_dns else "out", m.phase, m.why)
        for name, m in zip(names, memberships, strict=True)
    ]
    return table((head, "DNS", "PHASE", "WHY"), rows)


def answers(view: AnswerView) -> Iterator[str]:
    """What DNS says to one question, and why each cluster is in or out."""
    yield f"{view.name} {view.qtype}: {view.rcode}, serial {view.serial}"
    yield from (f"  {line}" for line in (*view.answer, *view.authority))
    if view.memberships:
        yield from ("", *_memberships(view.memberships, "CLUSTER", [m.cluster for m in view.memberships]))


def preview(order: Order, p: Preview) -> Iterator[str]:
    """Before and after an order, and what is left."""
    yield f"{order.action} {' '.join(order.clusters)}"
    for change in p.changes:
        left = (
            "FAIL OPEN: all are served" if change.fail_open else f"{change.healthy_after} of {change.clusters} clusters"
        )
        yield f"  {change.domain}"
        yield f"    before  {' '.join(change.before) or 'no address'}"
        yield f"    after   {' '.join(change.after) or 'no address'}  ({left})"
    if p.safe_in:
        yield f"  every cached answer has expired after {lasting(p.safe_in)}"
    yield from (f"  warning: {warning}" for warning in p.warnings)
