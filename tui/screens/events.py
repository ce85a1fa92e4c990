"""The Events screen: the whole history, followed or not, with the whole of one event below.

What the console holds is there at once; older events are fetched when the cursor comes to the first line or a time is asked
for that lies before it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from core.errors import PointsmanError
from core.model import Event
from core.text import instant
from tui import describe, keymap, rows
from tui.feed import View
from tui.history import Older
from tui.screens.base import InputLine
from tui.screens.listing import ListScreen
from tui.text import Line, Tone, joined, line, wrapped
from tui.widgets.grid import Grid
from tui.widgets.lines import LineView


class EventsScreen(ListScreen):
    """Oldest first. Following ends when the cursor leaves the newest event, and begins when it comes back to it."""

    BINDINGS = keymap.bindings(keymap.EVENTS)

    def __init__(self) -> None:
        super().__init__()
        self._older = Older(self.console.client)
        self._follow = True
        self._source: tuple[object, ...] = ()
        self._known: tuple[Event, ...] = ()
        self._events: list[Event] = []

    def body(self) -> ComposeResult:
        yield self.table()
        yield self.pane("one", "panel")
        yield self.filter_line("text  !text  event:address_erased  cluster:tokyo  app:svc1")
        yield InputLine("14:05  14:05:30  2026-11-24 14:05  10m (ago); UTC", id="time")

    def status(self, view: View) -> list[Line]:
        parts = [line(("following", Tone.OK) if self._follow else ("not following (G: go on)", Tone.WARN))]
        parts += self.filter_status()
        parts.append(line((f"{len(self._events)} of {describe.count(len(self._known), 'event')}", Tone.MUTED)))
        parts += [line(("the history begins here", Tone.MUTED))] if self._older.whole and not self.grid.cursor else []
        return [joined(parts, " · ")]

    def show(self, view: View) -> None:
        known = (*self._older.before(view.events), *view.events)
        source = (known, self.sought, self.size.width)
        if source != self._source:
            self._source, self._known = source, known
            self._events = rows.matching(known, self.sought)
        super().show(view)

    def paint(self, view: View) -> None:
        columns = rows.event_columns(self.size.width)
        self.grid.set_rows(columns, [rows.event_row(event, columns) for event in self._events])
        if self._follow:
            self.grid.action_bottom()
        self._paint_one()

    def _paint_one(self) -> None:
        pane = self.query_one("#one", LineView)
        if not self._events:
            pane.set_lines([line(("No events match." if self.sought.terms else "No events yet.", Tone.MUTED))])
            return
        event = self._events[self.grid.cursor]
        width = pane.size.width
        head = joined([line((f"#{event.id}", Tone.MUTED)), rows.event_line(event)[:3]])
        lines = [head]
        facts = (("name     ", event.app), ("cause    ", event.cause), ("evidence ", event.evidence), ("by       ", event.who),
                 ("serial   ", str(event.serial or "")), ("after    ", describe.since_fault(event.since_fault_ms)))  # fmt: skip
        for label, text in facts:
            lines += wrapped(label, text, width) if text else []
        pane.set_lines(lines)

    @on(Grid.Moved)
    def _moved(self) -> None:
        follow = self.grid.cursor >= len(self.grid.rows) - 1
        self._paint_one()
        if follow != self._follow:
            self._follow = follow
            self.repaint()
        if not self.grid.cursor and not self._follow:
            self._fetch(lambda page: bool(rows.matching(page, self.sought)))

    def _fetch(self, until: Callable[[Sequence[Event]], bool], then: Callable[[], None] | None = None) -> None:
        self.run_worker(self._fetched(until, then), group="older", exclusive=True)

    async def _fetched(self, until: Callable[[Sequence[Event]], bool], then: Callable[[], None] | None) -> None:
        try:
            await self._older.fetch(self.console.view().events, until)
        except (PointsmanError, OSError) as error:
            self.console.toast(str(error), "warning")
            return
        self.repaint()
        if then is not None:
            then()

    def action_follow(self) -> None:
        self._follow = not self._follow
        self.repaint()

    def action_jump(self) -> None:
        self.query_one("#time", InputLine).open()

    @on(Input.Submitted, "#time")
    def _jump(self, event: Input.Submitted) -> None:
        self.query_one("#time", InputLine).close()
        at = instant(event.value, self.console.view().now)
        if at is None:
            self.console.toast(f"{event.value!r} is no time: 14:05, 14:05:30, 2026-11-24 14:05 or 10m", "warning")
            return
        self._follow = False
        self._fetch_to(at)

    def _fetch_to(self, at: float) -> None:
        def land() -> None:
            self.grid.move_to(bisect_left(self._events, at, key=lambda event: event.at))

        if self._known and self._known[0].at > at:
            self._fetch(lambda page: not page or page[0].at <= at, land)
        else:
            land()

    @on(Grid.Chosen)
    def action_replay_here(self) -> None:
        if self._events:
            self.console.replay(self._known, self._events[self.grid.cursor].id)

    def action_back(self) -> None:
        box = self.query_one("#time", InputLine)
        if box.has_focus:
            box.close()
        else:
            super().action_back()
