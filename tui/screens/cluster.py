"""The Cluster screen: why it is where it is, every check, its names, its pods, what was said last, its history."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tui import confirmed, details, keymap
from tui.feed import View
from tui.screens.base import ConsoleScreen
from tui.text import Line, Tone, line
from tui.widgets.lines import LineView
from tui.widgets.plot import LatencyPlot

PLOT_FROM_HEIGHT = 40


class ClusterScreen(ConsoleScreen):
    """One cluster by name. A wide screen has two columns, a narrow one has them one under the other."""

    BINDINGS = keymap.bindings(keymap.CLUSTER)

    def __init__(self, cluster: str) -> None:
        super().__init__()
        self.cluster = cluster

    @property
    def looks_at(self) -> frozenset[str] | None:
        return frozenset({self.cluster})

    def body(self) -> ComposeResult:
        with Horizontal(id="columns"):
            yield self.pane("body", "column")
            with Vertical(id="aside"):
                yield LatencyPlot(id="plot")
                yield self.pane("side", "column")

    def targets(self) -> tuple[str, ...]:
        return (self.cluster,)

    def action_back(self) -> None:
        self.console.action_fleet()

    def paint(self, view: View) -> None:
        if view.snapshot is None:
            return
        left, right = self.query_one("#body", LineView), self.query_one("#side", LineView)
        cluster = next((c for c in view.snapshot.clusters if c.name == self.cluster), None)
        if cluster is None:
            left.set_lines([line((f"There is no cluster {self.cluster} any more.", Tone.WARN))])
            right.set_lines([])
            self.query_one("#plot").display = False
            return
        if cluster.internal_total + cluster.external_total and not cluster.sources:
            left.set_lines([line((f"Asking for the nodes of {self.cluster} …", Tone.MUTED))])
            return
        two = self.size.width >= 120
        self.query_one("#aside").display = two
        width = (self.size.width // 2 if two else self.size.width) - 4
        plot = self.query_one("#plot", LatencyPlot)
        plot.display = (
            self.size.height >= PLOT_FROM_HEIGHT and bool(cluster.latency) and not (left.ascii_only or view.stale)
        )
        if two and plot.display:
            plot.set_times(cluster.latency)
        main: list[Line] = [
            *details.head(cluster, view.now, view.stale, width),
            *details.why_chain(cluster, width),
            *confirmed.section(view.snapshot.hands, cluster.name, view.now, width),
            *details.matrix(cluster, width),
            *details.memberships(cluster, view.now, width),
            *details.pods(cluster, view.now, width),
        ]
        more: list[Line] = [
            *details.results(cluster, view.now, width),
            *details.watches(cluster, view.now, width),
            *details.history(view.events, cluster.name),
        ]
        left.set_lines(self.document(view, main if two else main + more))
        right.set_lines(self.document(view, more) if two else [])
