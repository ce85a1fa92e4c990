"""What this instance tells the others, and what is told of them. Pure; called by :mod:`core.step` and :mod:`core.sharing`."""

from __future__ import annotations

from dataclasses import replace

from core.detection.external import Assessment
from core.detection.peers import hear, is_silent, objections, outvoted_by
from core.journal import Journal
from core.model import EventName
from core.shared import Peers, Sight
from core.state import State


def sight(state: State) -> Sight:
    """What we see by ourselves."""
    found = state.assessments.items()
    return Sight(
        frozenset(name for name, assessment in found if is_silent(assessment)),
        tuple(sorted(each for name, assessment in found for each in objections(name, assessment))),
        is_blind(state),
        state.table.serial,
    )


def is_blind(state: State) -> bool:
    """Whether our silence is no vote."""
    return bool(state.suspicion) or not state.round_over


def on_peers(state: State, peers: Peers, journal: Journal) -> tuple[State, list[str]]:
    """The state with what the others see, and the clusters to be assessed anew."""
    before = state.sharing
    sharing, changed = hear(before, peers, journal.now)
    was = before.peers is None or before.peers.reachable
    if was and not peers.reachable:
        journal.emit(EventName.PEERS_LOST, cause="etcd does not answer: alone, by our own judgement")
    elif not was and peers.reachable:
        journal.emit(EventName.PEERS_BACK, cause="etcd answers again")
    for name in sorted(before.sights.keys() - peers.sights.keys()):
        journal.emit(EventName.PEER_LOST, cause=name)
    for name in sorted(peers.sights.keys() - before.sights.keys()):
        journal.emit(EventName.PEER_HEARD, cause=name)
    return replace(state, sharing=sharing), sorted((changed & state.world.clusters.keys()) | silent(state))


def tell_outvoted(state: State, cluster: str, found: Assessment, journal: Journal) -> None:
    """A silence of ours that erases nothing."""
    cause = outvoted_by(cluster, state.sharing, state.world.settings.peers)
    said = "; ".join(f"{each.where}: {each.said}" for each in found.outvoted)
    journal.emit(EventName.SILENCE_OUTVOTED, cluster=cluster, cause=cause, evidence=said)


def silent(state: State) -> set[str]:
    """The clusters whose assessment hangs on how many can see."""
    return {name for name, assessment in state.assessments.items() if is_silent(assessment)}
