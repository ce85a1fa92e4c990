"""A scrolling view of toned lines, painted by the line API.

Owns how spans become strips and which screen lines are dirty. Everything that changes in the console is painted by this
widget or by :class:`tui.widgets.grid.Grid` on top of it, and never by DataTable, which renders its whole viewport for
one changed cell (80–90 ms for 50 rows). Here a line that is equal is not drawn, and a strip once built is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui import keymap
from tui.text import EMPTY, Line, Tone, clean

STRIPS_KEPT = 4096


class LineView(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines that can be scrolled; ``fixed`` of them stay at the top. Lines longer than the widget are cut off."""

    BINDINGS = keymap.bindings(keymap.LINES)
    COMPONENT_CLASSES = {f"lines--{tone}" for tone in Tone} | {"lines--cursor"}
    DEFAULT_CSS = """
    LineView { overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; background: $background; }
    LineView > .lines--text { color: $foreground; }
    LineView > .lines--muted { color: $tone-muted; }
    LineView > .lines--title { color: $tone-muted; text-style: bold; }
    LineView > .lines--accent { color: $tone-accent; text-style: bold; }
    LineView > .lines--ok { color: $tone-ok; }
    LineView > .lines--warn { color: $tone-warn; }
    LineView > .lines--bad { color: $tone-bad; text-style: bold; }
    LineView > .lines--held { color: $tone-held; }
    LineView > .lines--alarm { color: $tone-on-alarm; background: $tone-alarm; text-style: bold; }
    LineView > .lines--notice { color: $tone-on-notice; background: $tone-notice; text-style: bold; }
    LineView > .lines--cursor { background: $tone-cursor; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None, ascii_only: bool = False) -> None:
        super().__init__(id=id, classes=classes)
        self.ascii_only = ascii_only
        self.fixed: tuple[Line, ...] = ()
        self._lines: tuple[Line, ...] = ()
        self._strips: dict[object, Strip] = {}
        self._styles: dict[str, Style] = {}

    # -- content ---------------------------------------------------------------------------------------------------

    @property
    def lines(self) -> tuple[Line, ...]:
        return self._lines

    def set_lines(self, lines: Sequence[Line], fixed: Sequence[Line] = ()) -> int:
        """Show these; returns how many of the lines on the screen have to be drawn."""
        old, self._lines = self._lines, tuple(lines)
        old_fixed, self.fixed = self.fixed, tuple(fixed)
        if len(old_fixed) != len(self.fixed):
            self._resized()
            self.refresh()
            return self.size.height
        for y, (before, after) in enumerate(zip(old_fixed, self.fixed, strict=True)):
            if before != after:
                self._dirty_row(y)
        return self._changed(old, self._lines)

    def _changed(self, old: Sequence[object], new: Sequence[object]) -> int:
        if len(old) != len(new):
            self._resized()
        first = int(self.scroll_y)
        dirty = 0
        for index in range(first, min(max(len(old), len(new)), first + self.visible_lines)):
            if index >= len(old) or index >= len(new) or old[index] != new[index]:
                self._dirty_row(index - first + len(self.fixed))
                dirty += 1
        return dirty

    def _resized(self) -> None:
        self.virtual_size = Size(1, self.line_count + len(self.fixed))

    def _dirty_row(self, y: int) -> None:
        self.refresh(Region(0, y, self.size.width, 1))

    def refresh_index(self, index: int) -> None:
        """Draw one line again, where it is on the screen."""
        y = index - int(self.scroll_y)
        if 0 <= y < self.visible_lines:
            self._dirty_row(y + len(self.fixed))

    @property
    def line_count(self) -> int:
        return len(self._lines)

    @property
    def line_width(self) -> int:
        """Cells of a line beside the scrollbar."""
        return self.scrollable_content_region.width

    @property
    def visible_lines(self) -> int:
        return max(0, self.size.height - len(self.fixed))

    # -- painting --------------------------------------------------------------------------------------------------

    def line_at(self, index: int) -> tuple[Line, bool]:
        """The line, and whether the cursor is on it."""
        return self._lines[index], False

    def render_line(self, y: int) -> Strip:
        if y < len(self.fixed):
            return self._strip(self.fixed[y], False)
        index = y - len(self.fixed) + int(self.scroll_y)
        return self._strip(*self.line_at(index)) if index < self.line_count else self._strip(EMPTY, False)

    def _strip(self, spans: Line, cursor: bool) -> Strip:
        width = self.line_width
        key = (spans, cursor, width)
        strip = self._strips.get(key)
        if strip is None:
            if len(self._strips) >= STRIPS_KEPT:
                self._strips.clear()
            base = self._style("cursor") if cursor else self._style(Tone.TEXT)
            segments = [Segment(clean(text, self.ascii_only), self._span_style(tone, cursor)) for text, tone in spans]
            strip = Strip(segments)
            if strip.cell_length > width > 0:
                more = Segment("~" if self.ascii_only else "…", self._span_style(Tone.MUTED, cursor))
                strip = Strip([*strip.crop(0, width - 1), more])
            strip = self._strips[key] = strip.adjust_cell_length(width, base)
        return strip

    def _span_style(self, tone: Tone, cursor: bool) -> Style:
        style = self._style(tone)
        if cursor and tone not in (Tone.ALARM, Tone.NOTICE):
            return style + Style(bgcolor=self._style("cursor").bgcolor, bold=True)
        return style

    def _style(self, name: str) -> Style:
        style = self._styles.get(name)
        if style is None:
            style = self._styles[name] = self.get_component_rich_style(f"lines--{name}")
        return style

    def notify_style_update(self) -> None:
        self._styles.clear()
        self._strips.clear()
        super().notify_style_update()

    # -- keys ------------------------------------------------------------------------------------------------------

    def action_cursor(self, step: int) -> None:
        self.scroll_to(y=self.scroll_y + step, animate=False)

    def action_page(self, step: int) -> None:
        self.action_cursor(step * max(1, self.visible_lines - 1))

    def action_top(self) -> None:
        self.scroll_to(y=0, animate=False)

    def action_bottom(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)
