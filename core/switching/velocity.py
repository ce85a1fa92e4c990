"""The velocity budget: automation that errs must not take one cluster after the other out before anybody looks. Pure.

The first cluster of an app is erased at once, whatever speaks against it. While one is out that was erased less than
``safety.velocity_window`` seconds ago, a further one is erased at once only when what speaks against it is *corroborated*:

===========================================  ===========================================================================
what speaks against it                       corroborated
===========================================  ===========================================================================
both detectors                               yes: the router and something behind it
definite evidence on most of its nodes       yes: more than half of them, their machines and the app's pods count with them
definite evidence where no node is watched   yes: nobody else could be asked
anything else                                no: it is *held* until the window is over, then erased
===========================================  ===========================================================================

What is held is told (``erase_held``), shown, and counted from the newest erase: at most one cluster goes in a window. It is never
kept longer than that, for a dead cluster must not be served because a rule is in doubt. The last one of an app is never taken
out automatically in any case: then it fails open (spec S27).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.detection.external import SILENCE, Assessment
from core.detection.internal import ClusterState
from core.model import INTERNAL_KINDS, Kind, Phase, SourceKind, Verdict
from core.state import State
from core.switching.standing import Standing
from core.switching.table import SERVING, StandingKey
from core.world import ClusterPlan, matches


def held_until(
    state: State, domain: str, cluster: str, standings: Mapping[StandingKey, Standing], now: float
) -> tuple[float, str] | None:
    """Until when a cluster of ``domain`` that something speaks against stays in the answers, and which other one went out last;
    None when it may be erased at once."""
    window = state.world.settings.safety.velocity_window
    gone = max(_just_gone(state, domain, cluster, standings, now - window), default=None)
    if gone is None or is_corroborated(state, domain, cluster):
        return None
    since, other = gone
    return since + window, other


def _just_gone(
    state: State, domain: str, cluster: str, standings: Mapping[StandingKey, Standing], after: float
) -> Iterable[tuple[float, str]]:
    """The other clusters of an app that were erased after an instant and are still out, each with that instant."""
    for other in state.world.apps[domain].clusters:
        standing = standings.get((domain, other), SERVING)
        counts = other != cluster and other not in state.overrides and state.world.weight(domain, other) > 0
        if counts and standing.phase is Phase.ERASED and standing.since > after:
            yield standing.since, other


def is_corroborated(state: State, domain: str, cluster: str) -> bool:
    """Whether more than one voice speaks against a cluster."""
    plan, found = state.world.clusters[cluster], state.clusters.get(cluster)
    assessment = state.assessments.get(cluster)
    if found is None or assessment is None:
        return False
    inside, outside = _detectors(plan, found, assessment, domain)
    if inside and outside:
        return True
    if not plan.nodes:
        cause = assessment.against(domain)
        return cause is not None and cause.rule != SILENCE
    return len(_failed_nodes(state, plan, found, domain)) * 2 > len(plan.nodes)


def _detectors(plan: ClusterPlan, found: ClusterState, assessment: Assessment, domain: str) -> tuple[bool, bool]:
    """Whether the internal and the external detector speak against a cluster, by evidence or by a silence that counts."""
    router = f"{plan.router}/" if plan.router else ""
    causes = [*assessment.causes, *(assessment.apps[d] for d in assessment.apps if d == domain)]
    outside = any(router and cause.where.startswith(router) for cause in causes)
    inside = [cause for cause in causes if not (router and cause.where.startswith(router))]
    if any(cause.rule == SILENCE for cause in inside):  # of the router and of nodes, where there is a router
        outside = outside or plan.router in found.quiet
    return bool(inside), outside


def _failed_nodes(state: State, plan: ClusterPlan, found: ClusterState, domain: str) -> set[str]:
    """The nodes that definite evidence speaks against: by their own checks, their virtual machine, or a pod of the app."""
    failed = {
        check.source.name
        for check, known in found.checks.items()
        if known.verdict is Verdict.FAIL and check.kind in INTERNAL_KINDS and check.source.kind is SourceKind.NODE
    }
    machines = {name: node for machine in plan.cluster.machine for node, name in machine.domains.items()}
    failed |= {
        machines.get(check.name, check.name)
        for check, known in found.checks.items()
        if known.verdict is Verdict.FAIL and check.kind is Kind.MACHINE
    }
    rules = state.world.rules[domain]
    failed |= {
        pod.node.name
        for pod in found.pods.values()
        if pod.check.verdict is Verdict.FAIL and any(matches(rule, pod.pod) for rule in rules)
    }
    return failed & {node.name for node in plan.nodes}
