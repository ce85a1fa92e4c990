"""Good results that say what is known, kept together for a while: only their time is new. Used by the engine.

They are handed on cluster by cluster, each some time after the first of them came, so that the work is spread over time.
"""

from __future__ import annotations

from core.model import CheckId, Evidence

RENEW_EVERY = 0.5
"""Seconds for which they are kept."""


class Renewals:
    """At most one result of each check: the newest."""

    def __init__(self) -> None:
        self._kept: dict[
            str, tuple[float, dict[CheckId, Evidence]]
        ] = {}  # by cluster, in the order of their first results

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
