"""The decisions of a recording beside those of its replay. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from core.model import Event, EventName

DECISIONS = frozenset(
    {
        EventName.ERASE_HELD,
        EventName.ADDRESS_ERASED,
        EventName.ADDRESS_RESTORED,
        EventName.FAIL_OPEN,
        EventName.FAIL_OPEN_ENDED,
        EventName.SUSPECT_SELF,
        EventName.SUSPECT_SELF_ENDED,
        EventName.POD_DETACHED,
        EventName.POD_ATTACHED,
    }
)
_SHADOWED = DECISIONS - {EventName.ADDRESS_ERASED, EventName.ADDRESS_RESTORED} | {EventName.SWITCH_ORDERED}
"""In shadow mode nothing is erased and nothing comes back: there the order to switch is the decision."""
ALIKE = 0.1
"""Seconds by which one decision may lie beside another and be the same: the effects of one step wait for the last ones."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, ``then`` as it was recorded, ``now`` as it was replayed; None where it was not made."""

    then: Event | None
    now: Event | None

    @property
    def event(self) -> Event:
        found = self.then or self.now
        assert found
        return found

    @property
    def later(self) -> float | None:
        """Seconds by which the replay decided later; None where only one of both did."""
        return self.now.at - self.then.at if self.then and self.now else None

    @property
    def said(self) -> str:
        if self.later is None:
            return "not at all" if self.then else "only now"
        if abs(self.later) < ALIKE:
            return "as then"
        return f"{abs(self.later):.3f} s {'later' if self.later > 0 else 'earlier'}"


def decisions(then: Collection[Event], now: Collection[Event]) -> list[Decision]:
    """Both histories' decisions in order of time, those on the same thing paired by time."""
    names = _SHADOWED if any(event.shadow for event in (*then, *now)) else DECISIONS
    kinds: dict[tuple[str, ...], tuple[list[Event], list[Event]]] = defaultdict(lambda: ([], []))
    for which, events in enumerate((then, now)):
        for event in events:
            if event.name in names:
                about = event.evidence if event.name in {EventName.POD_DETACHED, EventName.POD_ATTACHED} else ""
                kinds[event.name, event.cluster, event.app, about][which].append(event)
    found = [decision for both in kinds.values() for decision in _paired(*both)]
    return sorted(found, key=lambda decision: (decision.event.at, decision.event.cluster, decision.event.app))


def _paired(then: Sequence[Event], now: Sequence[Event]) -> Iterator[Decision]:
    """In order, each with the one that is nearest in time: one that was not made shifts none of those after it."""
    i = j = 0
    while i < len(then) and j < len(now):
        apart = abs(then[i].at - now[j].at)
        if i + 1 < len(then) and abs(then[i + 1].at - now[j].at) < apart:
            yield Decision(then[i], None)
            i += 1
        elif j + 1 < len(now) and abs(then[i].at - now[j + 1].at) < apart:
            yield Decision(None, now[j])
            j += 1
        else:
            yield Decision(then[i], now[j])
            i, j = i + 1, j + 1
    yield from (Decision(event, None) for event in then[i:])
    yield from (Decision(None, event) for event in now[j:])
