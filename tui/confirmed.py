"""Who beside our own DNS has carried out the last decision, and who has not (spec S33), as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from core.snapshot import HandView
from tui import describe
from tui.details import section as titled
from tui.text import EMPTY, Line, Tone, line, wrapped

KINDS = {"router": "router", "internal-dns": "internal DNS", "secondary": "secondary", "provider": "provider"}


def section(hands: Iterable[HandView], cluster: str, now: float, width: int) -> list[Line]:
    """Those that stand in for one cluster; nothing where there is none."""
    mine = [hand for hand in hands if hand.cluster == cluster]
    return titled("CONFIRMED BY", lines(mine, now, width)) if mine else []


def lines(hands: Iterable[HandView], now: float, width: int) -> list[Line]:
    """One line each, those first that have not confirmed."""
    found: list[Line] = []
    for hand in sorted(hands, key=lambda hand: (hand.done, hand.kind, hand.name)):
        has = f"serial {hand.confirmed}" if hand.confirmed else "nothing yet"
        missing = "" if hand.done else f" of {hand.wanted}"
        sign, tone = ("● yes", Tone.OK) if hand.done else ("✖ not yet", Tone.BAD)
        label = f"{sign:9}  {hand.name} ({KINDS[hand.kind]})  "
        text = f"{has}{missing} · for {describe.duration(now - hand.since)} · {hand.address}"
        rows = wrapped(
            label, f"{text} · {hand.said}" if hand.said else text, width, Tone.MUTED if hand.done else Tone.TEXT
        )
        found += [((label, tone), *rows[0][1:]), *rows[1:]]
    return found


def summary(hands: tuple[HandView, ...]) -> Line:
    """``3 of 4 have confirmed``; nothing where nobody is told."""
    if not hands:
        return EMPTY
    done = sum(hand.done for hand in hands)
    return line((f"{done} of {len(hands)} have confirmed", Tone.OK if done == len(hands) else Tone.BAD))
