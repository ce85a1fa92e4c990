"""What all screens of the console share: the header, the painting of a view, verbs that read-only mode lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer, Input

from tui.feed import View
from tui.glyphs import STALE
from tui.header import header_lines
from tui.text import Line, Tone, line
from tui.widgets.lines import LineView

if TYPE_CHECKING:
    from tui.app import ConsoleApp


class ConsoleScreen(Screen[None]):
    """A screen between a header and the keys. Subclasses compose ``body`` and paint what they show."""

    AUTO_FOCUS = "#body"

    def __init__(self) -> None:
        super().__init__()
        self._ready = False

    @property
    def console(self) -> ConsoleApp:
        return cast("ConsoleApp", self.app)

    def compose(self) -> ComposeResult:
        yield self.pane("header", "strip")
        yield self.pane("status", "strip")
        yield from self.body()
        yield Footer(compact=True, show_command_palette=False)

    def body(self) -> ComposeResult:
        raise NotImplementedError

    def pane(self, id: str, classes: str) -> LineView:
        """A view of lines; only a ``column`` takes the focus, so that keys always go to what is being read."""
        view = LineView(id=id, classes=classes, ascii_only=self.console.settings.ascii)
        view.can_focus = classes == "column"
        return view

    @property
    def looks_at(self) -> frozenset[str] | None:
        """The clusters whose nodes, pods and reasons it shows; None for all. Of the others it needs the counts alone."""
        return frozenset()

    def on_mount(self) -> None:
        self._ready = True

    def on_unmount(self) -> None:
        self._ready = False

    def on_screen_resume(self) -> None:
        self.console.look_at(self.looks_at)
        self.repaint()

    def on_resize(self) -> None:
        self.call_after_refresh(self.repaint)

    def repaint(self) -> None:
        """Paint what the console knows now, without waiting for the next tick."""
        self.show(self.console.view())

    def show(self, view: View) -> None:
        """Paint a view while there is something to paint on: the header here, the rest in :meth:`paint`.

        There is nothing before the first layout, nor once the app ends and has taken its widgets away.
        """
        if not self._ready or not self.query("#header"):
            return
        self.set_strip("header", header_lines(view, self.size.width - 2, self.console.settings.read_only))
        self.set_strip("status", self.status(view))
        self.paint(view)

    def paint(self, view: View) -> None:
        raise NotImplementedError

    def document(self, view: View, lines: list[Line]) -> list[Line]:
        """The lines as they are; greyed and under a banner when the engine is gone, never as the last green."""
        if not view.stale:
            return lines
        banner = line((f" {STALE.word} ", Tone.ALARM), " what follows is only what was known last")
        return [banner, *(tuple((text, Tone.MUTED) for text, _ in spans) for spans in lines)]

    def status(self, view: View) -> list[Line]:
        """Lines under the header that tell what is hidden or marked."""
        return []

    def set_strip(self, id: str, lines: list[Line]) -> None:
        strip = self.query_one(f"#{id}", LineView)
        if strip.line_count != len(lines) or not strip.styles.has_rule("height"):
            strip.styles.height = len(lines)
        strip.set_lines(lines)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not self.console.is_absent(action) and super().check_action(action, parameters)

    # -- verbs: the targets are fixed here, by name, when the key is pressed ---------------------------------------

    def targets(self) -> tuple[str, ...]:
        return ()

    def action_drain(self) -> None:
        self.console.act("drain", self.targets())

    def action_erase(self) -> None:
        self.console.act("erase", self.targets())

    def action_restore(self) -> None:
        self.console.act("restore", self.targets())


class InputLine(Input):
    """A line of input over the footer that is there only while it is used."""

    def __init__(self, prompt: str, *, id: str) -> None:
        super().__init__(placeholder=prompt, id=id, compact=True, classes="hidden")

    def open(self) -> None:
        self.remove_class("hidden")
        self.focus()

    def close(self) -> None:
        self.add_class("hidden")
        self.screen.query_one("#body").focus()
