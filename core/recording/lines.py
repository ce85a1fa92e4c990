"""The lines of a recording: what each holds, and how it is read and written. Pure.

A recording is a text of JSON lines. The first is the :class:`Head`; sources and checks are named once and have a number from
then on. Instants are seconds since ``Head.at``, to a tenth of a millisecond; what a check says is left out while it says
the same. There is nothing of the settings in it but how often was asked, and no key of an order: no secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from core.errors import PointsmanError
from core.model import CheckId, Event, Order, PodReport, SourceId, SourceStatus
from core.shared import Document, Peers
from core.state import RouterTold
from core.world import World

FORMAT = 2
LONGEST = 64 << 20
"""Octets of a line; the head of a large installation has some megabytes."""


class _Line(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, tag_field="line"):
    pass


class Head(_Line, tag="pointsman recording", kw_only=True):
    """``saved``: the store when it began; ``asked``: seconds between questions, by the names of their settings."""

    format: int
    version: str
    at: float
    asked: dict[str, float]
    saved: dict[str, msgspec.Raw]


class Named(_Line, tag="source"):
    """A source gets the next number, from 0."""

    source: SourceId


class Asked(_Line, tag="check"):
    """A check gets the next number, from 0."""

    check: CheckId


class Told(_Line, tag="result"):
    """A result of check number ``check``. ``healthy`` None: silence, whose reason is ``said``; ``same``: as the last one of it."""

    now: float
    check: int
    at: float
    took: float
    healthy: bool | None = None
    said: str = ""
    noticed_at: float | None = None
    pods: tuple[PodReport, ...] = ()
    same: bool = False


class Ticked(_Line, tag="tick"):
    """``listened``: seconds in which this process listened. ``heard``: number and age (tenths of a millisecond), one after the
    other, of each source that was heard since the last tick."""

    now: float
    listened: float
    heard: tuple[int, ...] = ()


class Given(_Line, tag="given"):
    """An order that was carried out, how a source is watched, what a router confirmed or other instances told; nothing of it: the
    settings were read again."""

    now: float
    order: Order | None = None
    status: SourceStatus | None = None
    router: RouterTold | None = None
    peers: Peers | None = None
    document: Document | None = None


class Happened(_Line, tag="event"):
    """What was made of it then."""

    event: Event


Line: TypeAlias = Head | Named | Asked | Told | Ticked | Given | Happened
encode = msgspec.json.Encoder().encode
_DECODER = msgspec.json.Decoder(Line)


class LineError(PointsmanError):
    """A line that is none of a recording; the text says which and why."""


def read(name: str, octets: Iterable[bytes]) -> Iterator[Line]:
    """The lines of the recording ``name``, the head first. What was cut off in its last line is left out.

    Raises :class:`LineError` with the name and the number of the line.
    """
    number = 0
    for number, line in enumerate(octets, 1):
        try:
            found = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if number > 1 and not line.endswith(b"\n") and len(line) < LONGEST:
                return
            raise LineError(f"{name}:{number}: not a line of a recording: {error}") from None
        if (number == 1) is not isinstance(found, Head):
            where = "begins without a head" if number == 1 else "a second head"
            raise LineError(f"{name}:{number}: {where}: is it a file that `pointsman record` wrote?")
        if isinstance(found, Head) and found.format != FORMAT:
            raise LineError(
                f"{name}:{number}: format {found.format}, and this pointsman reads {FORMAT}: use that of {found.version}"
            )
        yield found
    if not number:
        raise LineError(f"{name}: is empty")


def asked(world: World) -> dict[str, float]:
    """How often is asked, by the names of the settings: a replay cannot ask more often."""
    detection: Any = world.settings.detection
    found = {f"detection.{key}": getattr(detection, key) for key in ("tick", "tick_sh", "poll", "interval", "timeout")}
    for name, plan in world.clusters.items():
        if confirm := plan.cluster.confirm:
            found |= {f"cluster {name}: confirm.{key}": getattr(confirm, key) for key in ("interval", "timeout")}
    return found
