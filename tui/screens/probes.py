"""The Probes screen: one line per node, machine, database and router, how it is watched and what that costs."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult

from tui import keymap, probes
from tui.feed import View
from tui.screens.listing import ListScreen
from tui.text import Line, Tone, joined, line
from tui.widgets.grid import Grid
from tui.widgets.lines import LineView


class ProbesScreen(ListScreen):
    """The worst first. Enter opens the cluster of the source under the cursor."""

    BINDINGS = keymap.bindings(keymap.PROBES)

    def __init__(self) -> None:
        super().__init__()
        self._faults_only = False
        self._found: list[probes.Watched] = []

    @property
    def looks_at(self) -> frozenset[str] | None:
        return None

    def body(self) -> ComposeResult:
        yield self.table()
        yield self.pane("one", "panel")
        yield self.filter_line("text  !text  state:bad  cluster:tokyo  kind:routes  tag:eu")

    def show(self, view: View) -> None:
        if view.snapshot is not None:
            self._found = probes.select(view.snapshot, self.sought, self._faults_only)
        super().show(view)

    def status(self, view: View) -> list[Line]:
        notes = self.filter_status()
        notes += [line(("faults only", Tone.ACCENT))] if self._faults_only else []
        return [joined([*notes, probes.summary(self._found, len(self._found[: probes.SHOWN_AT_MOST]))], " · ")]

    def paint(self, view: View) -> None:
        columns = probes.columns(self.size.width)
        shown = self._found[: probes.SHOWN_AT_MOST]
        self.grid.set_rows(columns, [probes.row(watched, columns, view.now, view.stale) for watched in shown])
        self._paint_one()

    @on(Grid.Moved)
    def _paint_one(self) -> None:
        pane = self.query_one("#one", LineView)
        if self.grid.key is None:
            none = "Nothing matches." if self.sought.terms or self._faults_only else "Nothing has been told yet."
            pane.set_lines([line((none, Tone.MUTED))])
        else:
            pane.set_lines(probes.detail(self._found[self.grid.cursor], self.console.view().now, pane.size.width))

    @on(Grid.Chosen)
    def action_open(self) -> None:
        if self.grid.key is not None:
            self.console.open_cluster(self._found[self.grid.cursor].cluster)

    def action_faults(self) -> None:
        self._faults_only = not self._faults_only
        self.repaint()
