"""How long a source may be quiet by its own history (spec S25): adaptive silence deadlines. Pure.

Called by :mod:`core.detection.silence` alone. A lost packet on a TCP connection is a gap of a retransmission (200 ms and
more on Linux, doubled by each further loss), so a link that loses one packet in a hundred has few gaps, and long ones: a
mean and its deviation (Jacobson/Karels, RFC 6298) have forgotten the last when the next one comes. What is kept
is the far end of the distribution, as phi-accrual's window would show it: the worst gap, slowly forgotten.

=====================================  ================================================================================
rule                                   value
=====================================  ================================================================================
no gap worth remembering               the configured ticks, and nothing is kept of the source
a gap ended                            it is remembered when it is longer than what is left of the worst one before
a gap that lasts                       is no history yet: a dead source does not excuse itself
a gap that was an outage               is no history either: who was dead, or hung, is not slow since
a gap while something has failed       tells of that, and not of the way: a router waits for its dead pods
a gap while we suspect ourselves       tells of us (spec S28)
as time passes                         the worst gap halves every :data:`HALF_LIFE` seconds
a source may be quiet for              :data:`MARGIN` times what is left of the worst gap
never less than                        ``detection.silence.ticks`` of its periods (a router: its answer overdue)
never more than                        ``detection.silence.deadline``; a router while its nodes speak: :data:`ALONE` times
all voices of a cluster at once        are a source of their own, with a history of its own
=====================================  ================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

HALF_LIFE = 300.0
MARGIN = 1.5
ALONE = 5
RETRANSMISSION = 0.2
"""Seconds after which Linux sends again what was lost, at the least: a gap as long as this was a lost packet."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """``worst``: the longest gap lately, in seconds, as it was at the instant ``at`` of its end. ``gap``: one that still
    lasts, 0 for none. ``back``: when the newest one ended that lost a packet."""

    worst: float = 0.0
    at: float = 0.0
    gap: float = 0.0
    back: float = 0.0

    def left(self, now: float) -> float:
        """What is left of the worst gap."""
        return float(self.worst * 0.5 ** ((now - self.at) / HALF_LIFE)) if self.worst else 0.0

    def lasting(self, gap: float) -> Rhythm:
        return Rhythm(self.worst, self.at, gap, self.back)

    def ended(self, limit: float, outage: float, now: float, *, lost: bool = False) -> Rhythm:
        """After the lasting gap has ended; one longer than ``limit`` counts as that long, one longer than ``outage`` not.
        ``lost``: it was that of a lost packet."""
        gap = min(self.gap, limit) if self.gap <= outage else 0.0
        worst, at = (gap, now) if gap > self.left(now) else (self.worst, self.at)
        return Rhythm(worst, at, back=now if lost and gap else self.back)

    def allowed(self, least: float, most: float, now: float) -> float:
        """Seconds for which the source may be quiet now."""
        return max(least, min(most, MARGIN * self.left(now)))


STEADY = Rhythm()
"""Of who had no gap."""
