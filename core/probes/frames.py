"""Reads what a watch script prints: lines that begin with the session's token, among anything else.

Owns the line format of ``watch.sh`` and ``watch_posix.sh`` and the bound on what a node may send. Used by
:mod:`core.probes.session`. Pure: no I/O and no clock; what comes in is hostile (spec S25: garbage is silence).
"""

from __future__ import annotations

from typing import NamedTuple

from core.probes.kinds.text import printable

MAX_LINE = 4096
"""Octets of a line of ours: PIPE_BUF, up to which writes of several processes never mix."""


class Frame(NamedTuple):
    """One line. ``op`` is its letter in the scripts; ``number`` the check (tick: its sequence number; u: clock ticks), ``data`` the rest."""

    op: str
    number: int = 0
    data: bytes = b""


class Flood(Exception):
    """The node sends more than any watch would; its text is what to tell the operator."""


class Allowance:
    """A token bucket: ``rate`` a second, at most ``burst`` saved up."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left, self._at = rate, burst, burst, 0.0

    def spend(self, cost: float, now: float) -> bool:
        """Whether ``cost`` is still allowed at ``now`` (seconds, never going back)."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - cost
        self._at = now
        return self._left >= 0


_NUMBERED = frozenset("tdboxivwu")
_TEXT = frozenset("sh")
_LINE_COST = 200  # what handling a line costs, in octets received: a flood of short lines is a flood as well


class FrameParser:
    """Turns octets into frames, in chunks of any size. Memory is bounded by one line.

    Lines that are not ours (banners, start-up files, debug output) are counted and skipped; ``noise`` keeps the last one.
    """

    def __init__(self, token: str) -> None:
        self._prefix = token.encode() + b" "
        self._tick = self._prefix + b"t "
        self._rest = b""
        self._skipping = False
        self._all = Allowance(4e6, 32e6)
        self._garbage = Allowance(1e3, 256e3)
        self.noise = b""

    def feed(self, data: bytes, now: float) -> list[Frame]:
        """The frames completed by ``data``. Flood when the node has sent too much, or too much that is not ours."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        self._spend(len(data) + _LINE_COST * len(lines), now)
        frames = []
        for line in lines:
            frame = None if self._skipping else self._frame(line)
            self._skipping = False
            if frame is not None:
                frames.append(frame)
            elif line.strip():
                self._skip(line, now)
        if len(self._rest) > MAX_LINE:
            self._skip(self._rest, now)
            self._rest, self._skipping = b"", True
        return frames

    def beat(self, data: bytes, now: float) -> bool:
        """Whether ``data`` is a tick by itself, as nearly all that comes is: then it is read, without taking it to pieces."""
        if not data.startswith(self._tick) or not data.endswith(b"\n") or self._rest or self._skipping:
            return False
        number = data[len(self._tick) : -1]
        if not number.isdigit() or len(number) >= 18:
            return False
        self._spend(len(data) + _LINE_COST, now)
        return True

    def _spend(self, cost: int, now: float) -> None:
        if not self._all.spend(cost, now):
            raise Flood("sends far more than a watch would")

    def _skip(self, line: bytes, now: float) -> None:
        self.noise = line[:200]
        if not self._garbage.spend(len(line), now):
            raise Flood(f"sends garbage: {printable(self.noise.decode(errors='replace'))}")

    def _frame(self, line: bytes) -> Frame | None:
        if not line.startswith(self._prefix) or len(line) > MAX_LINE:
            return None
        op, _, rest = line[len(self._prefix) :].partition(b" ")
        letter = op.decode("ascii", "replace")
        if letter in _TEXT:
            return Frame(letter, 0, rest)
        if letter not in _NUMBERED:
            return None
        number, _, data = rest.partition(b" ")
        return Frame(letter, int(number), data) if number.isdigit() and len(number) < 18 else None
