"""The virtual machines under the nodes, seen from a physical machine (spec S8): ``virsh list --all``. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.model import CheckId, Kind, SourceId, Verdict
from core.probes.check import Judgement, Output, Sentinel
from core.probes.kinds.base import Base, Schedule
from core.probes.kinds.text import clean, failed, printable
from core.probes.kinds.vswitch import processes

PS = "ps -eo pid=,args="
_STATES = "running|idle|paused|in shutdown|shut off|crashed|dying|pmsuspended|no state"
_ROW = re.compile(rf"^\s*(-|\d+)\s+(\S|\S.*?\S)\s+({_STATES})\s*$", re.MULTILINE)
_HEADER = re.compile(r"^\s*Id\s+Name\s+State\s*\n-{10,}\s*$", re.MULTILINE)


class MachineCheck(Base):
    """One command for all domains of a physical machine; the judgement of each domain has the domain as its name.

    Whatever keeps virsh from listing (libvirtd is down, sudo refuses) is silence about the machines, which run on
    without libvirtd. Keeps the processes it was told, until a domain is started anew (under a new number).
    """

    def __init__(self, source: SourceId, times: Schedule, domains: Sequence[str]) -> None:
        super().__init__(CheckId(source, Kind.MACHINE), times)
        self._domains = tuple(dict.fromkeys(domains))
        self._pids: dict[tuple[str, str], int] = {}

    def judge(self, output: Output) -> Sequence[Judgement]:
        reason = failed(output)
        _, *below = _HEADER.split("" if reason else clean(output.stdout), maxsplit=1)
        states = {name: state for _, name, state in _ROW.findall("".join(below))}
        # Whoever stands in a line that cannot be read is not missing.
        unread = [line for line in "".join(below).splitlines() if line.strip() and not _ROW.match(line)]
        if not reason and (not below or unread or output.truncated):
            reason = "the list of machines cannot be read as a whole"
        return [self._judge(domain, states.get(domain), reason) for domain in self._domains]

    def _judge(self, domain: str, state: str | None, reason: str | None) -> Judgement:
        name = f"virtual machine {domain}"
        if state:
            verdict, said = Verdict.OK if state == "running" else Verdict.FAIL, f"{name} is {state}"
        elif reason:
            verdict, said = Verdict.UNKNOWN, f"{name}: virsh: {reason}"
        else:
            verdict, said = Verdict.FAIL, f"{name} is not defined here"
        return Judgement(CheckId(self.id.source, Kind.MACHINE, domain), verdict, printable(said))

    def pids_command(self, output: Output) -> str:
        return PS if any(key not in self._pids for key in self._running(output)) else ""

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]:
        listed = list(processes(clean(pids.stdout))) if pids and not pids.exit_code else []
        running = self._running(output)
        if output.exit_code == 0:
            self._pids = {key: pid for key in running if (pid := self._pids.get(key) or qemu(key[0], listed))}
        return tuple(Sentinel(pid, f"virtual machine {domain}") for (domain, _), pid in self._pids.items())

    def _running(self, output: Output) -> list[tuple[str, str]]:
        found = [(name, number) for number, name, state in _ROW.findall(clean(output.stdout)) if state == "running"]
        return [key for key in found if key[0] in self._domains]


def qemu(domain: str, listed: Sequence[tuple[int, str]]) -> int:
    """The process of a domain: ``qemu… -name guest=NAME,…``, or ``-name NAME`` of older ones; 0 where there is none."""
    named = re.compile(rf"\s-name (?:guest=)?{re.escape(domain)}(?:[,\s]|$)")
    for pid, arguments in listed:
        program = arguments.split(" ", 1)[0].rsplit("/", 1)[-1]
        if program.startswith(("qemu", "kvm")) and named.search(arguments):
            return pid
    return 0
