"""The lines at the top of every screen: whose installation, how it stands, how old the data is, what holds now. Pure."""

from __future__ import annotations

from collections import Counter

from core.model import Event
from core.snapshot import Snapshot
from tui import describe
from tui.feed import View
from tui.glyphs import STALE, STATES
from tui.text import Line, Tone, joined, line, plain, wrap

TROUBLES_SHOWN = 3


def header_lines(view: View, width: int, read_only: bool) -> list[Line]:
    """The first line always; then what is out of the ordinary, loudest first."""
    snapshot = view.snapshot
    if snapshot is None:
        return [line(("pointsman", Tone.ACCENT)), _link(view)]
    lines = [_first(snapshot, view, width, read_only)]
    if view.stale:
        lines.append(_link(view))
    if view.replay and view.events:
        lines += _replayed(view, view.events[-1], width)
    if view.paused_at is not None:
        text = f" VIEW FROZEN at {describe.clock(view.paused_at)} UTC: what you see is past. p goes on "
        lines.append(line((text, Tone.NOTICE)))
    badges = _badges(snapshot)
    if badges:
        lines += _flow(badges, width)
    for trouble in snapshot.trouble[:TROUBLES_SHOWN]:
        lines.append(line((" TROUBLE ", Tone.ALARM), " ", (wrap(trouble, width - 10, 1)[0], Tone.BAD)))
    if len(snapshot.trouble) > TROUBLES_SHOWN:
        lines.append(line((f" and {len(snapshot.trouble) - TROUBLES_SHOWN} more", Tone.BAD)))
    return lines


def _replayed(view: View, event: Event, width: int) -> list[Line]:
    """That this is the past, which event it is, and when the screens were taken."""
    when = f"{describe.day(event.at)} {describe.clock(event.at, ms=True)} UTC"
    what = event.name.value.replace("_", " ") + (f" · {event.cluster}" if event.cluster else "")
    taken = f"screens taken {describe.since_fault((view.now - event.at) * 1000)} later"
    parts = [
        line((f" REPLAY {when} ", Tone.NOTICE)),
        line(what),
        line((view.replay, Tone.MUTED)),
        line((taken, Tone.MUTED)),
    ]
    return [
        *_flow(parts, width),
        line(("[ ] step   { } incident   p back to what is live; nothing can be ordered here", Tone.MUTED)),
    ]


def _first(snapshot: Snapshot, view: View, width: int, read_only: bool) -> Line:
    left = joined(
        [
            line((snapshot.installation, Tone.ACCENT)),
            line((" PRODUCTION ", Tone.ALARM)) if snapshot.production else (),
            line((" READ-ONLY ", Tone.NOTICE)) if read_only else (),
        ]
    )
    age = (f"{STALE.word} {describe.age(view.age)}", Tone.BAD) if view.stale else (describe.age(view.age), Tone.MUTED)
    age = ("past", Tone.NOTICE) if view.replay else age
    right = line((f"{describe.rate(snapshot.dns.rate)} · ", Tone.MUTED), age, " ")
    middle = _counts(snapshot, view.stale, width - len(plain(left)) - len(plain(right)) - 4)
    gap = max(1, width - len(plain(left)) - 3 - len(plain(middle)) - len(plain(right)))
    return (*left, ("   ", Tone.TEXT), *middle, (" " * gap, Tone.TEXT), *right)


def _counts(snapshot: Snapshot, stale: bool, room: int) -> Line:
    """How many clusters are in each state, worst first. Where there is no room for all words, those of the best states go
    first, and their signs stay; only where the signs too are too many is something left out, and … says so. Of old data
    nothing is counted as well."""
    if stale:
        return line((f"{STALE.glyph} {len(snapshot.clusters)} {STALE.word}", Tone.MUTED))
    counter = Counter(cluster.state for cluster in snapshot.clusters)
    states = sorted(counter, key=lambda state: STATES[state].rank)
    parts = [line((f"{STATES[s].glyph} {counter[s]} {STATES[s].word}", Tone(STATES[s].tone))) for s in states]
    for n in reversed(range(len(parts))):
        if len(plain(joined(parts))) > room:
            (text, tone), *_ = parts[n]
            parts[n] = line((text.removesuffix(f" {STATES[states[n]].word}"), tone))
    kept = len(parts)
    while kept and len(plain(joined(parts[:kept]))) + 3 * (kept < len(parts)) > room:
        kept -= 1
    return joined([*parts[:kept], *([line(("…", Tone.MUTED))] if kept < len(parts) else [])])


def _link(view: View) -> Line:
    word = f" {STALE.word} " if view.snapshot else " NO DATA "
    parts = [line((word, Tone.ALARM)), line(view.problem or "the engine sends nothing new")]
    if view.retry_in is not None:
        parts.append(line((f"next try in {int(view.retry_in + 0.999)} s", Tone.WARN)))
    if view.snapshot:
        parts.append(line((f"last heard {describe.duration(view.age)} ago", Tone.MUTED)))
    return joined(parts)


def _badges(snapshot: Snapshot) -> list[Line]:
    badges = []
    if snapshot.frozen:
        frozen = snapshot.frozen
        said = " · ".join(part for part in (f"by {frozen.who or '?'}", frozen.why) if part)
        badges.append(line((" FROZEN ", Tone.ALARM), (f" {said}", Tone.TEXT)))
    if snapshot.fail_open:
        badges.append(line((" FAIL-OPEN ", Tone.ALARM), (f" {' '.join(snapshot.fail_open)}", Tone.TEXT)))
    if snapshot.suspect_self:
        badges.append(line((" SUSPECT SELF ", Tone.ALARM), (f" {snapshot.suspect_self}", Tone.TEXT)))
    if snapshot.peers and not snapshot.peers.reachable:
        badges.append(line((" ALONE ", Tone.ALARM), " etcd does not answer: no other instance is heard"))
    elif snapshot.peers and (lost := [each.name for each in snapshot.peers.instances if not each.heard]):
        badges.append(line((" PEER LOST ", Tone.NOTICE), (f" {' '.join(lost)}", Tone.TEXT)))
    if snapshot.shadow:
        badges.append(line((" SHADOW ", Tone.NOTICE), " nothing is carried out"))
    if snapshot.starting:
        badges.append(line((" STARTING ", Tone.NOTICE), " first round of checks"))
    return badges


def _flow(badges: list[Line], width: int) -> list[Line]:
    """The badges on as few lines as hold them whole; a badge's word is never pushed off the screen by another's text."""
    lines: list[Line] = []
    for badge in badges:
        if lines and len(plain(lines[-1])) + 2 + len(plain(badge)) <= width:
            lines[-1] = joined([lines[-1], badge])
        else:
            lines.append(badge)
    return lines
