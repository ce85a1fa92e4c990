"""Good results that say what is known, kept together for a while: only their time is new. Used by the engine.

They are handed on cluster by cluster, each some time after the first of them came, so that the work is spread over time.
"""

from __future__ import annotations

from core.detection.internal import ClusterState, is_known
from core.model import CheckId, Evidence, Result

RENEW_EVERY = 0.5
"""Seconds for which they are kept."""


class Renewals:
    """At most one result of each check: the newest."""

    def __init__(self) -> None:
        self._kept: dict[
            str, tuple[float, dict[CheckId, Evidence]]
        ] = {}  # by cluster, in the order of their first results

    def keep(self, result: Result, cluster: ClusterState | None, now: float) -> bool:
        """Whether it is kept, for it tells nothing but that all is as it was; else it is to be handed on at once."""
        if cluster and isinstance(result, Evidence) and is_known(cluster, result):
            self.put(result, now)
            return True
        self.drop(result.check)
        return False

    def put(self, result: Evidence, now: float) -> None:
        _, kept = self._kept.setdefault(result.check.cluster, (now, {}))
        kept[result.check] = result

    def drop(self, check: CheckId) -> None:
        """Something newer is known."""
        if kept := self._kept.get(check.cluster):
            kept[1].pop(check, None)

    def due(self, now: float) -> tuple[Evidence, ...]:
        """Those whose time has come; they are kept no longer."""
        found: list[Evidence] = []
        while self._kept:
            cluster, (since, results) = next(iter(self._kept.items()))
            if now - since < RENEW_EVERY:
                break
            found += results.values()
            del self._kept[cluster]
        return tuple(found)
