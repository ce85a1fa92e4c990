"""The share of its set value that one pod gets at its cluster's router (spec S18–S20, S29). Pure.

Quick down, slow up, as with clusters in :mod:`core.switching.standing`:

=========  ========================  =====================  ==========================================================
share      when                      next                   note
=========  ========================  =====================  ==========================================================
above 0    not well                  0                      at once; within ``flap_window`` of the last return: a flap
0          well                      first of ``ramp``      at once; after flaps it is held first: ``hold`` x 2^(flaps-1)
below 100  well for ``ramp_step``    next of ``ramp``       to 100
=========  ========================  =====================  ==========================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.settings import Recovery
from core.switching.standing import hold


@dataclass(frozen=True, slots=True)
class Weight:
    """``share`` in percent of the set value, ``since`` when; ``due`` is when time alone raises it, 0 for never.

    ``returned_at`` is when the pod last came back, 0 for never.
    """

    share: int = 100
    since: float = 0.0
    due: float = 0.0
    flaps: int = 0
    returned_at: float = 0.0


FULL = Weight()


def advance(weight: Weight, well: bool, recovery: Recovery, now: float) -> Weight:
    """The weight after a look at its pod; the same object when nothing changes."""
    if not well:
        if weight.share == 0:
            return replace(weight, due=0.0) if weight.due else weight
        recent = weight.returned_at > 0 and now - weight.returned_at <= recovery.flap_window
        return Weight(0, now, 0.0, weight.flaps + 1 if recent else 0, weight.returned_at)
    if weight.share == 100:
        return weight
    if weight.share == 0 and not weight.due:
        weight = replace(weight, due=now + (hold(weight.flaps - 1, recovery) if weight.flaps else 0.0))
    if now < weight.due:
        return weight
    share = next(step for step in recovery.ramp if step > weight.share)
    due = now + recovery.ramp_step if share < 100 else 0.0
    return replace(weight, share=share, since=now, due=due, returned_at=weight.returned_at if weight.share else now)


def not_later(weight: Weight, recovery: Recovery, now: float) -> Weight:
    """The weight after a start: a clock that was ahead before it must not hold a pod out until that time comes."""
    longest = recovery.ramp_step if weight.share else hold(weight.flaps, recovery)
    return replace(
        weight,
        since=min(weight.since, now),
        due=min(weight.due, now + longest),
        returned_at=min(weight.returned_at, now),
    )


def forget_at(weight: Weight, recovery: Recovery) -> float:
    """When nothing has to be known of it any more, were its pod gone or well."""
    return max(weight.since, weight.returned_at) + recovery.flap_window
