"""The virtual switch daemon (spec S6): the ovs-vswitchd process with its db.sock, and its answer to ovs-appctl. Pure.

Two checks, because they fail apart: a stopped process is in the list and does not answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.model import Verdict
from core.probes.check import Judgement, Output, Sentinel
from core.probes.kinds.base import Base
from core.probes.kinds.text import clean, complaint, failed, refusal

_PS = re.compile(r"^\s*(\d{1,9})\s+(\S.*)$", re.MULTILINE)
_PS_AUX = re.compile(
    r"^\S+\s+(\d{1,9})\s+[\d.]+\s+[\d.]+\s+\d+\s+\d+\s+\S+\s+\S+\s+\S+\s+\d+:\d+\s+(\S.*)$", re.MULTILINE
)
# "No such process": the file of a daemon's pid is there, and nobody holds its lock: it was killed.
_NO_DAEMON = re.compile(
    r"(?:pid|\.ctl|socket|connect).*(?:no such file or directory|no such process|connection refused)", re.IGNORECASE
)


def processes(text: str) -> Iterator[tuple[int, str]]:
    """(pid, arguments) of a list as ``ps -eo pid=,args=`` or ``ps aux`` print it."""
    for match in (_PS_AUX if text.lstrip().startswith("USER") else _PS).finditer(text):
        yield int(match[1]), match[2]


def _is_switch(arguments: str) -> bool:
    # argv[0] must be the daemon: a grep, an editor or a script has the name among its arguments only, OVS's own
    # monitor process is called "ovs-vswitchd:", and a zombie has lost its arguments.
    words = arguments.split()
    return words[0].rsplit("/", 1)[-1] == "ovs-vswitchd" and any("db.sock" in word for word in words[1:])


class SwitchProcessCheck(Base):
    """The process is in the list. It is missing only where the list is whole: one without process 1 hides others
    (hidepid, a pid namespace) and proves nothing."""

    def judge(self, output: Output) -> Sequence[Judgement]:
        if reason := failed(output):
            return self.say(Verdict.UNKNOWN, f"process list: {reason}")
        seen = dict(processes(clean(output.stdout)))
        if pid := next((pid for pid, arguments in seen.items() if _is_switch(arguments)), 0):
            return self.say(Verdict.OK, f"ovs-vswitchd runs as process {pid}")
        if output.truncated or 1 not in seen:
            return self.say(Verdict.UNKNOWN, "process list is not whole: process 1 or its end is missing")
        return self.say(Verdict.FAIL, "no process ovs-vswitchd with db.sock")

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]:
        found = (pid for pid, arguments in processes(clean(output.stdout)) if _is_switch(arguments))
        return tuple(Sentinel(pid, "ovs-vswitchd") for pid in found)[:1]


class SwitchAnswerCheck(Base):
    """The daemon answers on its control socket."""

    def judge(self, output: Output) -> Sequence[Judgement]:
        if reason := refusal(output):
            return self.say(Verdict.UNKNOWN, f"ovs-appctl: {reason}")
        if output.exit_code:
            definite = _NO_DAEMON.search(output.stderr[-4000:])
            verdict = Verdict.FAIL if definite else Verdict.UNKNOWN
            return self.say(verdict, f"ovs-vswitchd does not answer: {complaint(output)}")
        if not output.stdout.strip():
            return self.say(Verdict.UNKNOWN, "ovs-appctl printed nothing")
        return self.say(Verdict.OK, "ovs-vswitchd answers")
