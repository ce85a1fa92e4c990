"""Which events a change of verdicts is worth (spec S15, S19, S25). Pure; called by :mod:`core.step`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.detection.hysteresis import CheckState, Outcome
from core.detection.internal import ClusterState
from core.detection.pods import PodKey, PodState
from core.journal import Journal
from core.model import INTERNAL_KINDS, CheckId, EventName, Verdict


def tell_check(check: CheckId, before: CheckState, after: CheckState, journal: Journal) -> None:
    """A first bad result is a fault seen; a verdict that flips is an anomaly, a recovery or a silence."""
    fields: dict[str, Any] = {"cluster": check.cluster, "evidence": f"{check}: {after.said}"}
    if after.outcome is Outcome.BAD and after.run == 1 and before.verdict is not Verdict.FAIL:
        journal.emit(EventName.FAULT_SEEN, at=after.fault_at, cause=check.kind, **fields)
    if before.verdict is after.verdict and before.at:
        return
    if after.verdict is Verdict.FAIL:
        if check.kind in INTERNAL_KINDS:
            journal.emit(EventName.INTERNAL_ANOMALY, at=after.at, cause=check.kind, fault_at=after.fault_at, **fields)
    elif after.verdict is Verdict.OK and before.at and before.verdict is not Verdict.OK:
        journal.emit(EventName.RECOVERED, at=after.at, cause=check.kind, **fields)
    journal.save(f"check/{check}", (check, after))


def tell_pods(before: Mapping[PodKey, PodState], after: Mapping[PodKey, PodState], journal: Journal) -> bool:
    """A pod that turns bad is an anomaly; what follows for its weight is told where that is decided. What a node's list
    changed is kept, for verdicts outlive a restart (spec S30). Whether there was anything to tell."""
    if after is before:
        return False
    was, now = ({key: pod.check.verdict for key, pod in pods.items()} for pods in (before, after))
    if was == now:
        return False
    for node in sorted({key[0] for key, _ in was.items() ^ now.items()}):
        journal.save(f"pods/{node}", tuple(pod for key, pod in after.items() if key[0] == node) or None)
    for key, pod in after.items():
        old = was.get(key, Verdict.UNKNOWN)
        if pod.check.verdict is Verdict.FAIL and old is not Verdict.FAIL:
            fields: dict[str, Any] = {"cluster": pod.node.cluster, "evidence": f"{pod.node}: {pod.check.said}"}
            began = pod.check.fault_at
            journal.emit(EventName.FAULT_SEEN, at=began, cause="containers", **fields)
            journal.emit(EventName.INTERNAL_ANOMALY, at=pod.check.at, cause="containers", fault_at=began, **fields)
    return True


def tell_silence(before: ClusterState, after: ClusterState, journal: Journal) -> None:
    """A source that has not been heard for the deadline, and a check that gives no readable answer for so long."""
    for source in sorted(after.unknown - before.unknown):
        journal.emit(
            EventName.CHECK_SILENT, cluster=source.cluster, cause="watch", evidence=f"{source}: no sign of life"
        )
    for source in sorted(before.unknown - after.unknown - after.waiting):
        journal.emit(EventName.RECOVERED, cluster=source.cluster, cause="watch", evidence=f"{source}: heard again")
    if after.checks is before.checks:
        return
    for check, found in after.checks.items():
        old = before.checks.get(check)
        if found.verdict is Verdict.UNKNOWN and old and old.verdict is Verdict.OK:
            journal.emit(
                EventName.CHECK_SILENT, cluster=check.cluster, cause=check.kind, evidence=f"{check}: {found.said}"
            )
            journal.save(f"check/{check}", (check, found))
