"""Serials of the record table where several instances serve one zone (spec S32). Pure.

Each instance has serials of its own: with n instances, that at place i of ``peers.instances`` uses those that leave the remainder i when
divided by n. A new one is also higher than every serial that was heard of another. So a secondary that follows several instances
never meets one serial with two contents, and what changed last has the highest.
"""

from __future__ import annotations

from core.settings import Settings

FARTHEST = 2**30
"""A serial farther ahead than this is not followed: RFC 1982 section 3.2 compares within half the circle, and a clock may be wrong."""


def following(settings: Settings, serial: int, others: int = 0) -> int:
    """The next serial of this instance after ``serial``, and after the highest of the ``others``."""
    least = max(serial, others if others - serial < FARTHEST else 0) + 1
    count = len(settings.peers.instances)
    return least + (settings.peers.slot - least) % count if count > 1 else least
