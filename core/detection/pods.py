"""Pods as the apps see them: which are well, and whether enough of them are (spec S4, S18, S19). Pure.

A pod is well while every container of it runs (its newest attempt). A pod that an app names and that is not well, or
is missing, has weight 0. A pod that is gone from every node's list counts as missing only where a rule asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


PodKey = tuple[SourceId, str]


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


def judge(app: App, rules: tuple[PodRule, ...], pods: Iterable[PodState], complete: bool) -> Cause | None:
    """Why too few of the app's pods are well, or None.

    ``complete`` tells that every node's list is fresh; without it nothing is missing, it is only not known.
    """
    mine = [pod for pod in pods if any(matches(rule, pod.pod) for rule in rules)]
    bad = [pod for pod in mine if pod.check.verdict is Verdict.FAIL]
    missing = {rule.match: rule.at_least - sum(matches(rule, pod.pod) for pod in mine) for rule in rules}
    missing = {match: count for match, count in missing.items() if count > 0} if complete else {}
    total = len(mine) + sum(missing.values())
    well = len(mine) - len(bad)
    if total == 0 or well * 100 >= app.min_healthy * total:
        return None
    share = f"{well} of {total} pods of {app.domain} well, {app.min_healthy} % wanted"
    if bad:
        first = min(bad, key=lambda pod: pod.check.run_since)
        where = f"{first.node}/{Kind.CONTAINERS}"
        return Cause("internal_anomaly", where, f"{first.check.said}; {share}", first.check.run_since)
    names = ", ".join(missing)
    at = max((pod.check.at for pod in mine), default=0.0)
    return Cause("internal_anomaly", f"{Kind.CONTAINERS}", f"missing: {names}; {share}", at)


def _by_pod(reports: Iterable[PodReport]) -> dict[str, list[PodReport]]:
    pods: dict[str, list[PodReport]] = {}
    for report in reports:
        pods.setdefault(report.pod, []).append(report)
    return pods
