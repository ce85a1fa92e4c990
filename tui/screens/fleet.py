"""The Fleet screen: one line per cluster, worst first; below, the cluster under the cursor and the newest events."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Container

from core.snapshot import ClusterView, Snapshot
from tui import keymap, rows
from tui.feed import View
from tui.screens.listing import ListScreen
from tui.text import Line, Tone, fit, joined, line
from tui.widgets.grid import Grid
from tui.widgets.lines import LineView


class FleetScreen(ListScreen):
    """Owns the order, the cursor and the marks; the cursor and the marks are names."""

    BINDINGS = keymap.bindings(keymap.FLEET)

    def __init__(self) -> None:
        super().__init__()
        self._faults_only = False
        self._order = 0
        self._reverse = False
        self._wide = False
        self._fleet = rows.Fleet((), 0, 0)

    def body(self) -> ComposeResult:
        yield self.table()
        with Container(id="below"):
            yield self.pane("selected", "panel")
            yield self.pane("tail", "panel")
        yield self.filter_line("text  !text  state:down  tag:eu  app:svc1")

    def show(self, view: View) -> None:
        if view.snapshot is not None:
            order = rows.ORDERS[self._order]
            self._fleet = rows.select(view.snapshot, self.sought, self._faults_only, order, self._reverse)
        super().show(view)

    def status(self, view: View) -> list[Line]:
        fleet, marks = self._fleet, self.grid.marks
        parts = self.filter_status()
        if self._faults_only:
            parts.append(line(("faults only", Tone.ACCENT)))
        notes = [line(("every column: ← → to go along, w to go back", Tone.MUTED))] if self._wide else []
        if parts:
            bad = (
                (f"{fleet.hidden_bad} of them bad", Tone.BAD) if fleet.hidden_bad else ("none of them bad", Tone.MUTED)
            )
            parts.append(line((f"{len(fleet.shown)} shown · {fleet.hidden} hidden, ", Tone.MUTED), bad))
        if marks:
            unseen = len(marks - {cluster.name for cluster in fleet.shown})
            parts.append(
                line((f"{len(marks)} marked", Tone.ACCENT), (f", {unseen} of them hidden" * bool(unseen), Tone.WARN))
            )
        return [joined([*parts, *notes], " · ")] if parts or notes else []

    def paint(self, view: View) -> None:
        snapshot = view.snapshot
        if snapshot is None:
            return
        grid = self.grid
        names = max((len(cluster.name) for cluster in snapshot.clusters), default=0)
        arrow, sorted_by = "↑" if self._reverse else "↓", rows.ORDERS[self._order].column
        columns = tuple(
            column._replace(title=fit(column.title + arrow, min(column.width, len(column.title) + 1)))
            if column.id == sorted_by
            else column
            for column in rows.fleet_columns(
                self.size.width, names, any(c.override for c in snapshot.clusters), self._wide
            )
        )
        known = frozenset(cluster.name for cluster in snapshot.clusters)
        if not grid.marks <= known:
            grid.set_marks(grid.marks & known)
        grid.set_rows(columns, [rows.fleet_row(c, columns, view.now, view.stale) for c in self._fleet.shown])
        self._paint_below(view, snapshot)

    def _paint_below(self, view: View, snapshot: Snapshot) -> None:
        selected, tail = self.query_one("#selected", LineView), self.query_one("#tail", LineView)
        cluster = self.cluster
        if cluster is None:
            selected.set_lines([line(("Nothing matches.", Tone.MUTED))])
        else:
            width, room = selected.size.width, max(4, selected.size.height)
            lines = rows.selected_lines(snapshot, cluster, view.now, view.stale, width=width, limit=room)
            selected.set_lines(
                [tuple((text, Tone.MUTED) for text, _ in spans) for spans in lines] if view.stale else lines
            )
        newest = view.events[-max(1, tail.size.height) :]
        tail.set_lines([rows.event_line(event) for event in newest] or [line(("No events yet.", Tone.MUTED))])

    @property
    def cluster(self) -> ClusterView | None:
        """The cluster under the cursor."""
        key = self.grid.key
        return next((cluster for cluster in self._fleet.shown if cluster.name == key), None)

    def targets(self) -> tuple[str, ...]:
        if self.grid.marks:
            return tuple(sorted(self.grid.marks))
        return (self.grid.key,) if self.grid.key else ()

    def unmark(self, names: frozenset[str]) -> None:
        """Their order was carried out."""
        self.grid.set_marks(self.grid.marks - names)

    # -- keys ------------------------------------------------------------------------------------------------------

    @on(Grid.Moved)
    def _moved(self) -> None:
        view = self.console.view()
        if view.snapshot:
            self._paint_below(view, view.snapshot)

    @on(Grid.Chosen)
    def action_open(self) -> None:
        if self.grid.key:
            self.console.open_cluster(self.grid.key)

    def leave_list(self) -> None:
        if self._faults_only:
            self._faults_only = False
        else:
            self.grid.set_marks(frozenset())
        self.repaint()

    def action_faults(self) -> None:
        self._faults_only = not self._faults_only
        self.repaint()

    def action_wide(self) -> None:
        self._wide = not self._wide
        self.grid.shift_to(0)
        self.repaint()

    def action_shift(self, columns: int) -> None:
        self.grid.shift_to(self.grid.shift + columns)

    def action_sort(self) -> None:
        self._order = (self._order + 1) % len(rows.ORDERS)
        self.repaint()

    def action_reverse(self) -> None:
        self._reverse = not self._reverse
        self.repaint()

    def action_mark(self) -> None:
        if self.grid.key:
            self.grid.set_marks(self.grid.marks ^ {self.grid.key})
            self.grid.action_cursor(1)
            self.repaint()

    def action_mark_all(self) -> None:
        shown = frozenset(cluster.name for cluster in self._fleet.shown)
        self.grid.set_marks(self.grid.marks - shown if shown <= self.grid.marks else self.grid.marks | shown)
        self.repaint()
