"""The vocabulary of pointsman: ids, results, verdicts, decisions, orders, events.

Owns the immutable values that every part hands to the next: *result → verdict → decision → record → answer*.
What consoles and other programs read of the whole is in :mod:`core.snapshot`.
Imported by everything; imports nothing of the project and does no I/O.

Units: instants are seconds since the Unix epoch (UTC) as float, taken from :class:`core.clock.Clock`, which is
anchored once and then advances with the monotonic clock, so that a step of the wall clock moves nothing.
Durations are seconds as float. Domain names are lower case with the final dot. Shares are whole percent, 0 to 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias


class Kind(StrEnum):
    """What a check looks at (spec S4–S9, S11); ``WATCH`` is the session with a source itself."""

    CONTAINERS = "containers"
    ROUTES = "routes"
    VSWITCH = "vswitch"
    RUNTIME = "runtime"
    MACHINE = "machine"
    DATABASE = "database"
    COMMAND = "command"
    CONFIRM = "confirm"
    WATCH = "watch"

    __hash__ = str.__hash__


INTERNAL_KINDS = frozenset(Kind) - {Kind.CONFIRM, Kind.WATCH}


class Verdict(StrEnum):
    """How a check stands (spec S25)."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


class SourceKind(StrEnum):
    """Where results come from."""

    NODE = "node"
    MACHINE = "machine"
    DATABASE = "database"
    ROUTER = "router"
    CANARY = "canary"

    __hash__ = str.__hash__


class SourceId(NamedTuple):
    """One place that is asked: a node, a physical machine, a database or a router of a cluster; a canary is of none.

    Ids are hashed and compared for each line of each node: a named tuple does it without a function of Python.
    """

    cluster: str
    name: str
    kind: SourceKind = SourceKind.NODE

    def __str__(self) -> str:
        return f"{self.cluster}/{self.name}"


class CheckId(NamedTuple):
    """One check at one source. ``name`` tells several of one kind apart: ``iptables``, ``nftables``, a machine's domain."""

    source: SourceId
    kind: Kind
    name: str = ""

    @property
    def cluster(self) -> str:
        return self.source.cluster

    def __str__(self) -> str:
        return f"{self.source}/{self.kind}" + (f":{self.name}" if self.name else "")


@dataclass(frozen=True, slots=True)
class PodReport:
    """The newest attempt of one container of one pod, as the runtime told it (spec S4).

    ``pod`` is ``namespace/name``. A container that is not running is definite evidence against its pod; ``said`` is
    then a sentence that names both.
    """

    pod: str
    container: str
    running: bool
    said: str
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """The source answered, and the answer says well or not well (spec S25: definite evidence).

    ``at`` is when the answer was read, ``took`` the seconds from asking to reading. ``noticed_at`` is when the first
    sign (a dead sentinel, an event line, a closed connection) made us ask, where there was one.
    ``pods`` is filled by the containers check alone; there ``healthy`` only says that the runtime answered with a
    readable list, and each pod is judged by those who know the apps.
    """

    check: CheckId
    healthy: bool
    said: str
    at: float
    took: float = 0.0
    noticed_at: float | None = None
    pods: tuple[PodReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing that can be read as well or not well: a timeout, a broken session, garbage, a refused sudo (spec S25)."""

    check: CheckId
    reason: str
    at: float
    took: float = 0.0


Result: TypeAlias = Evidence | Silence


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is being watched, for the screen: ``bash``, ``sh``, ``poll``, ``local``, ``driver`` or ``connecting``.

    ``event_driven`` are the kinds that announce a change themselves, ``periods`` the seconds between full checks by kind.
    Of a node's watch: ``tick`` in seconds, ``late`` the 99th percentile of how much later than that its lines came in the
    last ten seconds, ``cost`` the percent of a core its script took there; None where it is not known.
    """

    source: SourceId
    mode: str
    connected: bool
    detail: str = ""
    event_driven: tuple[Kind, ...] = ()
    periods: tuple[tuple[Kind, float], ...] = ()
    tick: float | None = None
    late: float | None = None
    cost: float | None = None


# --- decisions ------------------------------------------------------------------------------------------------------


class Phase(StrEnum):
    """Where one cluster stands for one app under automatic control; the transitions are in core.switching.switcher."""

    SERVING = "serving"
    ERASED = "erased"
    RECOVERING = "recovering"
    RAMPING = "ramping"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an address was taken out (spec S31): which check, where, what it said, and since when.

    ``rule`` names the rule that decided: ``internal_anomaly``, ``external_anomaly``, ``silence``, ``min_healthy``, ``peer_evidence``.
    """

    rule: str
    where: str
    said: str
    fault_at: float


class Action(StrEnum):
    """What an operator can order (spec S22, S37)."""

    DRAIN = "drain"
    ERASE = "erase"
    RESTORE = "restore"
    FREEZE = "freeze"
    THAW = "thaw"


@dataclass(frozen=True, slots=True)
class Override:
    """A manual override of one cluster (spec S34). ``until`` None means until restored by hand."""

    cluster: str
    action: Action
    who: str
    why: str
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A command of an operator. ``expected`` holds, per cluster, the revision the operator saw; an order that names an
    older one is refused (spec S32, S34). ``key`` makes a repeated order harmless. ``clusters`` is empty for freeze, thaw.
    """

    action: Action
    clusters: tuple[str, ...] = ()
    who: str = ""
    why: str = ""
    until: float | None = None
    expected: tuple[tuple[str, int], ...] = ()
    key: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class OrderResult:
    """The engine's answer to an accepted order: one line for each cluster, the table serial and the new revisions."""

    said: tuple[str, ...]
    serial: int
    revisions: tuple[tuple[str, int], ...] = ()


class HandKind(StrEnum):
    """Who beside our own DNS carries a decision out and confirms it (spec S33)."""

    ROUTER = "router"
    INTERNAL_DNS = "internal-dns"
    SECONDARY = "secondary"
    PROVIDER = "provider"


# --- events ---------------------------------------------------------------------------------------------------------


class EventName(StrEnum):
    """Names used in logs, API, screen and metrics; other programs rely on them."""

    FAULT_SEEN = "fault_seen"
    INTERNAL_ANOMALY = "internal_anomaly"
    EXTERNAL_ANOMALY = "external_anomaly"
    SWITCH_ORDERED = "switch_ordered"
    ERASE_HELD = "erase_held"
    ADDRESS_ERASED = "address_erased"
    FIRST_CLEAN_ANSWER = "first_clean_answer"
    ROUTER_STOPPED = "router_stopped"
    ROUTER_OPENED = "router_opened"
    INTERNAL_DNS_ERASED = "internal_dns_erased"
    POD_DETACHED = "pod_detached"
    POD_ATTACHED = "pod_attached"
    RAMP_STEP = "ramp_step"
    ADDRESS_RESTORED = "address_restored"
    FAIL_OPEN = "fail_open"
    FAIL_OPEN_ENDED = "fail_open_ended"
    SUSPECT_SELF = "suspect_self"
    SUSPECT_SELF_ENDED = "suspect_self_ended"
    FROZEN = "frozen"
    THAWED = "thawed"
    OVERRIDE_SET = "override_set"
    OVERRIDE_ENDED = "override_ended"
    OVERRIDE_EXPIRED = "override_expired"
    RECOVERED = "recovered"
    CHECK_SILENT = "check_silent"
    RELOADED = "reloaded"
    STARTED = "started"
    STORE_DEGRADED = "store_degraded"
    PEERS_LOST = "peers_lost"
    PEERS_BACK = "peers_back"
    PEER_LOST = "peer_lost"
    PEER_HEARD = "peer_heard"
    SILENCE_OUTVOTED = "silence_outvoted"
    OVERRIDE_OVERRULED = "override_overruled"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history. ``id`` grows by one and survives restarts; 0 until the engine gave it one.

    ``since_fault_ms`` counts from the instant the fault was seen. ``shadow`` marks what would have been done (spec S38).
    """

    name: EventName
    at: float
    cluster: str = ""
    app: str = ""
    cause: str = ""
    evidence: str = ""
    who: str = ""
    serial: int = 0
    since_fault_ms: float | None = None
    shadow: bool = False
    id: int = 0
