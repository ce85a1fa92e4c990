"""Lines of toned text, and what makes foreign text safe to show. Pure.

Owns :class:`Tone`, the spans and lines that every widget paints, and :func:`clean`. Called by everything in ``tui``.
Text from nodes and events is hostile: it only ever becomes a plain span, never markup, and is cleaned when painted.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from rich.cells import cell_len, set_cell_size

from tui.glyphs import ASCII


class Tone(StrEnum):
    """What a piece of text means; the theme gives it a colour, and no meaning rests on the colour alone."""

    TEXT = "text"
    MUTED = "muted"
    TITLE = "title"
    ACCENT = "accent"
    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    HELD = "held"
    ALARM = "alarm"
    NOTICE = "notice"


Span: TypeAlias = tuple[str, Tone]
Line: TypeAlias = tuple[Span, ...]
EMPTY: Line = ()


class Column(NamedTuple):
    """``width`` in cells; 0 takes what is left (one column only)."""

    id: str
    title: str
    width: int
    right: bool = False


class Row(NamedTuple):
    """``key`` is unique in its grid; one cell per column."""

    key: str
    cells: tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """A line of spans; a bare string is plain text."""
    return tuple((part, Tone.TEXT) if isinstance(part, str) else part for part in parts)


def plain(spans: Line) -> str:
    return "".join(text for text, _ in spans)


def clean(text: str, ascii_only: bool = False) -> str:
    """The text without anything that could move the cursor, change direction or hide: each such character shows as ␦.

    With ``ascii_only`` every character is one of ASCII, the project's own signs by their stand-ins.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " if c in "\n\t" else "␦" for c in text)
    if ascii_only and not text.isascii():
        text = text.translate(ASCII).encode("ascii", "replace").decode("ascii")
    return text


def fit(text: str, width: int, right: bool = False) -> str:
    """Exactly ``width`` cells of the text; what is cut off ends in …"""
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 1 else "…"[:width]
    pad = " " * (width - length)
    return pad + text if right else text + pad


def wrap(text: str, width: int, limit: int = 0) -> list[str]:
    """The text in lines of at most ``width`` characters, at most ``limit`` of them (0: all); the last then ends in …"""
    lines = textwrap.wrap(" ".join(text.split()), max(width, 8)) or [""]
    if limit and len(lines) > limit:
        lines = [*lines[: limit - 1], fit(lines[limit - 1] + " …", width).rstrip()]
    return lines


def wrapped(label: str, text: str, width: int, tone: Tone = Tone.TEXT, limit: int = 0) -> list[Line]:
    """A muted label with the text beside it, hanging."""
    rows = wrap(text, width - len(label), limit)
    return [((label if n == 0 else " " * len(label), Tone.MUTED), (row, tone)) for n, row in enumerate(rows)]


def joined(spans: Iterable[Line], separator: str = "  ") -> Line:
    """Lines one behind the other."""
    result: list[Span] = []
    for part in spans:
        if part and result:
            result.append((separator, Tone.TEXT))
        result.extend(part)
    return tuple(result)
