"""What a reader sees of the whole at one instant: immutable, JSON-able views built by the engine.

Read by the console, the CLI, the API and the metrics; written by :mod:`core.views` alone. No I/O, no logic.
Units as in :mod:`core.model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.model import Event, HandKind, Kind, Override, Phase, SourceKind, Verdict


class ClusterState(StrEnum):
    """The one word for a cluster. ``abnormal`` means: it should be out, and is served (frozen, shadow or fail-open)."""

    OK = "ok"
    DEGRADED = "degraded"
    SILENT = "silent"
    STARTING = "starting"
    ABNORMAL = "abnormal"
    ERASED = "erased"
    RECOVERING = "recovering"
    RAMPING = "ramping"
    DRAINED = "drained"
    HELD_OUT = "held out"


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check: its verdict, the words it is founded on, and how many results in a row said the same."""

    kind: Kind
    name: str
    verdict: Verdict
    said: str
    at: float
    took: float
    since: float
    streak: int


@dataclass(frozen=True, slots=True)
class SourceView:
    """A node, physical machine, database or router with its checks. ``heard_at`` 0 means never.

    Of a node's watch: ``tick`` is the seconds between its lines, ``periods`` the seconds between full checks by kind,
    ``late`` the 99th percentile of how much later than ``tick`` its lines come, ``cost`` its share of a core there in
    percent; None where it is not known.
    """

    name: str
    kind: SourceKind
    verdict: Verdict
    heard_at: float
    mode: str
    detail: str
    event_driven: tuple[Kind, ...]
    checks: tuple[CheckView, ...]
    tick: float | None = None
    periods: tuple[tuple[Kind, float], ...] = ()
    late: float | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod that an app names; ``weight`` is the decided share of its set value in percent (spec S18, S19).

    ``confirmed`` is the share that the cluster's router has said it uses, None where no router was asked. ``next_step_at``
    is when the ramp goes on, None when it is not ramped up (spec S20).
    """

    pod: str
    node: str
    apps: tuple[str, ...]
    verdict: Verdict
    weight: int
    said: str
    since: float
    confirmed: int | None = None
    next_step_at: float | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """One cluster under one domain name: in or out, with what share, and why in one line."""

    domain: str
    cluster: str
    in_dns: bool
    share: int
    phase: Phase
    why: str
    since: float


@dataclass(frozen=True, slots=True)
class WhyStep:
    """One link of the why-chain: check → verdict → decision → answer (spec S15, S31). ``at`` 0 means not reached."""

    stage: str
    said: str
    at: float
    since_fault_ms: float | None = None


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One cluster. ``revision`` grows with each change that an operator would want to have seen before acting.

    ``internal``/``external`` are the two detectors' verdicts; ``internal_bad`` of ``internal_total`` checks are not OK;
    ``fails`` counts the longest run of failing results that has not flipped a verdict yet. ``safe_at`` is when, for a
    cluster that is out, every cached answer has expired. ``p50``/``p95`` are the router's newest answer times in seconds,
    and ``latency`` the median of each quarter of a minute of the last quarter of an hour, oldest first: -1 where a message
    was not answered, None where none was sent.
    """

    name: str
    state: ClusterState
    cause: str
    since: float
    revision: int
    addresses: tuple[str, ...]
    tags: tuple[str, ...]
    internal: Verdict
    internal_bad: int
    internal_total: int
    external: Verdict
    external_bad: int
    external_total: int
    fails: int
    override: Override | None
    safe_at: float | None
    recovers_at: float | None
    flaps: int
    memberships: tuple[Membership, ...]
    sources: tuple[SourceView, ...]
    pods: tuple[PodView, ...]
    why: tuple[WhyStep, ...]
    p50: float | None = None
    p95: float | None = None
    latency: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class AppView:
    """One domain name: what it answers now."""

    domain: str
    policy: str
    ttl: int
    min_healthy: int
    addresses: tuple[str, ...]
    fail_open: bool
    memberships: tuple[Membership, ...]


@dataclass(frozen=True, slots=True)
class HandView:
    """One router, internal DNS, secondary or provider: whether it has carried out the newest decision (spec S33).

    ``wanted`` is the table serial that it was told, ``confirmed`` the newest one that it has confirmed (0: none yet);
    ``since`` is when it confirmed, or since when it has not; ``said`` what it has, or why it has not confirmed.
    """

    name: str
    kind: HandKind
    cluster: str
    address: str
    wanted: int
    confirmed: int
    since: float
    said: str

    @property
    def done(self) -> bool:
        return self.confirmed >= self.wanted > 0


@dataclass(frozen=True, slots=True)
class DnsStats:
    """Counters of the DNS server since its start; ``rate`` is queries a second over the last seconds."""

    queries: int = 0
    rate: float = 0.0
    by_rcode: tuple[tuple[str, int], ...] = ()
    dropped: int = 0
    truncated: int = 0
    tcp_connections: int = 0
    limited: int = 0


@dataclass(frozen=True, slots=True)
class Freeze:
    """The kill switch is on (spec S37)."""

    who: str
    why: str
    since: float


@dataclass(frozen=True, slots=True)
class PeerView:
    """Another instance. ``heard``: its lease holds; ``blind``: it cannot see, and its silence is no vote; ``heard_at`` 0 means
    never. ``ahead`` is how many seconds its clock is ahead of ours."""

    name: str
    heard: bool
    blind: bool
    heard_at: float
    ahead: float


@dataclass(frozen=True, slots=True)
class PeersView:
    """Which of several instances this one is (``name``), and whether etcd answers, since when; ``said`` is the reason why not.

    ``quorum`` instances must see a cluster as silent; ``unshared`` are the clusters whose newest order the others do not have.
    """

    name: str
    reachable: bool
    since: float
    said: str
    quorum: int
    instances: tuple[PeerView, ...]
    unshared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything, at ``at``. ``starting`` holds until one whole round of checks is in (spec S30); ``trouble`` holds one
    line for each thing that is wrong with pointsman itself (a store that cannot be written, …)."""

    at: float
    started_at: float
    installation: str
    production: bool
    version: str
    mode: str
    serial: int
    starting: bool
    frozen: Freeze | None
    shadow: bool
    suspect_self: str
    fail_open: tuple[str, ...]
    trouble: tuple[str, ...]
    clusters: tuple[ClusterView, ...]
    apps: tuple[AppView, ...]
    dns: DnsStats
    listen: tuple[str, ...]
    hands: tuple[HandView, ...] = ()
    peers: PeersView | None = None


@dataclass(frozen=True, slots=True)
class AnswerView:
    """What DNS answers to one question: ``rcode`` as its name, ``text`` as in dig's sections, one line a record."""

    name: str
    qtype: str
    rcode: str
    answer: tuple[str, ...]
    authority: tuple[str, ...]
    serial: int
    memberships: tuple[Membership, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """A domain name's addresses before and after an order."""

    domain: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    fail_open: bool
    healthy_after: int
    clusters: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would do, for the dialog: the difference of the answers, what is refused and what is risky.

    ``expected`` are the revisions the preview saw, to be sent with the order. ``safe_in`` is the seconds until every
    cached answer has expired. ``refused`` is not empty when the order would be refused without ``force``.
    ``grave`` asks for a typed name: an erase, several targets, or less left than ``min_healthy``.
    """

    changes: tuple[AnswerChange, ...]
    expected: tuple[tuple[str, int], ...]
    safe_in: float
    refused: str
    warnings: tuple[str, ...]
    grave: bool


@dataclass(frozen=True, slots=True)
class Update:
    """One message of the stream: a whole snapshot, or events that came since the last message."""

    snapshot: Snapshot | None = None
    events: tuple[Event, ...] = ()
