"""Suspect yourself (spec S28): when most clusters fall silent together, the fault is more likely here. Pure.

*Together* means within :data:`WINDOW` seconds. The suspicion names the clusters that fell silent together and holds
back every erase that rests on silence, until so many of them are heard again that the rest are no longer most; and
then as long as sessions may take to be tried again, for when our own way was cut they do not all come back at once.
A cluster that has been silent for long is left out of the count: its death is old news.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class Suspicion:
    """``group`` fell silent together, out of ``of`` clusters; empty while there is no suspicion. ``eased_at`` is since
    when those of it that are still silent are no longer most, 0 while they are."""

    group: frozenset[str] = frozenset()
    of: int = 0
    eased_at: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.group)

    def __str__(self) -> str:
        if not self.group:
            return ""
        return f"{len(self.group)} of {self.of} clusters fell silent together: {', '.join(sorted(self.group))}"


NO_SUSPICION = Suspicion()


def suspect(
    before: Suspicion, silent: Mapping[str, float], clusters: int, share: int, now: float, grace: float
) -> Suspicion:
    """The suspicion after a look at who is silent. ``silent`` maps a cluster to the instant since which it is; ``grace``
    are the seconds that the last ones may take to be heard again."""
    fresh = {name for name, since in silent.items() if now - since <= WINDOW}
    if before:
        still = before.group & silent.keys()
        if len(still) * 100 > share * before.of:
            group = still | fresh if fresh - before.group else before.group
            return Suspicion(group, before.of)
        eased_at = before.eased_at or now
        if still and now - eased_at < grace:
            return Suspicion(before.group, before.of, eased_at)
    considered = clusters - len(silent.keys() - fresh)
    if most(len(fresh), considered, share):
        return Suspicion(frozenset(fresh), considered)
    return NO_SUSPICION


def most(some: int, considered: int, share: int) -> bool:
    """Whether ``some`` of the clusters considered are more than ``share`` percent of at least two."""
    return considered >= 2 and some * 100 > share * considered
