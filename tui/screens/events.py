"""The Events screen: the whole history that the console holds, followed or not, with the whole of one event below."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from core.model import Event
from tui import describe, filters, keymap, rows
from tui.feed import View
from tui.screens.base import ConsoleScreen, InputLine
from tui.text import Line, Tone, joined, line, wrapped
from tui.widgets.grid import Grid
from tui.widgets.lines import LineView


class EventsScreen(ConsoleScreen):
    """Oldest first. Following ends when the cursor leaves the newest event, and begins when it comes back to it."""

    BINDINGS = keymap.bindings(keymap.EVENTS)

    def __init__(self) -> None:
        super().__init__()
        self._query = filters.Filter()
        self._follow = True
        self._source: tuple[object, ...] = ()
        self._events: list[Event] = []

    def body(self) -> ComposeResult:
        yield Grid(id="body", ascii_only=self.console.settings.ascii)
        yield self.pane("one", "panel")
        yield InputLine("text  !text  event:address_erased  cluster:tokyo  app:svc1", id="filter")

    @property
    def grid(self) -> Grid:
        return self.query_one("#body", Grid)

    def status(self, view: View) -> list[Line]:
        parts = [line(("following", Tone.OK) if self._follow else ("not following (G: go on)", Tone.WARN))]
        if self._query.terms:
            parts.append(line(("filter ", Tone.MUTED), (self._query.text, Tone.ACCENT)))
        parts.append(line((f"{len(self._events)} of {describe.count(len(view.events), 'event')}", Tone.MUTED)))
        return [joined(parts, " · ")]

    def show(self, view: View) -> None:
        source = (view.events, self._query, self.size.width)
        if source != self._source:
            self._source = source
            self._events = rows.matching(view.events, self._query)
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
            pane.set_lines([line(("No events match." if self._query.terms else "No events yet.", Tone.MUTED))])
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

    def action_follow(self) -> None:
        self._follow = not self._follow
        self.repaint()

    @on(Grid.Chosen)
    def action_replay_here(self) -> None:
        if self._events:
            self.console.replay(self.console.view().events, self._events[self.grid.cursor].id)

    def action_filter(self) -> None:
        self.query_one("#filter", InputLine).open()

    @on(Input.Changed, "#filter")
    def _typed(self, event: Input.Changed) -> None:
        self._query = filters.parse(event.value)
        self.repaint()

    @on(Input.Submitted, "#filter")
    def _submitted(self) -> None:
        self.query_one("#filter", InputLine).close()

    def action_back(self) -> None:
        box = self.query_one("#filter", InputLine)
        if box.has_focus or self._query.terms:
            box.value = ""
            box.close()
            self.repaint()
        else:
            self.console.action_fleet()
