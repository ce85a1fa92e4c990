"""The documents of the Cluster and DNS screens, as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from core.model import Event, Kind, Phase, SourceKind, Verdict
from core.snapshot import AnswerView, AppView, CheckView, ClusterView, Membership, PodView, SourceView
from tui import describe, rows
from tui.glyphs import BARS, LOST, STATES, VERDICTS
from tui.text import EMPTY, Line, Span, Tone, fit, joined, line, wrap, wrapped

EVENTS_SHOWN = 200
SHORT = {Verdict.OK: "OK", Verdict.FAIL: "FAIL", Verdict.UNKNOWN: "UNKN"}


def section(title: str, lines: Iterable[Line], none: str = "none") -> list[Line]:
    """A titled part, with an empty line behind it."""
    return [line((title, Tone.TITLE)), *(list(lines) or [line((none, Tone.MUTED))]), EMPTY]


def _verdict(verdict: Verdict) -> Span:
    look = VERDICTS[verdict]
    return f"{look.glyph} {look.word}", Tone(look.tone)


# -- cluster -----------------------------------------------------------------------------------------------------------


def head(cluster: ClusterView, now: float, stale: bool, width: int) -> list[Line]:
    first = joined([
        line((cluster.name, Tone.ACCENT)),
        line(rows.state(cluster, stale)),
        line((f"for {describe.duration(now - cluster.since)}", Tone.MUTED)),
        line(("DNS ", Tone.MUTED), rows.dns(cluster)),
        line((" ".join(cluster.addresses), Tone.MUTED)),
        line((f"p50 {describe.milliseconds(cluster.p50)} p95 {describe.milliseconds(cluster.p95)}", Tone.MUTED)),
        line((" ".join(cluster.tags), Tone.MUTED)),
    ])  # fmt: skip
    lines = [first]
    tone = Tone.MUTED if stale else Tone(STATES[cluster.state].tone)
    if any(took is not None for took in cluster.latency):
        scale = f"{BARS[0]} ≤ 1 ms … {BARS[-1]} > 100 ms, {LOST} not answered"
        strip = rows.latency_strip(cluster, 60 if width >= 100 else 30)
        lines.append(line(("15 min", Tone.MUTED), " ", strip, (f"  {scale}" if width >= 80 else "", Tone.MUTED)))
    if cluster.cause:
        lines += wrapped("why   ", cluster.cause, width, tone)
    if by_hand := rows.override(cluster, now):
        lines += wrapped("hand  ", by_hand, width, Tone.HELD)
    notes = [rows.returns(cluster, now), f"{describe.count(cluster.flaps, 'flap')}" if cluster.flaps else "",
             f"{describe.count(cluster.fails, 'failing result')} in a row" if cluster.fails else ""]  # fmt: skip
    if any(notes):
        lines += wrapped("next  ", " · ".join(note for note in notes if note), width, Tone.WARN)
    return [*lines, EMPTY]


def why_chain(cluster: ClusterView, width: int) -> list[Line]:
    """Check → verdict → decision → answer, each with its time and the milliseconds since the fault was seen."""
    lines: list[Line] = []
    for step in cluster.why:
        when = describe.clock(step.at, ms=True) or "not reached"
        label = f"{step.stage:9} {when:12} {describe.since_fault(step.since_fault_ms):>9}  "
        lines += wrapped(label, step.said, width, Tone.TEXT if step.at > 0 else Tone.MUTED)
    return section("WHY   check → verdict → decision → answer", lines, "nothing has happened to it")


def matrix(cluster: ClusterView, width: int) -> list[Line]:
    """Sources by kinds: the worst verdict of the checks in each cell, and of a node's pods in that of its containers."""
    kinds = [kind for kind in Kind if any(check.kind is kind for source in cluster.sources for check in source.checks)]
    names = max([6, *(len(source.name) for source in cluster.sources)])
    names = min(names, 18)
    cells = [max(7, len(kind.value)) for kind in kinds]
    if names + 2 + sum(cells) + len(cells) > width:
        cells = [7] * len(kinds)
    titles = " ".join(fit(kind.value, cell) for kind, cell in zip(kinds, cells, strict=True))
    lines: list[Line] = [line((f"{'':{names}}  {titles}", Tone.MUTED))] if kinds else []
    for source in cluster.sources:
        spans: list[Span] = [(fit(source.name, names) + "  ", Tone.TEXT)]
        for kind, cell in zip(kinds, cells, strict=True):
            found = [check.verdict for check in source.checks if check.kind is kind]
            if kind is Kind.CONTAINERS:
                found += [pod.verdict for pod in cluster.pods if pod.node == source.name]
            spans += [_cell(found, cell), (" ", Tone.TEXT)]
        lines.append(tuple(spans))
    return section("CHECKS", lines, "it has no checks")


def _cell(verdicts: list[Verdict], width: int) -> Span:
    if not verdicts:
        return fit("·", width), Tone.MUTED
    worst = min(verdicts, key=lambda verdict: VERDICTS[verdict].rank)
    look = VERDICTS[worst]
    return fit(f"{look.glyph} {SHORT[worst]}", width), Tone(look.tone)


def membership_line(member: Membership, label: str, names: int, now: float, width: int) -> list[Line]:
    """``● tokyo  in 100%  serving  2h07m  why``."""
    place = f"in {member.share}%" if member.in_dns else "out"
    tone = Tone.OK if member.in_dns and member.share == 100 else Tone.WARN if member.in_dns else Tone.HELD
    glyph = "●" if member.in_dns else "✖"
    left = f"{glyph} {fit(label, names)}  {place:8}"
    phase = member.phase.value if member.in_dns or member.phase is not Phase.SERVING else "by hand"
    middle = f" {phase:10} {describe.duration(now - member.since):>6}  "
    texts = wrap(member.why, width - len(left) - len(middle))
    first: Line = ((left, tone), (middle, Tone.MUTED), (texts[0], Tone.TEXT))
    hanging = " " * (len(left) + len(middle))
    return [first, *(line(hanging + text) for text in texts[1:])]


def memberships(cluster: ClusterView, now: float, width: int) -> list[Line]:
    names = min(28, max([8, *(len(m.domain) for m in cluster.memberships)]))
    lines: list[Line] = []
    for member in cluster.memberships:
        lines += membership_line(member, member.domain, names, now, width)
    return section("NAMES", lines, "no name is served by it")


def pods(cluster: ClusterView, now: float, width: int) -> list[Line]:
    lines: list[Line] = []
    for pod in sorted(cluster.pods, key=lambda p: (VERDICTS[p.verdict].rank, p.pod)):
        lines.append(_pod(pod, now))
        if pod.verdict is not Verdict.OK and pod.said:
            lines += wrapped("    ", pod.said, width, Tone.TEXT, 3)
    return section("PODS", lines, "no app names pods here")


def _pod(pod: PodView, now: float) -> Line:
    weight = (f"weight {pod.weight:3}%", Tone.TEXT if pod.weight == 100 else Tone.WARN)
    verdict, tone = _verdict(pod.verdict)
    notes: list[Span] = []
    if pod.next_step_at is not None:
        notes.append((f"ramping, next step in {describe.duration(pod.next_step_at - now)}", Tone.WARN))
    if pod.confirmed is not None and pod.confirmed != pod.weight:
        notes.append((f"the router still has {pod.confirmed}%", Tone.BAD))
    return joined([line((f"{verdict:9}", tone)), line(weight), line(f"{pod.pod:28}"), line((pod.node, Tone.MUTED)),
                   line((describe.duration(now - pod.since), Tone.MUTED)), *(line(note) for note in notes)])  # fmt: skip


def results(cluster: ClusterView, now: float, width: int) -> list[Line]:
    """The last raw result of each check with what it said, the worst first."""
    pairs = [(source, check) for source in cluster.sources for check in source.checks]
    pairs.sort(key=lambda pair: (VERDICTS[pair[1].verdict].rank, pair[0].name, pair[1].kind, pair[1].name))
    lines: list[Line] = []
    for source, check in pairs:
        lines.append(_result(source, check, now))
        lines += wrapped("    ", check.said or "(said nothing)", width, Tone.TEXT if check.said else Tone.MUTED, 4)
    return section("LAST RESULTS", lines, "nothing has been heard yet")


def _result(source: SourceView, check: CheckView, now: float) -> Line:
    verdict, tone = _verdict(check.verdict)
    name = check.kind.value + (f":{check.name}" if check.name else "")
    return joined([
        line((f"{verdict:9}", tone)), line(f"{source.name}/{name}"),
        line((f"×{check.streak}  {describe.clock(check.at, ms=True)}  took {describe.milliseconds(check.took)}  "
              f"since {describe.duration(now - check.since)}", Tone.MUTED)),
    ])  # fmt: skip


def watches(cluster: ClusterView, now: float, width: int) -> list[Line]:
    """How each source is watched, and when it was last heard."""
    lines: list[Line] = []
    for source in cluster.sources:
        verdict, tone = _verdict(source.verdict)
        kind = "" if source.kind is SourceKind.NODE else f"({source.kind.value})"
        heard = f"heard {describe.duration(now - source.heard_at)} ago" if source.heard_at else "never heard"
        driven = "events: " + " ".join(source.event_driven) if source.event_driven else ""
        text = " · ".join(part for part in (source.mode, heard, driven, source.detail) if part)
        label = f"{verdict:9}  {source.name} {kind}".rstrip() + "  "
        wrapping = wrapped(label, text, width, Tone.MUTED)
        lines += [((label, tone), wrapping[0][1]), *wrapping[1:]]
    return section("WATCHED BY", lines, "nothing watches it")


def history(events: Iterable[Event], name: str) -> list[Line]:
    mine = [event for event in events if event.cluster == name][-EVENTS_SHOWN:]
    return section("ITS EVENTS, newest first", [rows.event_line(event) for event in reversed(mine)])


# -- DNS ---------------------------------------------------------------------------------------------------------------


def app_lines(app: AppView, now: float, width: int) -> list[Line]:
    """A name, what it answers, and why each cluster is in or out."""
    policy = f"{app.policy} · ttl {app.ttl} s · min healthy {app.min_healthy}%"
    lines = [joined([line((app.domain, Tone.ACCENT)), line((policy, Tone.MUTED)),
                     line((" FAIL-OPEN ", Tone.ALARM)) if app.fail_open else EMPTY])]  # fmt: skip
    lines += wrapped("answers  ", "  ".join(app.addresses) or "no address", width)
    names = min(20, max([7, *(len(m.cluster) for m in app.memberships)]))
    for member in app.memberships:
        lines += membership_line(member, member.cluster, names, now, width)
    return [*lines, EMPTY]


def answer_lines(now: AnswerView, without: tuple[str, ...], as_if: AnswerView | None, width: int) -> list[Line]:
    """The answer to a question that was asked by hand, and what it would be without some clusters."""
    lines = _sections(now, width)
    if as_if is not None:
        title = f"as if {', '.join(without)} {'were' if len(without) > 1 else 'was'} erased"
        lines += [line((title, Tone.NOTICE)), *_sections(as_if, width)]
        gone = [record for record in now.answer if record not in as_if.answer]
        come = [record for record in as_if.answer if record not in now.answer]
        lines += [line((f"- {record}", Tone.BAD)) for record in gone] + [
            line((f"+ {record}", Tone.OK)) for record in come
        ]
        lines += [] if gone or come else [line(("the same answer", Tone.MUTED))]
    return section(f"ASKED  {now.name} {now.qtype}", lines)


def _sections(view: AnswerView, width: int) -> list[Line]:
    tone = Tone.OK if view.rcode == "NOERROR" else Tone.WARN
    lines = [
        line((view.rcode, tone), (f"  serial {view.serial}  {describe.count(len(view.answer), 'answer')}", Tone.MUTED))
    ]
    for label, records in (("", view.answer), ("authority  ", view.authority)):
        for record in records:
            lines += wrapped("  " + label, record, width)
    return lines
