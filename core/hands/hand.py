"""The seam between a decision and those who carry it out elsewhere: routers, internal DNS, secondaries, other people's DNS.

Each of them is a :class:`Hand` in one file of its own. The runner gives every hand the newest :class:`Target`, never an
older one (spec S32), each in a task of its own, so that a slow or dead hand delays nobody (spec S36); it repeats until
the hand has confirmed (spec S33). DNS never waits for a hand, except that a router which is to be opened is told first.
Must not import the engine, the probes or the DNS server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core.model import HandKind
from core.records import RecordTable


class HandError(Exception):
    """It was not carried out; the text is the one line that the operator reads, without any secret."""


@dataclass(frozen=True, slots=True)
class Target:
    """How things are to be, whole: no hand needs to know what was before.

    ``table`` is what DNS answers. ``erased`` are, per domain name, the addresses (or host names) of the app's clusters that no
    answer may hold. ``stopped`` are the clusters whose router passes no new traffic (spec S16). ``weights`` are the percentages of
    their set value that pods get now (spec S18-S20): (cluster, "namespace/name") -> 0..100; a pod that is missing has 100.
    """

    table: RecordTable
    erased: Mapping[str, frozenset[str]] = field(default_factory=dict)
    stopped: frozenset[str] = frozenset()
    weights: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Hand(Protocol):
    """One router, name server or provider. ``cluster`` is "" where it belongs to none; ``address`` is shown."""

    name: str
    kind: HandKind
    cluster: str
    address: str

    async def carry_out(self, target: Target) -> str:
        """Bring about ``target`` and read back that it is so; a short line on what it has now (``serial 7``).

        Harmless to repeat. The runner sets the deadline and cancels. Raises HandError, OSError or TimeoutError.
        """
        ...

    async def close(self) -> None:
        """Give up what is held open."""
        ...
