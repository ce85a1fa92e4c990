"""A screen with a grid and a ``/`` line: what the Fleet, Events and Probes screens share."""

from __future__ import annotations

from textual import on
from textual.widgets import Input

from tui import filters
from tui.screens.base import ConsoleScreen, InputLine
from tui.text import Line, Tone, line
from tui.widgets.grid import Grid


class ListScreen(ConsoleScreen):
    """Owns what is looked for. Subclasses compose :meth:`table` and :meth:`filter_line`, and show what :attr:`sought` lets
    through; :meth:`leave_list` is what Esc does when there is no filter to drop."""

    def __init__(self) -> None:
        super().__init__()
        self.sought = filters.Filter()

    def table(self) -> Grid:
        return Grid(id="body", ascii_only=self.console.settings.ascii)

    def filter_line(self, prompt: str) -> InputLine:
        return InputLine(prompt, id="filter")

    @property
    def grid(self) -> Grid:
        return self.query_one("#body", Grid)

    def filter_status(self) -> list[Line]:
        return [line(("filter ", Tone.MUTED), (self.sought.text, Tone.ACCENT))] if self.sought.terms else []

    def leave_list(self) -> None:
        self.console.action_fleet()

    def action_filter(self) -> None:
        self.query_one("#filter", InputLine).open()

    def action_back(self) -> None:
        box = self.query_one("#filter", InputLine)
        if box.has_focus or self.sought.terms:
            box.value = ""
            box.close()
            self.repaint()
        else:
            self.leave_list()

    @on(Input.Changed, "#filter")
    def _typed(self, event: Input.Changed) -> None:
        self.sought = filters.parse(event.value)
        self.repaint()

    @on(Input.Submitted, "#filter")
    def _submitted(self) -> None:
        self.query_one("#filter", InputLine).close()
