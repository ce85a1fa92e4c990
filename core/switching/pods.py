"""The weights of all pods at their clusters' routers (spec S18–S20, S27, S35, S37). Pure.

Each pod's own rules are in :mod:`core.switching.weights`; here is which pod is well. A pod is detached when a node's list
says that a container of it does not run, and when it is listed no more. Silence detaches nobody, and raises nobody: a ramp
goes on while a node that lists the pod is heard. While frozen no weight moves. Called by :mod:`core.step`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from core.detection.internal import ClusterState
from core.detection.pods import PodKey, PodState
from core.journal import Journal
from core.model import EventName, Verdict
from core.state import State
from core.switching.weights import FULL, Weight, advance, forget_at
from core.world import matches

LOOK_AGAIN = 0.25
NO_PODS: Mapping[PodKey, PodState] = {}
NO_WEIGHTS: Mapping[str, Weight] = {}


def weigh_all(state: State, clusters: Iterable[str], journal: Journal) -> State:
    """:func:`weigh` for each of these clusters."""
    for name in clusters:
        state = weigh(state, name, journal)
    return state


def weigh(state: State, cluster: str, journal: Journal, before: Mapping[PodKey, PodState] = NO_PODS) -> State:
    """Move the weights of one cluster's pods on; ``before`` are the pods as they were listed until now."""
    if state.frozen or cluster not in state.clusters:
        return state
    found, recovery = state.clusters[cluster], state.world.settings.recovery
    weights = state.weights.get(cluster, NO_WEIGHTS)
    gone = {pod.pod for pod in before.values()} - {pod.pod for pod in found.pods.values()}
    changed = {}
    for pod, is_well in {**_well(found), **dict.fromkeys(gone, False)}.items():
        old = weights.get(pod, FULL)
        new = advance(old, is_well, recovery, journal.now)
        if new is not old:
            changed[pod] = new
            journal.save(f"weight/{cluster}/{pod}", new)
            _tell(state, cluster, pod, old, new, journal)
    return _with(state, {**state.weights, cluster: {**weights, **changed}}, journal.now) if changed else state


def climb(state: State, journal: Journal) -> State:
    """What time alone changes: the next steps of ramps, and what need not be known any more."""
    if state.frozen or not state.weights_due or journal.now < state.weights_due:
        return state
    for cluster in state.weights:
        state = weigh(state, cluster, journal)
    recovery, kept = state.world.settings.recovery, {}
    for cluster, weights in state.weights.items():
        listed = {pod.pod for pod in state.clusters[cluster].pods.values()}
        over = {
            pod
            for pod, weight in weights.items()
            if journal.now > forget_at(weight, recovery) and (weight.share == 100 or pod not in listed)
        }
        kept[cluster] = _without(cluster, weights, over, journal)
    return _with(state, kept if kept != state.weights else state.weights, journal.now)


def forget(state: State, clusters: Mapping[str, ClusterState], journal: Journal) -> dict[str, Mapping[str, Weight]]:
    """The weights that are left once the clusters are these, by other settings."""
    kept: dict[str, Mapping[str, Weight]] = {}
    for cluster, weights in state.weights.items():
        if cluster in clusters:
            listed, left = ({pod.pod for pod in found[cluster].pods.values()} for found in (state.clusters, clusters))
            kept[cluster] = _without(cluster, weights, listed - left, journal)
        else:
            _without(cluster, weights, weights.keys(), journal)
    return kept


def _without(
    cluster: str, weights: Mapping[str, Weight], over: Collection[str], journal: Journal
) -> Mapping[str, Weight]:
    gone = [pod for pod in weights if pod in over]
    for pod in gone:
        journal.save(f"weight/{cluster}/{pod}", None)
    return {pod: weight for pod, weight in weights.items() if pod not in over} if gone else weights


def _with(state: State, weights: Mapping[str, Mapping[str, Weight]], now: float) -> State:
    """These weights, and when to look at them again; at those that wait for a quiet node now and then."""
    recovery = state.world.settings.recovery
    dues = [weight.due or forget_at(weight, recovery) for pods in weights.values() for weight in pods.values()]
    due = min((due if due > now else now + LOOK_AGAIN for due in dues), default=0.0)
    return replace(state, weights=weights, weights_due=due)


def shares(state: State, cluster: str) -> dict[str, int]:
    """The percentage of its set value that each known pod gets: listed now, or detached and gone.

    An app that fails open and has no other pod in the cluster is served by those that are there, well or not (spec S27).
    """
    found = {pod.pod: 100 for pod in state.clusters[cluster].pods.values()} if cluster in state.clusters else {}
    found |= {pod: weight.share for pod, weight in state.weights.get(cluster, NO_WEIGHTS).items()}
    for app in state.world.clusters[cluster].apps:
        records = state.table.apps.get(app.domain)
        if records and records.fail_open and any(record.cluster == cluster for record in records.records):
            mine = [pod for pod in found if any(matches(rule, pod) for rule in state.world.rules[app.domain])]
            if not any(found[pod] for pod in mine):
                found |= dict.fromkeys(mine, 100)
    return found


def _well(found: ClusterState) -> dict[str, bool]:
    """Which pods are well and which are not; those of which nobody heard tells now are in neither."""
    heard = {pod.pod for pod in found.pods.values() if pod.node not in found.quiet and pod.node not in found.waiting}
    well: dict[str, bool] = {}
    for pod in found.pods.values():
        if pod.pod in heard and pod.node in found.quiet:
            continue  # it has moved
        if pod.check.verdict is Verdict.FAIL:
            well[pod.pod] = False
        elif pod.pod in heard:
            well.setdefault(pod.pod, True)
    return well


def _tell(state: State, cluster: str, pod: str, old: Weight, new: Weight, journal: Journal) -> None:
    if old.share == new.share:
        return
    fields: dict[str, Any] = {"cluster": cluster, "evidence": pod, "shadow": state.world.settings.safety.shadow}
    if new.share == 0:
        bad = [p for p in state.clusters[cluster].pods.values() if p.pod == pod and p.check.verdict is Verdict.FAIL]
        fields["evidence"] = f"{bad[0].node}: {bad[0].check.said}" if bad else f"{pod} is listed no more"
        began = min((p.check.fault_at for p in bad), default=0.0)
        journal.emit(EventName.POD_DETACHED, cause="weight 0 %", fault_at=began, **fields)
    elif old.share == 0:
        journal.emit(EventName.POD_ATTACHED, cause=f"weight {new.share} %", **fields)
    else:
        journal.emit(EventName.RAMP_STEP, cause=f"{old.share} % to {new.share} % of its weight", **fields)
