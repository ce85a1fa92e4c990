"""From the engine's state to the target of the hands. Pure."""

from __future__ import annotations

from core.hands.hand import Target
from core.state import State
from core.switching.pods import shares


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
        stopped=state.stopped,
        weights={} if state.world.settings.safety.shadow else _weights(state),
    )


def _weights(state: State) -> dict[str, dict[str, int]]:
    """Of the clusters that have a router which can be told."""
    plans = state.world.clusters.items()
    return {name: shares(state, name) for name, plan in plans if plan.cluster.router.kind != "none"}
