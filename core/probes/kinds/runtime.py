"""The container runtime daemon (spec S7): ``systemctl show`` must say active (running). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.model import CheckId, Verdict
from core.probes.check import Judgement, Output, Sentinel
from core.probes.kinds.base import Base, Schedule
from core.probes.kinds.text import clean, failed

_PROPERTY = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)


def dbus_match(unit: str) -> str:
    """What systemd says of one unit on the bus; in its path every octet that is no letter or digit is _XX (sd_bus_path_encode)."""
    path = "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in unit)
    return f"type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1/unit/{path}'"


class RuntimeCheck(Base):
    """One unit.

    A unit that systemd does not know is UNKNOWN: it says that the setting ``runtime`` is wrong, not that a daemon has
    died. Removing a package stops its daemon first, and that stop is what fails.
    """

    def __init__(self, check: CheckId, times: Schedule, unit: str) -> None:
        super().__init__(check, times)
        self._unit = unit

    def judge(self, output: Output) -> Sequence[Judgement]:
        if reason := failed(output):
            return self.say(Verdict.UNKNOWN, f"{self._unit}: {reason}")
        unit = dict(_PROPERTY.findall(clean(output.stdout)))
        active, sub, load = unit.get("ActiveState"), unit.get("SubState"), unit.get("LoadState")
        if not active or not sub or output.truncated:
            return self.say(Verdict.UNKNOWN, f"{self._unit}: systemctl gave no whole ActiveState and SubState")
        if (active, sub) == ("active", "running"):
            return self.say(Verdict.OK, f"{self._unit} is active (running)")
        if load == "not-found":
            return self.say(Verdict.UNKNOWN, f"{self._unit} is not installed here: is the node's runtime set right?")
        result = unit.get("Result", "success")
        why = f" (Result: {result})" if result and result != "success" else ""
        state = active if active == sub else f"{active} ({sub})"
        return self.say(Verdict.FAIL, f"{self._unit} is {state}{why}")

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]:
        match = re.search(r"^MainPID=(\d{1,9})\s*$", clean(output.stdout), re.MULTILINE)
        pid = int(match[1]) if match else 0
        return (Sentinel(pid, self._unit),) if pid else ()
