"""A command that a watch script knows by its number, and the run of it that is awaited. Pure; used by :mod:`core.probes.watch`."""

from __future__ import annotations

import binascii
import hashlib
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from core.probes.check import Output

OUTPUT_LIMIT = 1 << 20
"""Octets of a command's output that are read; what comes after is cut off."""
_KILL_AFTER = 1.0
_LINES_LIMIT = OUTPUT_LIMIT * 3 // 2  # of base64 lines, each of which counts for _LINE at least, were it empty
_LINE = 64


class _Printed(NamedTuple):
    """A standard output; ``sum`` is the SHA-256 of the base64 lines that it came in, as the script makes it."""

    sum: str
    text: str
    truncated: bool


@dataclass(slots=True)
class Command:
    """``ends_at`` is until when a run is awaited, ``inf`` where none is; ``kill_at`` when one that was given up is to be killed.

    ``last`` is what it printed last, ``told`` what it had printed when it was asked last: an ``i`` may speak of that alone."""

    number: int
    timeout: float
    asked_at: float = 0.0
    ends_at: float = inf
    kill_at: float = inf
    run: bytes = b""
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    last: _Printed | None = None
    told: _Printed | None = None

    @property
    def awaited(self) -> bool:
        return self.ends_at < inf

    def ask(self, now: float) -> str:
        self.asked_at, self.ends_at, self.told = now, now + self.timeout, self.last
        return f"r {self.number} {self.told.sum}" if self.told else f"r {self.number}"

    def began(self, run: bytes, now: float) -> None:
        self.run, self.asked_at, self.ends_at, self.kill_at = run, now, now + self.timeout, inf
        self._forget()

    def more(self, line: bytes) -> None:
        if self.size < _LINES_LIMIT:
            self.lines.append(line)
            self.size += len(line) + _LINE

    def ended(self, op: str, data: bytes) -> Output:
        """The output of a run whose end is told by ``x`` or ``i``. ValueError where that makes no sense."""
        if op == "i":
            known, _, data = data.partition(b" ")
            if self.told is None or known != self.told.sum.encode():
                raise ValueError("says that its output is known, which it is not")
            self.last = self.told
        else:
            self.last = self._printed()
        code, _, stderr = data.partition(b" ")
        output = Output(
            int(code) if code else None,
            self.last.text,
            binascii.a2b_base64(stderr).decode("utf-8", "replace"),
            self.last.truncated,
        )
        self.run, self.ends_at = b"", inf
        self._forget()
        return output

    def give_up(self, now: float) -> None:
        self.run, self.ends_at, self.kill_at = b"", inf, now + _KILL_AFTER
        self._forget()

    def _printed(self) -> _Printed:
        found = hashlib.sha256(b"".join(line + b"\n" for line in self.lines)).hexdigest()
        if self.last and self.last.sum == found:
            return self.last
        octets = b"".join(map(binascii.a2b_base64, self.lines))[:OUTPUT_LIMIT]
        return _Printed(found, octets.decode("utf-8", "replace"), len(octets) >= OUTPUT_LIMIT)

    def _forget(self) -> None:
        self.lines, self.size = [], 0
