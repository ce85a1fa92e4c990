"""Pods as the apps see them: which are well, and whether enough of them are (spec S4, S18, S19). Pure.

A pod is well while every container of it runs (its newest attempt). A pod that an app names and that is not well, or
is missing, has weight 0. A pod that is gone from every node's list counts as missing only where a rule asks for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from core.detection.hysteresis import CheckState, absorb
from core.model import Cause, CheckId, Evidence, Kind, PodReport, SourceId, Verdict
from core.settings import App, PodRule
from core.world import matches


@dataclass(frozen=True, slots=True)
class PodState:
    """One pod on one node."""

    pod: str
    node: SourceId
    check: CheckState


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of a cluster, and how far they are known. ``complete``: every node's list is fresh; ``at``: the newest.

    A pod that a quiet node listed and that another node lists now has moved.
    """

    pods: Collection[PodState]
    complete: bool
    quiet: Collection[SourceId]
    at: float


PodKey = tuple[SourceId, str]
MISSING = str(Kind.CONTAINERS)
"""Where a cause lies that no single node speaks for."""


def absorb_reports(
    pods: Mapping[PodKey, PodState], evidence: Evidence, rules: Iterable[PodRule], fall: int, rise: int
) -> dict[PodKey, PodState]:
    """The pods of a cluster after one node's list; what the node no longer lists is forgotten."""
    rules, node = tuple(rules), evidence.check.source
    after = {key: pod for key, pod in pods.items() if key[0] != node}
    for name, reports in _by_pod(evidence.pods).items():
        if not any(matches(rule, name) for rule in rules):
            continue
        bad = [report for report in reports if not report.running]
        said = "; ".join(report.said for report in bad) or "running"
        check = CheckId(node, Kind.CONTAINERS, name)
        result = Evidence(check, not bad, said, evidence.at, evidence.took, evidence.noticed_at)
        before = pods.get((node, name))
        after[node, name] = PodState(name, node, absorb(before.check if before else CheckState(), result, fall, rise))
    return after


def judge(app: App, rules: tuple[PodRule, ...], known: Pods, before: Cause | None) -> Cause | None:
    """Why too few of the app's pods are well, or None. ``before`` is the cause that stood until now.

    While a node's list is not fresh, nothing becomes missing: it is only not known. What was missing stays so until
    enough pods are known again, for silence cancels nothing (spec S25).
    """
    here = {pod.pod for pod in known.pods if pod.node not in known.quiet}
    mine = [
        pod
        for pod in known.pods
        if any(matches(rule, pod.pod) for rule in rules) and (pod.node not in known.quiet or pod.pod not in here)
    ]
    bad = [pod for pod in mine if pod.check.verdict is Verdict.FAIL]
    missing = {rule.match: rule.at_least - sum(matches(rule, pod.pod) for pod in mine) for rule in rules}
    missing = {match: count for match, count in missing.items() if count > 0} if known.complete or before else {}
    total = len(mine) + sum(missing.values())
    well = len(mine) - len(bad)
    if total == 0 or well * 100 >= app.min_healthy * total:
        return None
    share = f"{well} of {total} pods of {app.domain} well, {app.min_healthy} % wanted"
    if bad:
        first = min(bad, key=lambda pod: pod.check.fault_at)
        where = f"{first.node}/{Kind.CONTAINERS}"
        return Cause("internal_anomaly", where, f"{first.check.fault_said}; {share}", first.check.fault_at)
    at = before.fault_at if before and before.where == MISSING else known.at
    return Cause("internal_anomaly", MISSING, f"missing: {', '.join(missing)}; {share}", at)


def _by_pod(reports: Iterable[PodReport]) -> dict[str, list[PodReport]]:
    pods: dict[str, list[PodReport]] = {}
    for report in reports:
        pods.setdefault(report.pod, []).append(report)
    return pods
