"""The control API as data: its routes, and the shapes of what is sent to it.

The server registers exactly these routes and the OpenAPI document describes them, so the two cannot differ.
The shapes of what it answers are those of :mod:`core.model` and :mod:`core.snapshot`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from core.control.roles import Caller, Role
from core.model import Action, Event, Order, OrderResult
from core.snapshot import AnswerView, Preview, Snapshot, Update

# One line without control characters. (?![\s\S]) is the end in Python and in ECMAScript; $ would allow a line feed.
Line = Annotated[str, Meta(max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f]*(?![\s\S])")]
Key = Annotated[str, Meta(max_length=100, pattern=r"^[\x21-\x7e]*(?![\s\S])")]
Word = Annotated[str, Meta(max_length=255)]
Instant = Annotated[float, Meta(description="seconds since the Unix epoch")]


class _Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"duration": "for"}):
    pass


class OrderBody(_Body):
    """Who and why; ``until``, or ``for`` in seconds; ``expected``: the revision seen, or one for each cluster."""

    who: Line = ""
    why: Line = ""
    until: Instant | None = None
    duration: Annotated[float, Meta(gt=0, le=366 * 86400, description="seconds")] | None = None
    expected: int | dict[str, int] = {}
    key: Key = ""
    force: bool = False

    def order(self, action: Action, clusters: tuple[str, ...], who: str, now: float) -> Order:
        """The order that this body stands for; ``who`` where it names nobody. Raises ValidationError."""
        if self.until is not None and (self.duration is not None or self.until <= now):
            raise msgspec.ValidationError("Either `until` or `for`, and not in the past - at `$.until`")
        until = now + self.duration if self.duration is not None else self.until
        expected = self.expected
        if isinstance(expected, int):
            expected = dict.fromkeys(clusters, expected)
        return Order(action, clusters, self.who or who, self.why, until, tuple(expected.items()), self.key, self.force)


class OrdersBody(OrderBody, kw_only=True):
    """One order for several clusters."""

    action: Action
    clusters: Annotated[tuple[Word, ...], Meta(max_length=1000)] = ()


LARGEST_ID = 2**62
"""What the store can count to, and a little less."""
EventId = Annotated[int, Meta(ge=0, le=LARGEST_ID)]


class EventsQuery(_Body):
    """The newest ``limit`` events from ``since`` on with an id over ``after``, and under ``before`` unless it is 0,
    oldest first."""

    since: Instant = 0.0
    after: EventId = 0
    before: EventId = 0
    cluster: Word = ""
    name: Word = ""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 500


class StreamQuery(_Body):
    """Whose nodes, pods and why-chains to send, separated by commas; without it everybody's, empty nobody's."""

    clusters: Word | None = None

    @property
    def whole(self) -> frozenset[str] | None:
        return None if self.clusters is None else frozenset(filter(None, self.clusters.split(",")))


class AnswersQuery(_Body):
    """The question's type, and clusters to leave out, separated by commas."""

    type: Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{1,12}(?![\s\S])")] = "A"
    without: Word = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What was done, in one line."""

    said: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether a whole round of checks is in."""

    ready: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, in one line, and the present revision of the first cluster that was named."""

    error: str
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. ``answer`` is the type of the JSON it answers, or the media type of something else; ``role`` is needed
    over TCP, and for an order that of :data:`core.control.roles.ORDERS` as well; None: open to all."""

    name: str
    method: str
    path: str
    summary: str
    answer: Any
    query: type[_Body] | None = None
    body: type[_Body] | None = None
    errors: tuple[int, ...] = ()
    role: Role | None = Role.READ


def _order(name: str, path: str, summary: str, body: type[OrderBody] = OrderBody) -> Route:
    errors = (400, 404, 409) if name not in {Action.FREEZE, Action.THAW} else (400, 409)
    return Route(name, "POST", path, summary, OrderResult, None, body, errors, Role.OPERATE)


ROUTES: tuple[Route, ...] = (
    Route("snapshot", "GET", "/v1/snapshot", "Everything, now", Snapshot),
    Route("events", "GET", "/v1/events", "The history", list[Event], query=EventsQuery, errors=(400,)),
    Route("past", "GET", "/v1/past/{event}", "Everything, as it was at an event", Snapshot, errors=(400, 404)),
    Route(
        "stream",
        "GET",
        "/v1/stream",
        'WebSocket: a snapshot, then each change, as JSON texts; another {"clusters": …} may be sent',
        Update,
        query=StreamQuery,
        errors=(400,),
    ),
    Route(
        "record",
        "GET",
        "/v1/record",
        "WebSocket: what comes into the engine, as JSON lines",
        str,
        errors=(400, 503),
        role=Role.ADMIN,
    ),
    _order("drain", "/v1/clusters/{name}/drain", "No new clients"),
    _order("erase", "/v1/clusters/{name}/erase", "Out at once"),
    _order("restore", "/v1/clusters/{name}/restore", "Back to automatic"),
    _order("freeze", "/v1/freeze", "Stop all automatic changes"),
    _order("thaw", "/v1/thaw", "Allow automatic changes again"),
    _order("orders", "/v1/orders", "One order, several clusters", OrdersBody),
    Route("preview", "POST", "/v1/preview", "What an order would do", Preview, None, OrdersBody, (400, 404, 409)),
    Route("reload", "POST", "/v1/reload", "Read the settings again", Said, errors=(409,), role=Role.ADMIN),
    Route("answers", "GET", "/v1/answers/{domain}", "What DNS answers", AnswerView, AnswersQuery, errors=(400, 404)),
    Route("caller", "GET", "/v1/caller", "Who asks: the role, and the token's name", Caller),
    Route("openapi", "GET", "/v1/openapi.json", "This document", dict[str, Any]),
    Route("metrics", "GET", "/metrics", "Prometheus metrics", "text/plain"),
    Route("healthz", "GET", "/healthz", "The process answers", Said, role=None),
    Route("readyz", "GET", "/readyz", "Ready to be relied on", Ready, errors=(503,), role=None),
)
STREAMS = frozenset({"/v1/stream", "/v1/record"})
