"""The seam between a decision and those who carry it out elsewhere: routers, internal DNS, secondaries, other people's DNS.

Each of them is a :class:`Hand` in one file of its own. The runner gives every hand the newest :class:`Target`, never an
older one (spec S32), each in a task of its own, so that a slow or dead hand delays nobody (spec S36); it repeats until
the hand has confirmed (spec S33). DNS never waits for a hand, except that a router which is to be opened is told
first (:mod:`core.switching.routers`).
Must not import the engine, the probes or the DNS server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from core.model import HandKind
from core.records import RecordTable


class HandError(Exception):
    """It was not carried out; the text is the one line that the operator reads, without any secret."""


@dataclass(frozen=True, slots=True)
class Target:
    """How things are to be, whole: no hand needs to know what was before.

    ``table`` is what DNS answers. ``erased`` are, per domain name, the addresses (or host names) of the app's clusters that no
    answer may hold. ``stopped`` are the clusters whose router passes no new traffic (spec S16). ``weights`` are the percentages of
    their set value that pods get now (spec S18-S20): cluster -> "namespace/name" -> 0..100; what is missing is left as it is.
    """

    table: RecordTable
    erased: Mapping[str, frozenset[str]] = field(default_factory=dict)
    stopped: frozenset[str] = frozenset()
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def concern(target: Target, kind: HandKind, cluster: str) -> object:
    """What of a target a hand has to carry out: two of the same are one and the same task."""
    if kind is HandKind.ROUTER:
        return cluster in target.stopped, target.weights.get(cluster)
    return target.table.serial


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


@runtime_checkable
class Watched(Protocol):
    """A hand whose state can be lost behind our back, as by a restart: carried out anew so many seconds after it confirmed."""

    @property
    def again_in(self) -> float: ...
