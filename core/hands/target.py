"""From the engine's state to the target of the hands. Pure."""

from __future__ import annotations

from core.hands.hand import Target
from core.model import Action, Verdict
from core.state import State


def target(state: State) -> Target:
    """How things are to be everywhere, by what has been decided."""
    answered = {domain: {record.cluster for record in app.records} for domain, app in state.table.apps.items()}
    return Target(
        table=state.table,
        erased={
            domain: frozenset(
                place
                for name in app.clusters
                if name not in answered.get(domain, ())
                for place in state.world.clusters[name].cluster.places
            )
            for domain, app in state.world.apps.items()
        },
        stopped=frozenset(name for name, override in state.overrides.items() if override.action is Action.ERASE),
        weights={
            (name, pod.pod): 0
            for name, cluster in state.clusters.items()
            for pod in cluster.pods.values()
            if pod.check.verdict is Verdict.FAIL
        },
    )
