"""Finds the line of a key in a TOML file, which ``tomllib`` does not tell.

Owns a scanner of TOML's outer shape: table headers, keys, arrays, inline tables and where texts end. It expects text
that ``tomllib`` has read, so it checks nothing and decodes no values. Called by :mod:`core.settings.load`. Pure.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Loc: TypeAlias = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*""")
_TEXT = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?:[^"\\]|\\.)*"' r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]*")


class Lines:
    """The lines of a TOML document's keys. A place that is not in the file has the line of the table it belongs to."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._found: dict[Loc, int] = {}
        self._lengths: dict[Loc, int] = {}
        self._scan()

    def line(self, loc: Sequence[str | int]) -> int | None:
        """The line (from 1) of ``("cluster", 0, "node", 1, "ssh")`` or of its nearest ancestor that is written."""
        known: Mapping[Loc, int] = self._found
        return next((known[tuple(loc[:n])] for n in range(len(loc), 0, -1) if tuple(loc[:n]) in known), None)

    def _scan(self) -> None:
        table: Loc = ()
        at = self._skip(0)
        while at < len(self._text):
            if self._text.startswith("[[", at):
                keys, end = self._keys(at + 2)
                array = (*self._resolve((), keys[:-1]), keys[-1])
                index = self._lengths.get(array, 0)
                self._lengths[array] = index + 1
                table = (*array, index)
                self._record(table, at)
                at = end + 2
            elif self._text[at] == "[":
                keys, end = self._keys(at + 1)
                table = self._resolve((), keys)
                self._found[table] = self._line(at)
                self._record(table, at)
                at = end + 1
            else:
                at = self._pair(table, at)
            at = self._skip(at)

    def _resolve(self, loc: Loc, keys: Sequence[str]) -> Loc:
        """The table that a header means: where a part is an array of tables, its newest one."""
        for key in keys:
            loc = (*loc, key)
            if loc in self._lengths:
                loc = (*loc, self._lengths[loc] - 1)
        return loc

    def _pair(self, table: Loc, at: int) -> int:
        keys, equals = self._keys(at)
        loc = (*table, *keys)
        self._record(loc, at)
        return self._value(loc, self._skip(equals + 1))

    def _value(self, loc: Loc, at: int) -> int:
        opening = self._text[at]
        if opening not in "[{":
            match = _TEXT.match(self._text, at) or _SCALAR.match(self._text, at)
            return match.end() if match else at + 1
        index = 0
        at = self._skip(at + 1)
        while self._text[at] not in "]}":
            if opening == "[":
                self._record((*loc, index), at)
                at = self._value((*loc, index), at)
                index += 1
            else:
                at = self._pair(loc, at)
            at = self._skip(at)
            if self._text[at] == ",":
                at = self._skip(at + 1)
        return at + 1

    def _keys(self, at: int) -> tuple[list[str], int]:
        """The parts of a dotted key and the offset behind it."""
        keys = []
        while match := _KEY_PART.match(self._text, at):
            keys.append(_plain(match[1]))
            at = match.end()
            if not self._text.startswith(".", at):
                break
            at += 1
        return keys, at

    def _record(self, loc: Loc, at: int) -> None:
        line = self._line(at)
        for n in range(1, len(loc) + 1):
            self._found.setdefault(loc[:n], line)

    def _skip(self, at: int) -> int:
        match = _BLANK.match(self._text, at)
        return match.end() if match else at

    def _line(self, at: int) -> int:
        return bisect_right(self._starts, at)


def _plain(key: str) -> str:
    """A key without its quotes and escapes."""
    if key[0] in "\"'":
        return next(iter(tomllib.loads(f"{key} = 0")))
    return key
