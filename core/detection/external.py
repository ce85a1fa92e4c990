"""The external detector (spec S10–S12): which cluster is abnormal, for which app, and why. Pure.

An anomaly of any layer stands, whatever another layer says (spec S26). Definite evidence is named before silence.
What is made of silence is ``detection.silence.policy`` (spec S25): node silence and the router's corroborate each other,
and a router that is silent alone is given as long as its own history asks for. Silence is never definite, so that suspicion of
ourselves (spec S28) can hold it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from core.detection.hysteresis import Outcome
from core.detection.internal import ClusterState, known_pods
from core.detection.pods import judge
from core.detection.rhythm import RETRANSMISSION
from core.model import INTERNAL_KINDS, Cause, CheckId, Kind, Verdict
from core.world import ClusterPlan, World

SILENCE = "silence"
REPEATED, UNCORROBORATED = 2, 5


@dataclass(frozen=True, slots=True)
class Assessment:
    """What both detectors say of a cluster: causes that hold for every app, and causes of single apps by domain.

    Beside them, where several instances share what they see (:mod:`core.detection.peers`): ``peers`` are the causes of others, for
    a domain or for all (""), and ``outvoted`` is a silence of ours that too few others confirm.
    """

    internal: Verdict = Verdict.UNKNOWN
    external: Verdict = Verdict.UNKNOWN
    causes: tuple[Cause, ...] = ()
    apps: Mapping[str, Cause] = field(default_factory=dict)
    peers: tuple[tuple[str, Cause], ...] = ()
    outvoted: tuple[Cause, ...] = ()

    @property
    def everything(self) -> tuple[Cause, ...]:
        """All that speaks against the cluster, for whichever app."""
        return (*self.causes, *self.apps.values(), *(cause for _, cause in self.peers))

    def against(self, domain: str) -> Cause | None:
        """The first cause against the cluster for one app: definite before silent, older before newer."""
        causes = (*self.causes, self.apps[domain]) if domain in self.apps else self.causes
        causes += tuple(cause for app, cause in self.peers if app in ("", domain))
        return min(causes, key=lambda cause: (cause.rule == SILENCE, cause.fault_at), default=None)


def assess(world: World, name: str, state: ClusterState, before: Assessment, *, closed: bool = False) -> Assessment:
    """The assessment of one cluster after ``before``. ``closed``: we closed its router, which says nothing then."""
    plan = world.clusters[name]
    mode = world.settings.detection.mode
    causes: list[Cause] = []
    apps: dict[str, Cause] = {}
    if mode != "confirm":
        causes.extend(_failed(state))
        pods = known_pods(state, plan.nodes)
        for app in plan.apps:
            if world.rules[app.domain]:
                cause = judge(app, world.rules[app.domain], pods, before.apps.get(app.domain))
                if cause:
                    apps[app.domain] = cause
        silence = _silence(world, plan, state)
        if silence:
            causes.append(silence)
    if plan.router and not closed:
        causes.extend(_confirm(world, plan, state))
    return Assessment(
        _internal(plan, state, causes, apps), Verdict.UNKNOWN if closed else _external(plan, state), tuple(causes), apps
    )


def _failed(state: ClusterState) -> Iterator[Cause]:
    for check, found in state.checks.items():
        if found.verdict is Verdict.FAIL and check.kind in INTERNAL_KINDS:
            yield Cause("internal_anomaly", str(check), found.fault_said, found.fault_at)


def _confirm(world: World, plan: ClusterPlan, state: ClusterState) -> Iterator[Cause]:
    assert plan.router is not None
    confirm = plan.cluster.confirm
    check = CheckId(plan.router, Kind.CONFIRM)
    found = state.checks.get(check)
    if found is None or confirm is None:
        return
    if found.verdict is Verdict.FAIL:
        yield Cause("external_anomaly", str(check), found.fault_said, found.fault_at)
    elif found.outcome is Outcome.SILENT and state.overdue and found.missed >= _misses(plan, state, confirm.fall):
        yield Cause(SILENCE, str(check), found.said, found.run_since)


def _misses(plan: ClusterPlan, state: ClusterState, fall: int) -> int:
    """Unanswered messages until a router's silence counts alone. On a link that has lost packets before, one is a few lost packets:
    it takes :data:`REPEATED`, and while any of its nodes speaks :data:`UNCORROBORATED`."""
    if not _is_lossy(plan, state):
        return fall
    speak = any(node not in state.quiet and node not in state.waiting for node in plan.nodes)
    return max(fall, UNCORROBORATED if speak else REPEATED)


def _is_lossy(plan: ClusterPlan, state: ClusterState) -> bool:
    rhythm = state.rhythms.get(plan.router) if plan.router else None
    return rhythm is not None and rhythm.worst >= RETRANSMISSION


def _silence(world: World, plan: ClusterPlan, state: ClusterState) -> Cause | None:
    policy = world.settings.detection.silence.policy
    nodes = len(plan.nodes)
    if policy == "ignore" or not nodes or not state.quiet:
        return None
    name = plan.cluster.name
    unknown = {node.name: state.quiet[node] for node in plan.nodes if node in state.unknown}
    if policy == "abnormal" and unknown:
        return Cause(SILENCE, name, f"silent: {', '.join(sorted(unknown))}", min(unknown.values()))
    if plan.router:
        gone = sorted(state.quiet[node] for node in plan.nodes if node in state.gone)
        # Where packets get lost, a gap of the router and one of some nodes meet now and then: it takes an unanswered message too.
        found = state.checks.get(CheckId(plan.router, Kind.CONFIRM))
        sure = len(gone) == nodes or not _is_lossy(plan, state) or (found is not None and found.missed > 0)
        if plan.router in state.gone and len(gone) * 2 >= nodes and sure:
            since = max(state.quiet[plan.router], gone[(nodes + 1) // 2 - 1])
            return Cause(SILENCE, name, f"router and {len(gone)} of {nodes} nodes silent", since)
    elif len(unknown) == nodes:
        return Cause(SILENCE, name, f"all {nodes} nodes silent", max(unknown.values()))
    return None


def _internal(plan: ClusterPlan, state: ClusterState, causes: list[Cause], apps: dict[str, Cause]) -> Verdict:
    if apps or any(cause.rule == "internal_anomaly" for cause in causes):
        return Verdict.FAIL
    internal = [found for check, found in state.checks.items() if check.kind in INTERNAL_KINDS]
    silent = any(source in state.unknown for source in plan.sources if source != plan.router)
    if not internal or silent or any(found.verdict is Verdict.UNKNOWN for found in internal):
        return Verdict.UNKNOWN
    return Verdict.OK


def _external(plan: ClusterPlan, state: ClusterState) -> Verdict:
    found = state.checks.get(CheckId(plan.router, Kind.CONFIRM)) if plan.router else None
    if found is None:
        return Verdict.UNKNOWN
    silent = found.outcome is Outcome.SILENT
    return Verdict.UNKNOWN if silent and found.verdict is Verdict.OK else found.verdict
