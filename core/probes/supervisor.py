"""All probes of the process: one worker for each source, started, restarted and replaced (spec S36).

Called by the engine and by ``pointsman check --probe``. Owns the workers' tasks; what they find goes to the ProbeSink.
"""

from __future__ import annotations

import random as randomness
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from core.clock import Clock
from core.model import SourceId
from core.probes.sink import ProbeSink
from core.settings import Settings

_log = structlog.get_logger()
_RESTART = 1.0  # seconds until a worker that raised is started again


@dataclass(frozen=True, slots=True)
class _Worker:
    """How one source is watched. Two that are ``same`` need no restart; ``first_round`` waits for one whole round."""

    source: SourceId
    same: tuple[object, ...]
    start: Callable[[ProbeSink], Awaitable[None]]


class Probes:
    """Every probe of the settings. ConfigError, also from :meth:`replace`, when keys, hosts or checks cannot be used."""

    def __init__(
        self, settings: Settings, sink: ProbeSink, clock: Clock, *, random: randomness.Random | None = None
    ) -> None:
        self._sink, self._clock = sink, clock
        self._random = random or randomness.Random()  # noqa: S311 - spreads attempts in time, protects nothing
        self._settings = settings
