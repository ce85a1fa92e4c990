"""Suspect yourself (spec S28): when most clusters fall silent together, the fault is more likely here. Pure.

*Together* means within :data:`WINDOW` seconds. A cluster that has been silent for long is left out of the count: its
death is old news. The rules, where *most* is more than ``safety.suspicion_share`` percent:

================================  =====================================================================================
when                              then
================================  =====================================================================================
clusters fall silent, and the     suspicion, be they most or a single one, until a canary is heard again or they are
canaries do not answer either
most fall silent, no canary is    suspicion, until so many of them are heard again that the rest are no longer most
known to speak
most but not all fall silent,     no suspicion: our way is well, and each is judged by itself
and a canary answers
all fall silent, a canary         suspicion: what they have in common is the way to them; none could be spared anyway
answers
the suspicion has eased           each cluster is held back until it was tried again and was silent still, or for the
                                  time that sessions may take to be tried again
================================  =====================================================================================

While it is suspected, no silence erases anything; once it has eased, that of the ``group`` alone does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class Suspicion:
    """``group`` fell silent together, out of ``of`` clusters; empty while there is no suspicion. ``eased_at`` is since
    when those of it that are still silent are no longer most, 0 while they are. ``deaf``: the canaries were silent too."""

    group: frozenset[str] = frozenset()
    of: int = 0
    eased_at: float = 0.0
    deaf: bool = False

    def __bool__(self) -> bool:
        return bool(self.group)

    def __str__(self) -> str:
        if not self.group:
            return ""
        also = " and so did the canaries" if self.deaf else ""
        return f"{len(self.group)} of {self.of} clusters fell silent together{also}: {', '.join(sorted(self.group))}"

    def holds(self, cluster: str) -> bool:
        """Whether the silence of a cluster may not erase it."""
        return cluster in self.group if self.eased_at else bool(self.group)


NO_SUSPICION = Suspicion()


def suspect(
    before: Suspicion,
    silent: Mapping[str, float],
    clusters: int,
    share: int,
    now: float,
    grace: float,
    *,
    canaries: bool | None = None,
    tried_again: Callable[[str, float], bool] = lambda name, since: False,
) -> Suspicion:
    """The suspicion after a look at who is silent. ``silent`` maps a cluster to the instant since which it is; ``grace``
    are the seconds that the last ones may take to be heard again, unless ``tried_again`` tells of a cluster that it was
    tried in vain since an instant. ``canaries``: whether one speaks; None where nothing is known of them."""
    fresh = {name for name, since in silent.items() if now - since <= WINDOW}
    considered = clusters - len(silent.keys() - fresh)
    deaf = canaries is False
    if before:
        still = before.group & silent.keys()
        if still and (deaf or (before.deaf and canaries is None and not before.eased_at)):
            return Suspicion(still | fresh, before.of, 0.0, deaf=True)
        if not before.eased_at and _is_ours(len(still), before.of, share, canaries):
            return Suspicion(still | fresh if fresh - before.group else before.group, before.of)
        if not _is_ours(len(fresh - before.group), considered, share, canaries):
            eased_at = before.eased_at or now
            held = {name for name in still if now - eased_at < grace and not tried_again(name, eased_at)}
            return Suspicion(frozenset(held), before.of, eased_at, deaf=before.deaf) if held else NO_SUSPICION
    if (deaf and fresh) or _is_ours(len(fresh), considered, share, canaries):
        return Suspicion(frozenset(fresh), considered, 0.0, deaf=deaf)
    return NO_SUSPICION


def _is_ours(some: int, considered: int, share: int, canaries: bool | None) -> bool:
    return most(some, considered, share) and (not canaries or some == considered)


def most(some: int, considered: int, share: int) -> bool:
    """Whether ``some`` of the clusters considered are more than ``share`` percent of at least two."""
    return considered >= 2 and some * 100 > share * considered
