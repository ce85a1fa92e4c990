"""From a snapshot to the rows of the Fleet and Events screens, and the lines about one cluster. Pure.

Rows are tuples of toned text, so that two of them compare in no time and an equal one is never drawn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from core.model import Event, EventName, Verdict
from core.snapshot import AppView, ClusterView, Snapshot
from tui import describe
from tui.filters import Filter, cluster_fields, event_fields, is_bad
from tui.glyphs import BARS, LOST, SCALE, STALE, STATES
from tui.text import Column, Line, Row, Span, Tone, joined, line, wrapped

MEDIUM, WIDE = 104, 140
STRIPS = ((210, 60), (160, 30), (120, 15))
"""How many cells the latency strip gets on a screen of how many columns."""


def fleet_columns(width: int, names: int, overrides: bool = False, every: bool = False) -> tuple[Column, ...]:
    """The columns that a screen of this width has room for; ``names`` is the length of the longest cluster name, and
    ``overrides`` tells whether there is any to show. ``every`` column is there in the wide view, room or not."""
    medium, wide = width >= MEDIUM or every, width >= WIDE or every
    strip = next((cells for least, cells in STRIPS if width >= least), 30 if every else 0)
    columns = [
        Column("state", "STATE", 12),
        Column("name", "CLUSTER", max(8, min(names, 28 if wide else 20 if medium else 12))),
        Column("internal", "INT", 6, True),
        Column("external", "EXT", 4, True),
    ]
    columns += [Column("fails", "FAILS", 5, True)] if medium else []
    columns += [Column("dns", "DNS", 9), Column("p50", "P50", 6, True)]
    columns += [Column("p95", "P95", 6, True)] if medium else []
    columns += [Column("strip", "LAST 15 MINUTES", strip)] if strip else []
    columns += [Column("since", "SINCE", 6, True)]
    columns += [Column("flaps", "FLAPS", 5, True), Column("addresses", "ADDRESSES", 32)] if every else []
    columns += [Column("tags", "TAGS", 12)] if wide else []
    columns += [Column("override", "OVERRIDE", 40 if every else width // 4)] if wide and overrides else []
    return (*columns, Column("note", "WHY", 80 if every else 0))


def state(cluster: ClusterView, stale: bool) -> Span:
    look = STALE if stale else STATES[cluster.state]
    return f"{look.glyph} {look.word}", Tone(look.tone)


def latency_strip(cluster: ClusterView, cells: int) -> Span:
    """The last quarter of an hour in so many cells on the scale that all clusters share: the slowest of each cell's
    medians, × where a message was not answered."""
    times = cluster.latency
    size = max(1, len(times) // cells)
    text = "".join(_height([t for t in times[n : n + size] if t is not None]) for n in range(0, len(times), size))
    return text, Tone.WARN if LOST in text else Tone.TEXT


def _height(times: Sequence[float]) -> str:
    if not times:
        return " "
    return LOST if min(times) < 0 else BARS[bisect_left(SCALE, max(times))]


def _ratio(bad: int, total: int, verdict: Verdict) -> Span:
    if not total:
        return describe.NONE, Tone.MUTED
    text = f"{total - bad}/{total}"
    if verdict is Verdict.FAIL:
        return text, Tone.BAD
    return (f"{text}?", Tone.WARN) if verdict is Verdict.UNKNOWN else (text, Tone.TEXT if not bad else Tone.WARN)


def dns(cluster: ClusterView) -> Span:
    """``in 100%``, ``out``, ``in 1/2 50%``: under how many of its names it is answered, and with what share."""
    shares = sorted(m.share for m in cluster.memberships if m.in_dns)
    if not shares:
        return ("out", Tone.HELD) if cluster.memberships else (describe.NONE, Tone.MUTED)
    low, high = shares[0], shares[-1]
    share = f"{low}%" if low == high else f"{low}-{high}%"
    if len(shares) < len(cluster.memberships):
        return f"{len(shares)}/{len(cluster.memberships)} {share}", Tone.WARN
    return f"in {share}", Tone.TEXT if low == 100 else Tone.WARN


def override(cluster: ClusterView, now: float) -> str:
    """Who took it out, why, for how long yet, and when it is safe to work on."""
    if cluster.override is None:
        return ""
    order = cluster.override
    left = "until restored" if order.until is None else f"{describe.coarse(order.until - now)} left"
    by_whom = f"{order.action.value} by {order.who or '?'}"
    return " · ".join(part for part in (safe(cluster, now), by_whom, left, order.why) if part)


def safe(cluster: ClusterView, now: float) -> str:
    """The countdown to the moment when every cached answer has expired."""
    if cluster.safe_at is None or any(m.in_dns for m in cluster.memberships):
        return ""
    left = cluster.safe_at - now
    return f"safe in {describe.duration(left + 0.999)}" if left > 0 else "safe now"


def returns(cluster: ClusterView, now: float) -> str:
    """When it may come back by itself."""
    if cluster.recovers_at is None or cluster.recovers_at <= now:
        return ""
    return f"back in {describe.duration(cluster.recovers_at - now)}"


def fleet_row(cluster: ClusterView, columns: Sequence[Column], now: float, stale: bool) -> Row:
    by_hand = override(cluster, now)
    cause = " · ".join(part for part in (returns(cluster, now), cluster.cause) if part)
    apart = any(column.id == "override" for column in columns)
    note = cause if apart else " · ".join(part for part in (by_hand, cause) if part)
    look = STATES[cluster.state]
    if stale:
        note = f"last known: {look.word}" + (f" · {note}" if note else "")
    cells: dict[str, Callable[[], Span]] = {
        "state": lambda: state(cluster, stale),
        "name": lambda: (cluster.name, Tone.TEXT),
        "internal": lambda: _ratio(cluster.internal_bad, cluster.internal_total, cluster.internal),
        "external": lambda: _ratio(cluster.external_bad, cluster.external_total, cluster.external),
        "fails": lambda: (str(cluster.fails) if cluster.fails else describe.NONE, Tone.WARN if cluster.fails else Tone.MUTED),
        "dns": lambda: dns(cluster),
        "p50": lambda: (describe.milliseconds(cluster.p50), Tone.TEXT if cluster.p50 is not None else Tone.MUTED),
        "p95": lambda: (describe.milliseconds(cluster.p95), Tone.TEXT if cluster.p95 is not None else Tone.MUTED),
        "strip": lambda: latency_strip(cluster, next(c.width for c in columns if c.id == "strip")),
        "flaps": lambda: (str(cluster.flaps) if cluster.flaps else describe.NONE, Tone.WARN if cluster.flaps else Tone.MUTED),
        "addresses": lambda: (" ".join(cluster.addresses), Tone.TEXT),
        "since": lambda: (describe.duration(now - cluster.since), Tone.MUTED),
        "tags": lambda: (" ".join(cluster.tags), Tone.MUTED),
        "override": lambda: (by_hand, Tone.HELD),
        "note": lambda: (note, Tone.HELD if by_hand and not apart else Tone(look.tone) if look.bad else Tone.TEXT),
    }  # fmt: skip
    spans = (cells[column.id]() for column in columns)
    return Row(cluster.name, tuple((text, Tone.MUTED) for text, _ in spans) if stale else tuple(spans))


class Order(NamedTuple):
    """A way to sort the fleet; ``column`` carries the arrow in the titles."""

    column: str
    key: Callable[[ClusterView], tuple[object, ...]]


ORDERS: tuple[Order, ...] = (
    Order("state", lambda c: (not is_bad(c), STATES[c.state].rank, c.name)),
    Order("name", lambda c: (c.name,)),
    Order("since", lambda c: (-c.since, c.name)),
    Order("dns", lambda c: (sum(m.share for m in c.memberships if m.in_dns), c.name)),
    Order("p50", lambda c: (-(c.p50 or 0.0), c.name)),
)


class Fleet(NamedTuple):
    """What the Fleet screen shows: the clusters in order, and how many of the others are bad."""

    shown: tuple[ClusterView, ...]
    hidden: int
    hidden_bad: int


def select(snapshot: Snapshot, query: Filter, faults_only: bool, order: Order, reverse: bool) -> Fleet:
    keep, hidden, hidden_bad = [], 0, 0
    for cluster in snapshot.clusters:
        bad = is_bad(cluster)
        if (bad or not faults_only) and (not query.terms or query.matches(cluster_fields(cluster))):
            keep.append(cluster)
        else:
            hidden, hidden_bad = hidden + 1, hidden_bad + bad
    return Fleet(tuple(sorted(keep, key=order.key, reverse=reverse)), hidden, hidden_bad)


# -- one cluster -------------------------------------------------------------------------------------------------------


def app_line(app: AppView, cluster: str = "") -> Line:
    """``svc1.net.  out  2 of 3 →  192.0.2.10  192.0.2.11``; the addresses come last, they may be many."""
    inside = [m for m in app.memberships if m.in_dns]
    mine = next((m for m in app.memberships if m.cluster == cluster), None)
    parts = [line((app.domain, Tone.ACCENT))]
    if app.fail_open:
        parts.append(line((" FAIL-OPEN ", Tone.ALARM)))
    if mine:
        parts.append(line((f"in {mine.share}%", Tone.OK) if mine.in_dns else ("out", Tone.HELD)))
    parts.append(line((f"{len(inside)} of {len(app.memberships)} →", Tone.MUTED)))
    return joined([*parts, line("  ".join(app.addresses) or "no address")])


def selected_lines(
    snapshot: Snapshot, cluster: ClusterView, now: float, stale: bool, *, width: int, limit: int
) -> list[Line]:
    """The cluster under the cursor: state, whole cause, override, and what its names answer now."""
    head = joined([
        line((cluster.name, Tone.ACCENT)),
        line(state(cluster, stale)),
        line((f"for {describe.duration(now - cluster.since)}", Tone.MUTED)),
        line((" ".join(cluster.addresses), Tone.MUTED)),
        line((returns(cluster, now), Tone.WARN)) if returns(cluster, now) else (),
    ])  # fmt: skip
    lines = [head]
    tone = Tone.MUTED if stale else Tone(STATES[cluster.state].tone)
    if cluster.cause:
        lines += wrapped("why   ", cluster.cause, width, tone if tone is not Tone.OK else Tone.TEXT, 2)
    if by_hand := override(cluster, now):
        lines += wrapped("hand  ", by_hand, width, Tone.HELD, 1)
    domains = {m.domain for m in cluster.memberships}
    answers = [app_line(app, cluster.name) for app in snapshot.apps if app.domain in domains]
    room = max(1, limit - len(lines))
    if len(answers) > room:
        rest = len(answers) - room + 1
        answers = [*answers[: room - 1], line((f"and {describe.count(rest, 'name')} more", Tone.MUTED))]
    return lines + answers


# -- events ------------------------------------------------------------------------------------------------------------

_E = EventName
EVENT_TONES = (
    dict.fromkeys((_E.FAULT_SEEN, _E.INTERNAL_ANOMALY, _E.EXTERNAL_ANOMALY, _E.SWITCH_ORDERED, _E.ADDRESS_ERASED,
                   _E.FAIL_OPEN, _E.SUSPECT_SELF, _E.POD_DETACHED, _E.STORE_DEGRADED), Tone.BAD)
    | dict.fromkeys((_E.CHECK_SILENT, _E.ERASE_HELD, _E.RAMP_STEP), Tone.WARN)
    | dict.fromkeys((_E.ADDRESS_RESTORED, _E.RECOVERED, _E.POD_ATTACHED, _E.ROUTER_OPENED, _E.FIRST_CLEAN_ANSWER, _E.FAIL_OPEN_ENDED,
                     _E.SUSPECT_SELF_ENDED), Tone.OK)
    | dict.fromkeys((_E.OVERRIDE_SET, _E.OVERRIDE_ENDED, _E.OVERRIDE_EXPIRED, _E.FROZEN, _E.THAWED), Tone.HELD)
)  # fmt: skip


def event_columns(width: int) -> tuple[Column, ...]:
    columns = [Column("at", "TIME UTC", 12), Column("name", "EVENT", 18), Column("cluster", "CLUSTER", 12)]
    columns += [Column("app", "NAME", 18)] if width >= MEDIUM else []
    columns += [Column("after", "AFTER", 8, True)]
    columns += [Column("serial", "SERIAL", 7, True)] if width >= WIDE else []
    return (*columns, Column("said", "WHAT", 0))


def event_row(event: Event, columns: Iterable[Column]) -> Row:
    tone = EVENT_TONES.get(event.name, Tone.TEXT)
    cells: dict[str, Span] = {
        "at": (describe.clock(event.at, ms=True), Tone.MUTED),
        "name": (event.name.value.replace("_", " "), tone),
        "cluster": (event.cluster, Tone.TEXT),
        "app": (event.app, Tone.TEXT),
        "after": (describe.since_fault(event.since_fault_ms), Tone.MUTED),
        "serial": (str(event.serial or ""), Tone.MUTED),
        "said": (event_said(event), Tone.TEXT),
    }
    return Row(f"{event.id}/{event.at}/{event.name}", tuple(cells[column.id] for column in columns))


def event_said(event: Event) -> str:
    parts = ["would have been" if event.shadow else "", event.who and f"by {event.who}", event.cause, event.evidence]
    return " · ".join(part for part in parts if part)


def event_line(event: Event) -> Line:
    """One line of a tail."""
    return joined([
        line((describe.clock(event.at, ms=True), Tone.MUTED)),
        line((f"{event.name.value.replace('_', ' '):18}", EVENT_TONES.get(event.name, Tone.TEXT))),
        line(f"{event.cluster or describe.NONE:10}"),
        line((f"{describe.since_fault(event.since_fault_ms):>8}", Tone.MUTED)),
        line(" · ".join(part for part in (event.app, event_said(event)) if part)),
    ])  # fmt: skip


def matching(events: Iterable[Event], query: Filter) -> list[Event]:
    return [event for event in events if not query.terms or query.matches(event_fields(event))]
