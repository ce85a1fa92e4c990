"""The containers of a node's pods (spec S4): of each pod's container the newest attempt. Pure.

Which attempt counts. A pod is known by its name, and a StatefulSet gives a new pod the old one's name, whose attempts
count from 0 again: so first the newest pod of a name (by its uid), then each container's highest attempt.

An init container that has done its work is Exited for as long as its pod lives, and no listing marks it. What is known:
it ends before the next container of its sandbox is created. So one that has exited (with code 0, where the listing
tells it), that has a later neighbour, and that was never seen running beside one, is left out. The price: a container
that ended before pointsman first looked is left out too, until its next attempt is listed a moment later.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Sequence

from core.model import CheckId, PodReport, Verdict
from core.probes.check import Judgement, Output, Sentinel
from core.probes.kinds.base import Base, Schedule, sibling
from core.probes.kinds.listing import Listed, Reader, crictl, docker, podman
from core.probes.kinds.text import clean, complaint, failed, refusal
from core.settings import PodRule
from core.world import matches

READERS: dict[str, Reader] = {"crio": crictl, "containerd": crictl, "docker": docker, "podman": podman}

# crictl up to 1.30 runs the template once for each id; later ones once for all, on a list as soon as there are two.
_CRICTL_TEMPLATE = (
    '{{if eq (printf "%.1s" (printf "%T" .)) "["}}'
    r'{{range .}}{{.status.id}} {{.info.pid}}{{"\n"}}{{end}}'
    "{{else}}{{.status.id}} {{.info.pid}}{{end}}"
)
INSPECT: dict[str, str] = {
    "crio": f"inspect -o go-template --template {shlex.quote(_CRICTL_TEMPLATE)}",
    "containerd": f"inspect -o go-template --template {shlex.quote(_CRICTL_TEMPLATE)}",
    "docker": "inspect --format '{{.Id}} {{.State.Pid}}'",
}
EVENTS: dict[str, str] = {
    # Not crictl events: containerd before the fix of its issue 7318, and CRI-O before that of its 6466, gave each event to
    # one subscriber, and the kubelet would miss those that we read. containerd's own events go to all.
    "docker": "events --filter type=container"
    + "".join(f" --filter event={e}" for e in ("start", "die", "pause", "unpause", "destroy")),
    "podman": "events --filter event=start --filter event=died --filter event=pause --filter event=unpause --filter event=remove",
}
"""What makes a listing change; without the filters each exec of a health check would be one more event."""

PIDS_AT_ONCE = 100
_PID = re.compile(r"^([0-9a-f]{8,64}) (\d{1,9})$", re.MULTILINE)
_REFUSED = re.compile(
    r"connect: (?:connection refused|no such file or directory)|cannot connect to (?:the docker daemon|podman)",
    re.IGNORECASE,
)


def newest(listed: Sequence[Listed]) -> list[Listed]:
    """Of each pod's container the attempt that counts, in the order of pod and name."""
    pods: dict[str, Listed] = {}
    for one in listed:
        if one.pod not in pods or one.since > pods[one.pod].since:
            pods[one.pod] = one
    attempts: dict[tuple[str, str], Listed] = {}
    for one in listed:
        key = (one.pod, one.name)
        known = attempts.get(key)
        if one.uid == pods[one.pod].uid and (not known or (one.attempt, one.since) > (known.attempt, known.since)):
            attempts[key] = one
    return [attempts[key] for key in sorted(attempts)]


class ContainersCheck(Base):
    """The listing of one node. Its own verdict is whether the runtime answered; the pods are judged by who knows the
    apps.

    Keeps three things between outputs: the last listing, the pids it was told (asked again only for a container that
    is new or was started again), and which containers were seen running beside a later one.
    """

    def __init__(self, check: CheckId, times: Schedule, runtime: str, rules: Sequence[PodRule]) -> None:
        super().__init__(check, times)
        self._reader = READERS[runtime]
        self._inspect = sibling(times.command, "ps", INSPECT[runtime]) if runtime in INSPECT else ""
        self._rules = tuple(rules)
        self._last: tuple[Output, list[Listed] | None] | None = None
        self._pids: dict[tuple[str, str], int] = {}
        self._beside: frozenset[str] = frozenset()
        self._sentinels: tuple[Sentinel, ...] = ()

    def judge(self, output: Output) -> Sequence[Judgement]:
        if reason := refusal(output):
            return self.say(Verdict.UNKNOWN, f"containers: {reason}")
        if output.exit_code:
            if _REFUSED.search(output.stderr[-4000:]):
                return self.say(Verdict.FAIL, f"the container runtime does not answer: {complaint(output)}")
            return self.say(Verdict.UNKNOWN, f"containers: {failed(output)}")
        listed = self._read(output)
        if listed is None:
            what = "cut off: too long" if output.truncated else "not readable as JSON"
            return self.say(Verdict.UNKNOWN, f"container list is {what}")
        counted = self._without_finished_init(listed)
        pods = tuple(_report(one) for one in counted)
        running = sum(one.running for one in counted)
        return self.say(Verdict.OK, f"{running} of {len(counted)} containers running", pods)

    def pids_command(self, output: Output) -> str:
        unknown = [one.id for one in self._watched(output) or () if not self._pid(one)]
        return f"{self._inspect} {' '.join(unknown[:PIDS_AT_ONCE])}" if self._inspect and unknown else ""

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]:
        watched = self._watched(output)
        if watched is None:
            return self._sentinels
        told = dict(_PID.findall(clean(pids.stdout))) if pids else {}
        self._pids = {(one.id, one.age): int(told.get(one.id, 0)) or self._pid(one) for one in watched}
        self._sentinels = tuple(
            Sentinel(pid, f"pod {one.pod} container {one.name}") for one in watched if (pid := self._pid(one))
        )
        return self._sentinels

    def _pid(self, one: Listed) -> int:
        return one.pid or self._pids.get((one.id, one.age), 0)

    def _read(self, output: Output) -> list[Listed] | None:
        if output.truncated or output.exit_code != 0:
            return None
        if self._last is None or self._last[0] is not output:
            self._last = (output, self._reader(clean(output.stdout)))
        return self._last[1]

    def _watched(self, output: Output) -> list[Listed] | None:
        """The running containers of pods that an app names."""
        listed = self._read(output)
        if listed is None:
            return None
        return [one for one in newest(listed) if one.running and any(matches(rule, one.pod) for rule in self._rules)]

    def _without_finished_init(self, listed: Sequence[Listed]) -> list[Listed]:
        groups: defaultdict[str, list[Listed]] = defaultdict(list)
        for one in listed:
            groups[one.group].append(one)
        followed = {
            one.id
            for name, group in groups.items()
            if name
            for one in group
            if any(other.since > one.since and other.name != one.name for other in group)
        }
        self._beside = frozenset(
            one.id for one in listed if one.id in followed and (one.running or one.id in self._beside)
        )
        return [
            one
            for one in newest(listed)
            if not (one.state == "Exited" and not one.exit_code and one.id in followed - self._beside)
        ]


def _report(one: Listed) -> PodReport:
    code = f" ({one.exit_code})" if one.exit_code is not None and not one.running else ""
    said = f"pod {one.pod} container {one.name} is {one.state}{code}"
    return PodReport(one.pod, one.name, one.running, said, one.attempt)
