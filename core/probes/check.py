"""What a check is to the session that runs it: a command, and pure functions that read its output.

The kinds (:mod:`core.probes.kinds`) implement :class:`Check`; the watch (:mod:`core.probes.watch`) runs them. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.model import CheckId, PodReport, Verdict


@dataclass(frozen=True, slots=True)
class Output:
    """What a command left: its exit code (None: killed at its deadline), its two outputs, undecodable octets replaced.

    ``truncated`` tells that the output was longer than the bound and has been cut; it is then never proof of absence.
    """

    exit_code: int | None
    stdout: str
    stderr: str = ""
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an output means for one check. ``said`` is one line of printable text, at most 300 characters."""

    check: CheckId
    verdict: Verdict
    said: str
    pods: tuple[PodReport, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Sentinel:
    """A process whose end triggers the full check at once. ``label`` says what it is, for the screen and the log."""

    pid: int
    label: str


class Check(Protocol):
    """One periodic command on a source.

    ``events`` is a long-running command whose every output line triggers the check ("" where there is none).
    ``pids_command`` gives a command that finds the processes behind what was listed ("" where the output tells them
    already, or nothing changed); its output goes back into ``sentinels``.
    """

    @property
    def id(self) -> CheckId: ...

    @property
    def command(self) -> str: ...

    @property
    def interval(self) -> float: ...

    @property
    def timeout(self) -> float: ...

    @property
    def events(self) -> str: ...

    def judge(self, output: Output) -> Sequence[Judgement]:
        """One judgement for each check id the output speaks for (a machine: one a domain). Never raises."""
        ...

    def pids_command(self, output: Output) -> str: ...

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]: ...
