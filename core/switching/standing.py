"""Where one cluster stands for one app under automatic control (spec S13, S20, S29). Pure.

Quick down, slow up. ``cause`` is what speaks against the cluster, None when nothing does:

===========  ===================================  ====================  ==========================================
phase        when                                 next                  note
===========  ===================================  ====================  ==========================================
serving      cause                                erased                at once
ramping      cause                                erased                at once; counts as a flap
recovering   cause                                erased                the hold begins anew
erased       no cause                             recovering            the hold begins: hold x 2^flaps, bounded
recovering   no cause for the hold                ramping               or serving when the ramp has one step
recovering   no cause, and nobody else serves     serving               the hold is not worth an outage
ramping      step time over                       ramping, serving      next share; after the last: serving
===========  ===================================  ====================  ==========================================

An erase within ``flap_window`` of the last return is a flap; the count starts anew after a window without one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.model import Cause, Phase
from core.settings import Recovery


@dataclass(frozen=True, slots=True)
class Standing:
    """One cluster under one domain name. ``due`` is when time alone moves it on, 0 for never.

    ``step`` indexes the ramp; ``returned_at`` is when it last came back into the answers, 0 for never.
    """

    phase: Phase = Phase.SERVING
    since: float = 0.0
    cause: Cause | None = None
    due: float = 0.0
    step: int = 0
    flaps: int = 0
    returned_at: float = 0.0

    def share(self, recovery: Recovery) -> int:
        """The percentage of answers that may hold the cluster's address."""
        if self.phase is Phase.SERVING:
            return 100
        return recovery.ramp[min(self.step, len(recovery.ramp) - 1)] if self.phase is Phase.RAMPING else 0


def advance(standing: Standing, cause: Cause | None, alone: bool, recovery: Recovery, now: float) -> Standing:
    """The standing after a look at it; the same object when nothing changes. ``alone``: nobody else serves the app."""
    if cause:
        return _against(standing, cause, recovery, now)
    match standing.phase:
        case Phase.ERASED:
            return replace(standing, phase=Phase.RECOVERING, since=now, due=now + hold(standing.flaps, recovery))
        case Phase.RECOVERING if alone:
            return replace(standing, phase=Phase.SERVING, since=now, due=0.0, cause=None, returned_at=now)
        case Phase.RECOVERING if now >= standing.due:
            return begin_ramp(standing, recovery, now)
        case Phase.RAMPING if now >= standing.due:
            return _climb(standing, recovery, now)
    return standing


def begin_ramp(standing: Standing, recovery: Recovery, now: float) -> Standing:
    """Back into the answers, with the first share of the ramp."""
    begun = replace(standing, phase=Phase.RAMPING, since=now, step=0, cause=None, returned_at=now)
    return _climb(replace(begun, step=-1), recovery, now)


def hold(flaps: int, recovery: Recovery) -> float:
    """Seconds of good results that are wanted before a return."""
    return min(recovery.hold * 2.0 ** min(flaps, 30), max(recovery.hold, recovery.hold_limit))


def not_later(standing: Standing, recovery: Recovery, now: float) -> Standing:
    """The standing after a start: a clock that was ahead before it must not hold a cluster out until that time comes."""
    longest = recovery.ramp_step if standing.phase is Phase.RAMPING else hold(standing.flaps, recovery)
    return replace(
        standing,
        since=min(standing.since, now),
        due=min(standing.due, now + longest),
        returned_at=min(standing.returned_at, now),
    )


def _against(standing: Standing, cause: Cause, recovery: Recovery, now: float) -> Standing:
    if standing.phase is Phase.ERASED:
        return standing
    flaps = standing.flaps
    if standing.phase in {Phase.SERVING, Phase.RAMPING}:
        recent = standing.returned_at > 0 and now - standing.returned_at <= recovery.flap_window
        flaps = flaps + 1 if recent else 0
    return replace(standing, phase=Phase.ERASED, since=now, cause=cause, due=0.0, step=0, flaps=flaps)


def _climb(standing: Standing, recovery: Recovery, now: float) -> Standing:
    step = standing.step + 1
    if step >= len(recovery.ramp) or recovery.ramp[step] >= 100:
        return replace(standing, phase=Phase.SERVING, since=now, due=0.0, step=0, cause=None)
    return replace(standing, step=step, since=now, due=now + recovery.ramp_step)
