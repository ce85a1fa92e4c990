"""TTLs that fall while a verdict is on its way to changing, so that resolvers ask again soon after it has. Pure.

A cluster is *uneasy* when definite evidence speaks against one of its checks or pods and has not been believed yet
(``detection.fall``): its apps are answered with ``dns.ttl_min``. Silence alone makes nobody uneasy; on a network that loses
packets, every TTL would be low for ever. What fell stays down for :data:`HOLD` after the last such result: a check that is
bad now and then must not make a table each time.
"""

from __future__ import annotations

from dataclasses import replace

from core.detection.internal import ClusterState
from core.journal import Journal
from core.model import Verdict
from core.state import State
from core.switching.switcher import settle

HOLD = 10.0


def notice(state: State, cluster: str, journal: Journal) -> State:
    """After a result that is not good."""
    if state.frozen or not state.round_over or not _is_uneasy(state.clusters[cluster]):
        return state
    begins = cluster not in state.uneasy
    state = replace(state, uneasy={**state.uneasy, cluster: journal.now + HOLD})
    return settle(state, journal) if begins else state


def calm_down(state: State, journal: Journal) -> State:
    """With time."""
    uneasy = {
        name: until
        for name, until in state.uneasy.items()
        if name in state.clusters and (until > journal.now or _is_uneasy(state.clusters[name]))
    }
    if state.frozen or len(uneasy) == len(state.uneasy):
        return state
    return settle(replace(state, uneasy=uneasy), journal)


def _is_uneasy(found: ClusterState) -> bool:
    checks = (*found.checks.values(), *(pod.check for pod in found.pods.values()))
    return any(check.bad and check.verdict is not Verdict.FAIL for check in checks)
