"""The engine's whole state, what comes in and what goes out: values only. Pure.

``step`` (:mod:`core.step`) takes a state and an input and gives the next state and the effects, which the engine
carries out in the order: save, publish, tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, TypeAlias

from core.detection.external import Assessment
from core.detection.internal import ClusterState
from core.detection.suspicion import NO_SUSPICION, Suspicion
from core.model import Cause, Event, EventName, Evidence, Override, SourceId
from core.records import RecordTable
from core.shared import ALONE, Sharing
from core.snapshot import Freeze
from core.switching.standing import Standing
from core.switching.table import StandingKey
from core.switching.weights import Weight
from core.world import World


@dataclass(frozen=True, slots=True)
class Incident:
    """The newest trouble of a cluster, step by step (spec S15, S31): the first instant of each event."""

    cause: Cause
    steps: tuple[tuple[EventName, float], ...] = ()
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Opening:
    """A router that is to be opened before its cluster comes back: ``open`` once it said so; waited for ``until`` then."""

    until: float
    open: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """Everything that decides. ``due`` is the next instant at which time alone changes a standing or an override.

    ``round_ends`` is when the first round is over at the latest; ``round_over`` once it is (spec S30). ``keys`` are the
    orders already carried out, newest last. ``revisions`` grow with what an operator wants to have seen (spec S34).
    ``unread`` are the clusters that are to be assessed at the next look: what came of them is well, or of the first round, and erases nothing.
    ``awaited`` is a cluster of which not every check has answered yet; ``looked_at`` is when all was looked at, be it calm or not.
    ``uneasy`` are the clusters whose apps have a low TTL, and until when at least. ``cached`` is until when resolvers may hold
    an address, by app and cluster, of those that have left an answer, or whose TTL was longer before. ``held`` is until when an
    erase is held by the velocity budget (:mod:`core.switching.velocity`).
    ``weights`` are those of pods that were detached, by cluster and ``namespace/name``, and ``weights_due`` when to look
    at them again. ``stopped`` are the clusters whose router is to be closed, ``closed`` those of which it said that it is.
    """

    world: World
    table: RecordTable
    clusters: Mapping[str, ClusterState] = field(default_factory=dict)
    assessments: Mapping[str, Assessment] = field(default_factory=dict)
    standings: Mapping[StandingKey, Standing] = field(default_factory=dict)
    overrides: Mapping[str, Override] = field(default_factory=dict)
    revisions: Mapping[str, int] = field(default_factory=dict)
    incidents: Mapping[str, Incident] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uneasy: Mapping[str, float] = field(default_factory=dict)
    cached: Mapping[StandingKey, float] = field(default_factory=dict)
    held: Mapping[StandingKey, float] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, Weight]] = field(default_factory=dict)
    weights_due: float = 0.0
    stopped: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    opening: Mapping[str, Opening] = field(default_factory=dict)
    frozen: Freeze | None = None
    suspicion: Suspicion = NO_SUSPICION
    sharing: Sharing = ALONE
    unread: frozenset[str] = frozenset()
    round_ends: float = 0.0
    round_over: bool = False
    due: float = 0.0
    awaited: str = ""
    looked_at: float = 0.0

    def fault_at(self, cluster: str) -> float:
        """The instant that an automatic erase counts from; 0 where a person took the cluster out."""
        incident = self.incidents.get(cluster)
        return incident.cause.fault_at if incident and cluster not in self.overrides else 0.0


# --- in: also core.model.Result, SourceStatus, Order, core.shared.Peers and Document ----------------------------------------------------------------


class Gaps(Mapping[SourceId, float]):
    """Seconds since each source was heard, worked out when they are asked for: of thousands of sources hardly one is late.

    ``heard`` are the instants, in the order of their time, and ``now`` is the present one on that clock.
    """

    __slots__ = ("_heard", "_now")

    def __init__(self, heard: Mapping[SourceId, float], now: float) -> None:
        self._heard, self._now = heard, now

    def __getitem__(self, source: SourceId) -> float:
        return self._now - self._heard[source]

    def __iter__(self) -> Iterator[SourceId]:
        return iter(self._heard)

    def __len__(self) -> int:
        return len(self._heard)

    def longer(self, limit: float) -> list[SourceId]:
        """Those whose gap is longer; looks at no more than these and one."""
        since = self._now - limit
        return [source for source, _ in takewhile(lambda heard: heard[1] < since, self._heard.items())]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. ``gaps`` are the seconds, of those in which this process listened, since each source was heard."""

    gaps: Mapping[SourceId, float]

    def late(self, limit: float) -> list[SourceId]:
        """The sources that have not been heard for longer than ``limit`` seconds."""
        if isinstance(self.gaps, Gaps):
            return self.gaps.longer(limit)
        return [source for source, gap in self.gaps.items() if gap > limit]


@dataclass(frozen=True, slots=True)
class Renewal:
    """Good results that say what is known (:func:`core.detection.internal.is_known`): nothing but their time is new."""

    results: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """The DNS server answers from ``table`` and no longer from ``before``; no later answer holds what was erased."""

    before: RecordTable
    table: RecordTable
    erased: tuple[StandingKey, ...]


@dataclass(frozen=True, slots=True)
class CleanAnswer:
    """Asked from outside, DNS gave an answer without the cluster's addresses."""

    domain: str
    cluster: str
    serial: int


@dataclass(frozen=True, slots=True)
class RouterTold:
    """A cluster's router has confirmed that it passes no new traffic, or that it does. ``address`` is where it was told."""

    cluster: str
    stopped: bool
    address: str


@dataclass(frozen=True, slots=True)
class Reload:
    """New settings."""

    world: World


# --- out ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Save:
    """What must outlive a kill: keys with values to be kept as JSON, None to forget."""

    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class Publish:
    """A new record table for the DNS server; ``erased`` are the (domain, cluster) pairs that it no longer answers."""

    table: RecordTable
    erased: tuple[StandingKey, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """Something has changed for those who are told, though the record table is the same."""


@dataclass(frozen=True, slots=True)
class Emit:
    """One line of the history."""

    event: Event


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an order; ``refused`` is empty when it was carried out."""

    said: tuple[str, ...] = ()
    refused: str = ""
    revision: int | None = None


Effect: TypeAlias = Save | Publish | Tell | Emit | Reply
