"""A recording through :func:`core.step.step` with other settings: what would have been decided. Pure.

The engine's part is played as :mod:`core.engine` does it, with its effects taken as carried out at once: the table is
published, the answer is clean. What nodes and routers said is as it was, also where they would have said something else: a
router that was closed then does not answer in the replay either, and one that is closed here alone does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from core.model import Action, CheckId, Event, EventName, Evidence, Order, PodReport, Result, Silence, SourceId
from core.recording.lines import Asked, Given, Happened, Head, Line, LineError, Named, Ticked, Told, asked
from core.records import RecordTable
from core.renewals import Renewals
from core.restore import restore
from core.state import CleanAnswer, Emit, Gaps, Publish, Published, Reload, Renewal, Reply, Tick
from core.step import Input, step
from core.text import utc
from core.world import World

_AGE = 10_000
_Said = tuple[bool | None, str, tuple[PodReport, ...]]


@dataclass(slots=True)
class Replayed:
    """``then`` and ``now`` are the events, as recorded and as replayed; ``notes`` what makes a replay differ from life."""

    began: float
    until: float
    inputs: int = 0
    then: list[Event] = field(default_factory=list)
    now: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Replay:
    """One run through a recording. ``name`` is the file's, for the errors."""

    def __init__(self, name: str, world: World, head: Head) -> None:
        self._name = name
        self._world = world
        self._began = head.at
        self._state = restore(world, head.saved, head.at)
        self._answered: RecordTable = self._state.table
        self._now = head.at
        self._sources: list[SourceId] = []
        self._checks: list[CheckId] = []
        self._last: dict[int, _Said] = {}
        self._heard: dict[SourceId, float] = {}
        self._listened = 0.0
        self._renewals = Renewals()
        self.found = Replayed(head.at, head.at)
        self._compare(head.asked)

    def run(self, lines: Iterator[Line]) -> Replayed:
        """All of it. Raises :class:`core.recording.lines.LineError` for what contradicts itself."""
        for number, line in enumerate(lines, 2):
            try:
                self._take(line)
            except (LookupError, ValueError) as error:
                raise LineError(f"{self._name}:{number}: {error}") from None
        self.found.until = self._now
        return self.found

    def _take(self, line: Line) -> None:
        match line:
            case Named():
                self._sources.append(line.source)
            case Asked():
                self._checks.append(line.check)
            case Told():
                self._at(line.now)
                self._result(self._told(line))
            case Ticked():
                self._at(line.now)
                self._tick(line)
            case Given():
                self._at(line.now)
                self._given(line)
            case Happened():
                self.found.then.append(line.event)
                if line.event.name is EventName.ROUTER_STOPPED:
                    self._note(
                        f"{line.event.cluster}: its router was closed: what its confirmation said after that is of then"
                    )

    def _at(self, since: float) -> None:
        if self._began + since < self._now:
            raise ValueError("goes back in time")
        self._now = self._began + since
        self.found.inputs += 1

    def _told(self, line: Told) -> Result:
        if not 0 <= line.check < len(self._checks):
            raise LookupError(f"no check has the number {line.check} yet")
        if line.same and line.check not in self._last:
            raise LookupError(f"check {line.check} has said nothing yet that this could be the same as")
        healthy, said, pods = self._last[line.check] if line.same else (line.healthy, line.said, line.pods)
        self._last[line.check] = healthy, said, pods
        check, at = self._checks[line.check], self._began + line.at
        if healthy is None:
            return Silence(check, said, at, line.took)
        noticed = None if line.noticed_at is None else self._began + line.noticed_at
        return Evidence(check, healthy, said, at, line.took, noticed, pods)

    def _result(self, result: Result) -> None:
        if result.check.source not in self._heard:
            self._heard[result.check.source] = self._listened
        if not self._renewals.keep(result, self._state.clusters.get(result.check.cluster), self._now):
            self._feed(result)

    def _tick(self, line: Ticked) -> None:
        self._listened = line.listened
        for number, age in zip(line.heard[::2], line.heard[1::2], strict=True):
            if not 0 <= number < len(self._sources):
                raise LookupError(f"no source has the number {number} yet")
            source = self._sources[number]
            self._heard.pop(source, None)
            self._heard[source] = self._listened - age / _AGE
        if renewed := self._renewals.due(self._now):
            self._feed(Renewal(renewed))
        self._feed(Tick(Gaps(self._heard, self._listened)))

    def _given(self, line: Given) -> None:
        if given := line.status or line.router or line.peers or line.document:
            self._feed(given)
        elif line.order:
            self._order(line.order)
        else:
            self._feed(Reload(self._world))
            quiet = {source for cluster in self._state.clusters.values() for source in cluster.quiet}
            self._heard = {source: at for source, at in self._heard.items() if source in quiet}
            self._note("settings were read again then; here they are the same throughout")

    def _order(self, order: Order) -> None:
        """As it was given, whatever the clusters' revisions are here."""
        reply = self._feed(replace(order, expected=()))
        if reply and reply.refused and order.action is not Action.RESTORE:
            self._note(f"{order.action} {' '.join(order.clusters)} is refused here: {reply.refused}")

    def _feed(self, given: Input) -> Reply | None:
        self._state, effects = step(self._state, given, self._now)
        reply = None
        for effect in effects:
            match effect:
                case Emit(event):
                    self.found.now.append(event)
                case Publish(table, erased):
                    answered, self._answered = self._answered, table
                    self._feed(Published(answered, table, erased))
                    for domain, cluster in erased:
                        self._feed(CleanAnswer(domain, cluster, table.serial))
                case Reply():
                    reply = effect
        return reply

    def _note(self, text: str) -> None:
        self.found.notes.append(f"{utc(self._now)}: {text}")

    def _compare(self, then: Mapping[str, float]) -> None:
        now = asked(self._world)
        for key in sorted(then.keys() & now.keys()):
            if then[key] != now[key]:
                self.found.notes.append(f"{key} was {then[key]:g} s then: a replay asks neither more nor less often")
