"""What other instances see, and how many must see a cluster as silent (spec S25, S26). Pure.

The rules, where an instance *can see* when it is heard and not blind (:class:`core.shared.Sight`):

=================================  ====================================================================================
when                               then
=================================  ====================================================================================
one that is heard has definite     it speaks against the cluster here too, while that one's lease holds
evidence against a cluster
it is silent here                  that counts when ``peers.silent_quorum`` of those who can see find it silent, ourselves
                                   among them, or all of them where they are fewer; else it is *outvoted*
nobody else can see                our own silence counts, or with ``peers.alone = "hold"`` none does
we suspect ourselves               our silence is no vote; what is made of it is spec S28's
others, ``silent_quorum`` of them, it speaks against the cluster here too, also when we hear it or suspect ourselves: we then
find it silent                     answer as they do
=================================  ====================================================================================

One that is blind, or whose lease has ended, is waited for by nobody and has no vote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from core.detection.external import SILENCE, Assessment
from core.model import Cause
from core.settings import Peers as Rules
from core.shared import Objection, Peers, Sharing, Sight

PEER = "peer_evidence"


def hear(before: Sharing, peers: Peers, now: float) -> tuple[Sharing, frozenset[str]]:
    """What is known of the others now, and the clusters that what they say has changed for."""
    was, said = (
        {(n, s.blind, each) for n, s in sights.items() for each in _said(s)} for sights in (before.sights, peers.sights)
    )
    since = {(name, each): before.since.get((name, each), now) for name, _, each in said}
    return replace(before, peers=peers, since=since), frozenset(each.cluster for _, _, each in was ^ said)


def with_peers(own: Assessment, cluster: str, sharing: Sharing, rules: Rules, *, blind: bool) -> Assessment:
    """What speaks against a cluster once the others were heard; ``blind``: we suspect ourselves, or have not asked everybody."""
    if not rules.etcd:
        return own
    sees = [name for name, sight in sharing.sights.items() if not sight.blind]
    votes = sorted(sharing.since[name, _silence(cluster)] for name in sees if cluster in sharing.sights[name].silent)
    causes, outvoted = own.causes, own.outvoted
    mine = tuple(cause for cause in own.causes if cause.rule == SILENCE)
    if mine and not blind and len(votes) + 1 < needed(rules, len(sees) + 1):
        causes, outvoted = tuple(cause for cause in own.causes if cause.rule != SILENCE), mine
    told = [
        (each.app, Cause(PEER, f"{name}: {each.where}", each.said, at))
        for (name, each), at in sorted(sharing.since.items())
        if each.cluster == cluster and each.rule != SILENCE
    ]
    if len(votes) >= rules.silent_quorum:
        names = ", ".join(name for name in sorted(sees) if cluster in sharing.sights[name].silent)
        told.append(("", Cause(PEER, names, f"silent for {len(votes)} instances", votes[rules.silent_quorum - 1])))
    return replace(own, causes=causes, outvoted=outvoted, peers=tuple(told))


def outvoted_by(cluster: str, sharing: Sharing, rules: Rules) -> str:
    """Why a silence of ours does not count, in words."""
    sees = [sight for sight in sharing.sights.values() if not sight.blind]
    votes = 1 + sum(cluster in sight.silent for sight in sees)
    if not sees:
        return "silent here; no other instance can be heard, and then nothing is erased by silence"
    return f"silent here, and for {votes} of {len(sees) + 1} instances; it takes {needed(rules, len(sees) + 1)}"


def needed(rules: Rules, seeing: int) -> int:
    """How many must find a cluster silent, of so many who can see, ourselves among them."""
    if seeing < 2 and rules.alone == "hold":
        return seeing + 1
    return min(rules.silent_quorum, seeing)


def objections(cluster: str, own: Assessment) -> Iterator[Objection]:
    """Our own definite evidence against a cluster."""
    for cause in own.causes:
        if cause.rule != SILENCE:
            yield Objection(cluster, "", cause.rule, cause.where, cause.said)
    for app, cause in own.apps.items():
        yield Objection(cluster, app, cause.rule, cause.where, cause.said)


def is_silent(own: Assessment) -> bool:
    """Whether the cluster is silent for us, whatever the others say."""
    return bool(own.outvoted) or any(cause.rule == SILENCE for cause in own.causes)


def _said(sight: Sight) -> Iterator[Objection]:
    yield from sight.against
    yield from map(_silence, sight.silent)


def _silence(cluster: str) -> Objection:
    return Objection(cluster, "", SILENCE, cluster, "silent")
