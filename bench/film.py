"""A recording of a terminal as one SVG that plays in a loop, in any browser and in any README.

A frame is the lines of a screen, each a tuple of toned runs. A line that stays the same over many frames is written once,
with the instants at which it is there. Where nothing animates, the poster is shown. Pure; called by :mod:`bench.screenshot`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple, TypeAlias

CELL = (8.43, 17.0)
"""Width and height of a character of 14 px."""
MARGIN = 12.0
BACKGROUND = "#0f1419"


class Run(NamedTuple):
    """Characters of one look; colours are ``#rrggbb``, an empty ``back`` is the background's."""

    text: str
    fore: str
    back: str
    bold: bool


Line: TypeAlias = tuple[Run, ...]


class Frame(NamedTuple):
    """``at`` in seconds from the start."""

    at: float
    lines: tuple[Line, ...]


def svg(frames: Sequence[Frame], length: float, poster: int, columns: int, rows: int) -> str:
    """The frames as an SVG document that lasts ``length`` seconds; ``poster`` is the number of the frame that stands still."""
    width, height = columns * CELL[0] + 2 * MARGIN, rows * CELL[1] + 2 * MARGIN
    body = "".join(
        _line(y, runs, times, length, frames[poster].at)
        for y in range(rows)
        for runs, times in _spans(frames, y, length).items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" xml:space="preserve" '
        f'font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="14">'
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>{body}</svg>\n'
    )


def _spans(frames: Sequence[Frame], y: int, length: float) -> dict[Line, list[tuple[float, float]]]:
    """Each different content of a line, and from when until when it is there."""
    spans: dict[Line, list[tuple[float, float]]] = {}
    ends = [frame.at for frame in frames[1:]] + [length]
    for frame, end in zip(frames, ends, strict=True):
        times = spans.setdefault(frame.lines[y], [])
        if times and times[-1][1] == frame.at:
            times[-1] = (times[-1][0], end)
        else:
            times.append((frame.at, end))
    return {runs: times for runs, times in spans.items() if any(run.text.strip() or run.back for run in runs)}


def _line(y: int, runs: Line, times: list[tuple[float, float]], length: float, still: float) -> str:
    shown = "visible" if any(start <= still < end for start, end in times) else "hidden"
    moves = "" if times == [(0.0, length)] else _moves(times, length)
    return f'<g visibility="{shown}">{moves}{"".join(_runs(y, runs))}</g>'


def _moves(times: list[tuple[float, float]], length: float) -> str:
    keys, values = [0.0], ["hidden"]
    for start, end in times:
        for at, value in ((start, "visible"), (end, "hidden")):
            if at == keys[-1]:
                values[-1] = value
            elif at < length:
                keys.append(at)
                values.append(value)
    instants = ";".join(f"{key / length:.4f}" for key in keys)
    return (
        f'<animate attributeName="visibility" calcMode="discrete" dur="{length:g}s" repeatCount="indefinite" '
        f'keyTimes="{instants}" values="{";".join(values)}"/>'
    )


def _runs(y: int, runs: Line) -> Iterator[str]:
    column, top = 0, MARGIN + y * CELL[1]
    for run in runs:
        left, width = MARGIN + column * CELL[0], len(run.text) * CELL[0]
        column += len(run.text)
        if run.back and run.back != BACKGROUND:
            yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{CELL[1]}" fill="{run.back}"/>'
        if text := run.text.rstrip():
            lead = len(text) - len(text.lstrip())
            x, span = left + lead * CELL[0], (len(text) - lead) * CELL[0]
            bold = ' font-weight="bold"' if run.bold else ""
            yield (
                f'<text x="{x:.1f}" y="{top + 13:.1f}" textLength="{span:.1f}" fill="{run.fore}"{bold}>'
                f"{escape(text.lstrip())}</text>"
            )
