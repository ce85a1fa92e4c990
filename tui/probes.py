"""From a snapshot to the rows of the Probes screen: how each source is watched, and what that costs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from core.model import Kind, SourceKind, Verdict
from core.snapshot import ClusterView, Snapshot, SourceView
from tui import describe
from tui.filters import Fields, Filter
from tui.glyphs import VERDICTS
from tui.text import Column, Line, Row, Span, Tone, joined, line, wrapped

SHOWN_AT_MOST = 500
"""Rows that are drawn; the worst come first, and the status line says how many were left out."""
MEDIUM = 104


class Watched(NamedTuple):
    """A source and the cluster it belongs to."""

    cluster: str
    source: SourceView

    @property
    def key(self) -> str:
        return f"{self.cluster}/{self.source.kind.value}/{self.source.name}"


def is_bad(source: SourceView) -> bool:
    return VERDICTS[source.verdict].bad


def select(snapshot: Snapshot, query: Filter, faults_only: bool) -> list[Watched]:
    """Those that match, the worst first, then as the settings have them."""
    found = [
        Watched(cluster.name, source)
        for cluster in snapshot.clusters
        for source in cluster.sources
        if (is_bad(source) or not faults_only) and (not query.terms or query.matches(_fields(cluster, source)))
    ]
    return sorted(found, key=lambda watched: VERDICTS[watched.source.verdict].rank)


def _fields(cluster: ClusterView, source: SourceView) -> Fields:
    kinds = [kind.value for kind in Kind if any(check.kind is kind for check in source.checks)]
    word = VERDICTS[source.verdict].word.lower()
    groups = [word, "bad", "down"] if is_bad(source) else [word]
    words = [cluster.name, source.name, source.kind.value, source.mode, source.detail, *kinds, *groups]
    return {
        "": [text.lower() for text in words],
        "state": groups,
        "tag": [tag.lower() for tag in cluster.tags],
        "cluster": [cluster.name.lower()],
        "kind": kinds,
    }


def summary(all_: Sequence[Watched], shown: int) -> Line:
    """How many there are and are not well, and the worst lateness and cost among them."""
    bad = sum(is_bad(watched.source) for watched in all_)
    late = max((w.source.late for w in all_ if w.source.late is not None), default=None)
    cost = max((w.source.cost for w in all_ if w.source.cost is not None), default=None)
    parts = [line((describe.count(len(all_), "source"), Tone.MUTED), (f", {bad} not well" * bool(bad), Tone.BAD))]
    parts += [line((f"the first {shown} are shown", Tone.WARN))] if shown < len(all_) else []
    parts += [line((f"lateness p99 {describe.milliseconds(late)} at worst", Tone.MUTED))] if late is not None else []
    parts += [line((f"cost {percent(cost)} of a core at most", Tone.MUTED))] if cost is not None else []
    return joined(parts, " · ")


def percent(share: float | None) -> str:
    return describe.NONE if share is None else f"{share:.2f}%"


def period(seconds: float | None) -> str:
    """``50ms``, ``1s``, ``1m30s``."""
    if seconds is None:
        return describe.NONE
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else describe.duration(seconds)


def columns(width: int) -> tuple[Column, ...]:
    wide = width >= MEDIUM
    return (
        Column("verdict", "VERDICT", 9),
        Column("cluster", "CLUSTER", 14 if wide else 10),
        Column("source", "SOURCE", 18 if wide else 10),
        *((Column("kind", "KIND", 8),) if wide else ()),
        Column("mode", "WATCH", 6),
        Column("heard", "HEARD", 6, True),
        Column("tick", "TICK", 5, True),
        Column("late", "LATE", 6, True),
        Column("cost", "COST", 6, True),
        Column("driven", "EVENTS; POLLED", 0),
    )


def row(watched: Watched, shown: Sequence[Column], now: float, stale: bool) -> Row:
    source = watched.source
    look = VERDICTS[source.verdict]
    late = source.late is not None and source.tick is not None and source.late > source.tick
    cells: dict[str, Callable[[], Span]] = {
        "verdict": lambda: (f"{look.glyph} {look.word}", Tone(look.tone)),
        "cluster": lambda: (watched.cluster, Tone.TEXT),
        "source": lambda: (source.name, Tone.TEXT),
        "kind": lambda: (source.kind.value, Tone.MUTED),
        "mode": lambda: (source.mode or describe.NONE, Tone.MUTED),
        "heard": lambda: _heard(source, now),
        "tick": lambda: (period(source.tick), Tone.MUTED),
        "late": lambda: (describe.milliseconds(source.late), Tone.WARN if late else Tone.MUTED),
        "cost": lambda: (percent(source.cost), Tone.WARN if (source.cost or 0) >= 1 else Tone.MUTED),
        "driven": lambda: (ways(source), Tone.TEXT),
    }  # fmt: skip
    spans = tuple(cells[column.id]() for column in shown)
    return Row(watched.key, tuple((text, Tone.MUTED) for text, _ in spans) if stale else spans)


def _heard(source: SourceView, now: float) -> Span:
    if not source.heard_at:
        return "never", Tone.WARN if source.kind is SourceKind.NODE else Tone.MUTED
    return describe.duration(now - source.heard_at), Tone.TEXT


def ways(source: SourceView) -> str:
    """``routes vswitch; containers 1s runtime 5s``: what events announce, and what is asked for at which period."""
    driven = " ".join(kind.value for kind in source.event_driven)
    polled = " ".join(f"{kind.value} {period(seconds)}" for kind, seconds in source.periods)
    return "; ".join(part for part in (driven, polled) if part) or source.detail


def detail(watched: Watched, now: float, width: int) -> list[Line]:
    """The source under the cursor: how it is watched, and each of its checks with how it is come by."""
    source = watched.source
    head = joined([line((f"{watched.cluster}/{source.name}", Tone.ACCENT)), line((source.kind.value, Tone.MUTED))])
    lines = [head, *(wrapped("watch ", source.detail, width, Tone.MUTED, 2) if source.detail else [])]
    periods = dict(source.periods)
    for check in sorted(source.checks, key=lambda check: VERDICTS[check.verdict].rank):
        look = VERDICTS[check.verdict]
        name = check.kind.value + (f":{check.name}" if check.name else "")
        ways = ["event" if check.kind in source.event_driven else ""]
        ways += [f"every {period(periods[check.kind])}"] if check.kind in periods else []
        way = " + ".join(part for part in ways if part)
        took = f"took {describe.milliseconds(check.took)}, {describe.duration(now - check.at)} ago"
        text = " · ".join(part for part in (way, took, check.said if check.verdict is not Verdict.OK else "") if part)
        mark: Span = (f"{look.glyph} {look.word:8}", Tone(look.tone))
        label = f"{look.glyph} {look.word:8}{name}  "
        wrapping = wrapped(label, text, width, Tone.MUTED, 2)
        lines += [(mark, (f"{name}  ", Tone.TEXT), wrapping[0][1]), *wrapping[1:]]
    return lines
