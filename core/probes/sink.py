"""Where probes put what they find; the engine implements it. Calls come from the engine's own loop and never block."""

from __future__ import annotations

from typing import Protocol

from core.model import Result, SourceId, SourceStatus


class ProbeSink(Protocol):
    """Results go into the engine's bounded queue; heartbeats only overwrite the last instant a source was heard."""

    def result(self, result: Result) -> None: ...

    def heard(self, source: SourceId, at: float) -> None: ...

    def status(self, status: SourceStatus) -> None: ...
