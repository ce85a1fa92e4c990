"""From what a command left to results: judgements become evidence or silence (spec S25).

Used by the watch and by polling. Pure, but that a reader which raises is told in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from core.model import CheckId, Evidence, Result, Silence, Verdict
from core.probes.check import Check, Judgement, Output, Sentinel
from core.probes.kinds.text import printable

T = TypeVar("T")
_log = structlog.get_logger()
_SUDO_REFUSES = (
    "sudo: a password is required",
    "sudo: a terminal is required",
    "sudo: no tty present",
    "is not in the sudoers file",
    "is not allowed to execute",
    "may not run sudo",
)


@dataclass(slots=True)
class Judge:
    """Reads the outputs of one check and remembers what it spoke for, so that silence is said of all of it. A defect in one reader is
    told and must not end the watch of all the others (spec S36)."""

    check: Check
    _output: Output | None = None
    _judgements: Sequence[Judgement] = ()

    def known(self, output: Output) -> Output:
        """The last output itself where this one is equal: a check may tell by identity what it has read already."""
        return self._output if self._output is not None and self._output == output else output

    def answered(self, output: Output, at: float, took: float, noticed_at: float | None) -> list[Result]:
        """The results of an answer. One that is the same as the last is not read again."""
        if refusal := _refusal(output, self.check.command):
            return self.silent(refusal, at, took)
        if output is not self._output:
            judgements = self._read(self.check.judge, output)
            if judgements is None:
                return self.silent("a defect in reading its output, see the log", at, took)
            self._output, self._judgements = output, judgements
        return [
            Silence(j.check, j.said, at, took)
            if j.verdict is Verdict.UNKNOWN
            else Evidence(j.check, j.verdict is Verdict.OK, j.said, at, took, noticed_at, j.pods)
            for j in self._judgements
        ]

    def silent(self, reason: str, at: float, took: float = 0.0) -> list[Result]:
        """Silence for each check id that the last answer spoke for, or for the check itself where none came yet."""
        return [Silence(check, reason, at, took) for check in self._ids()]

    def pids_command(self, output: Output) -> str:
        return self._read(self.check.pids_command, output) or ""

    def sentinels(self, output: Output, pids: Output | None) -> Sequence[Sentinel]:
        return self._read(self.check.sentinels, output, pids) or ()

    def _read(self, reader: Callable[..., T], *outputs: Output | None) -> T | None:
        try:
            return reader(*outputs)
        except Exception:
            _log.exception("check_not_read", check=str(self.check.id))
            return None

    def _ids(self) -> tuple[CheckId, ...]:
        return tuple(j.check for j in self._judgements) or (self.check.id,)


def _refusal(output: Output, command: str) -> str | None:
    if output.exit_code and any(phrase in output.stderr for phrase in _SUDO_REFUSES):
        return printable(f"sudo asks for a password: allow `{command}` with NOPASSWD in sudoers")
    return None
