"""Writes down what comes into the engine, for as long as somebody reads it. Used by the engine's loop alone.

Nothing waits for the reader: what is not fetched piles up to a limit, and then the recording is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import msgspec

from core.model import CheckId, Event, Evidence, Order, Result, SourceId, SourceStatus
from core.recording.lines import FORMAT, Asked, Given, Happened, Head, Line, Named, Ticked, Told, asked, encode
from core.shared import Document, Peers
from core.state import Reload, RouterTold, State
from core.step import Input

WAITING = 32 << 20
"""Octets that may wait for the reader."""
FETCH = 0.5
"""Seconds between two looks of the reader."""
_AGE = 10_000


class Tape:
    """One recording, from ``now`` on. ``heard`` are the instants at which each source was heard, on the clock of the time listened."""

    def __init__(self, state: State, heard: Mapping[SourceId, float], now: float) -> None:
        self._began = now
        self._world = state.world
        self._lines: list[bytes] = []
        self._size = 0
        self._sources: dict[SourceId, int] = {}
        self._checks: dict[CheckId, int] = {}
        self._last: dict[CheckId, tuple[object, ...]] = {}
        self._fresh: dict[SourceId, None] = dict.fromkeys(heard)
        self.full = False
        for cluster in state.clusters.values():
            for status in cluster.status.values():
                self.given(status, now)
        if state.sharing.peers:
            self.given(state.sharing.peers, now)
        if state.sharing.document:
            self.given(state.sharing.document, now)

    def head(self, version: str, saved: Mapping[str, bytes]) -> bytes:
        """The first line. ``saved`` is the store's content; keys of orders stay out."""
        kept = {key: msgspec.Raw(value) for key, value in saved.items() if not key.startswith("order/")}
        head = Head(format=FORMAT, version=version, at=self._began, asked=asked(self._world), saved=kept)
        return encode(head) + b"\n"

    async def chunks(self) -> AsyncIterator[bytes]:
        """What came in, some lines at a time; ends when the reader was too slow."""
        while True:
            lines, self._lines, self._size = self._lines, [], 0
            if lines:
                yield b"".join(lines)
            if self.full:
                return
            await asyncio.sleep(FETCH)

    def result(self, result: Result, now: float) -> None:
        number = self._checks.get(result.check)
        if number is None:
            number = self._checks[result.check] = len(self._checks)
            self._put(Asked(result.check))
        at, took = self._since(result.at), round(result.took, 4)
        if isinstance(result, Evidence):
            what: tuple[object, ...] = (result.healthy, result.said, result.pods)
            noticed = None if result.noticed_at is None else self._since(result.noticed_at)
            told = Told(self._since(now), number, at, took, result.healthy, result.said, noticed, result.pods)
        else:
            what = (None, result.reason, ())
            told = Told(self._since(now), number, at, took, said=result.reason)
        if self._last.get(result.check) == what:
            told = Told(told.now, number, at, took, noticed_at=told.noticed_at, same=True)
        self._last[result.check] = what
        self._put(told)

    def heard(self, source: SourceId) -> None:
        self._fresh.pop(source, None)  # in the order in which they were heard last
        self._fresh[source] = None

    def tick(self, now: float, listened: float, heard: Mapping[SourceId, float]) -> None:
        flat: list[int] = []
        for source in self._fresh:
            at = heard.get(source)
            if at is None:  # forgotten by a reload
                continue
            number = self._sources.get(source)
            if number is None:
                number = self._sources[source] = len(self._sources)
                self._put(Named(source))
            flat += (number, round((listened - at) * _AGE))
        self._fresh.clear()
        self._put(Ticked(self._since(now), round(listened, 4), tuple(flat)))

    def given(self, given: Input, now: float) -> None:
        """Other inputs; those that only follow from what was decided are not written down."""
        match given:
            case Order():
                self._put(Given(self._since(now), order=replace(given, key="")))
            case SourceStatus():
                self._put(Given(self._since(now), status=given))
            case RouterTold():
                self._put(Given(self._since(now), router=given))
            case Peers():
                self._put(Given(self._since(now), peers=given))
            case Document():
                self._put(Given(self._since(now), document=given))
            case Reload():
                self._put(Given(self._since(now)))

    def event(self, event: Event) -> None:
        self._put(Happened(event))

    def _since(self, at: float) -> float:
        return round(at - self._began, 4)

    def _put(self, line: Line) -> None:
        if self.full:
            return
        octets = encode(line) + b"\n"
        self._size += len(octets)
        self.full = self._size > WAITING
        self._lines.append(octets)
