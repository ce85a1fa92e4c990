"""A table with a cursor and marks, whose rows are known by key: on top of :class:`tui.widgets.lines.LineView`.

The cursor and the marks stay with their key however the rows are sorted anew. Called by the Fleet and Events screens.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message

from tui.text import Column, Line, Row, Span, Tone, fit
from tui.widgets.lines import LineView

STAYING = 2
"""The first columns say what a row is about: they stay when the others are shifted to the left."""


class Grid(LineView):
    """Rows under a line of titles that stays."""

    class Moved(Message):
        """The cursor is on another key, or on none."""

    class Chosen(Message):
        """The row under the cursor was clicked twice."""

    def __init__(self, *, id: str | None = None, ascii_only: bool = False) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.columns: tuple[Column, ...] = ()
        self.rows: tuple[Row, ...] = ()
        self.marks: frozenset[str] = frozenset()
        self.cursor = 0
        self.shift = 0

    @property
    def line_count(self) -> int:
        return len(self.rows)

    @property
    def key(self) -> str | None:
        """The key under the cursor."""
        return self.rows[self.cursor].key if self.rows else None

    def set_rows(self, columns: tuple[Column, ...], rows: Sequence[Row]) -> int:
        """Show these rows; returns how many lines on the screen have to be drawn."""
        key, before, old = self.key, self.cursor, self.rows
        self.rows = tuple(rows)
        if columns != self.columns:
            self.columns = columns
            self.shift_to(self.shift)
        self.set_lines((), (self._titles(),))
        if key is not None and not (self.cursor < len(self.rows) and self.rows[self.cursor].key == key):
            found = next((n for n, row in enumerate(self.rows) if row.key == key), None)
            self.cursor = max(0, min(before, len(self.rows) - 1)) if found is None else found
        dirty = self._changed(old, self.rows)
        if self.cursor != before:
            self.refresh_index(before)
            self.refresh_index(self.cursor)
        if self.key != key:
            self.post_message(self.Moved())
        return dirty

    def set_marks(self, marks: frozenset[str]) -> None:
        changed, self.marks = self.marks ^ marks, marks
        for index, row in enumerate(self.rows):
            if row.key in changed:
                self.refresh_index(index)

    def shift_to(self, columns: int) -> None:
        """Leave out so many columns behind the first :data:`STAYING`, as far as there is something to be seen to the right."""
        widths = [column.width + 1 for column in self.columns]
        room = self.line_width - 2 - sum(widths[:STAYING])
        last = max(0, len(widths) - STAYING - 1)
        most = next((n for n in range(last) if sum(widths[STAYING + n :]) <= room), last)
        self.shift = max(0, min(columns, most))
        self.set_lines((), (self._titles(),))
        self.refresh()

    def _shown(self) -> list[tuple[int, Column, int]]:
        """The columns on the screen: index, column and width in cells."""
        rest = self.line_width - 2 - sum(column.width + 1 for column in self.columns)
        indices = (*range(min(STAYING, len(self.columns))), *range(STAYING + self.shift, len(self.columns)))
        return [(n, self.columns[n], self.columns[n].width or max(4, rest)) for n in indices]

    def _titles(self) -> Line:
        cells = (fit(column.title, width, column.right) for _, column, width in self._shown())
        return (((" ◂" if self.shift else "  ") + " ".join(cells), Tone.TITLE),)

    def line_at(self, index: int) -> tuple[Line, bool]:
        row = self.rows[index]
        on_cursor = index == self.cursor
        gutter = ("▸" if on_cursor else " ") + ("◆" if row.key in self.marks else " ")
        spans: list[Span] = [(gutter, Tone.ACCENT)]
        for n, column, width in self._shown():
            text, tone = row.cells[n]
            spans.append((fit(text, width, column.right), tone))
            spans.append((" ", Tone.TEXT))
        return tuple(spans[:-1]), on_cursor

    # -- moving ----------------------------------------------------------------------------------------------------

    def move_to(self, index: int) -> None:
        if not self.rows:
            return
        before, self.cursor = self.cursor, max(0, min(index, len(self.rows) - 1))
        top = int(self.scroll_y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + self.visible_lines:
            self.scroll_to(y=self.cursor - self.visible_lines + 1, animate=False)
        self.refresh_index(before)
        self.refresh_index(self.cursor)
        if before != self.cursor:
            self.post_message(self.Moved())

    def action_cursor(self, step: int) -> None:
        self.move_to(self.cursor + step)

    def action_top(self) -> None:
        self.move_to(0)

    def action_bottom(self) -> None:
        self.move_to(len(self.rows) - 1)

    def on_click(self, event: events.Click) -> None:
        index = int(event.y) - len(self.fixed) + int(self.scroll_y)
        if event.y >= len(self.fixed) and index < len(self.rows):
            self.move_to(index)
            if event.chain == 2:
                self.post_message(self.Chosen())
