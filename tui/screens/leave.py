"""The question before the service is stopped with the console: ``stop`` has to be typed."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tui import keymap
from tui.text import Line, Tone, line, wrapped
from tui.widgets.lines import LineView

WORD = "stop"


class LeaveScreen(ModalScreen[bool]):
    """Gives True when the word was typed. ``listen`` are the addresses at which DNS will fall silent."""

    BINDINGS = keymap.bindings(keymap.DIALOG)
    AUTO_FOCUS = "#typed"

    def __init__(self, listen: tuple[str, ...], ascii_only: bool) -> None:
        super().__init__()
        self._listen = listen
        self._ascii = ascii_only

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "Stop the service"
            yield LineView(id="what", ascii_only=self._ascii)
            yield Input(placeholder=f"type {WORD} to stop it, Esc to stay", id="typed", compact=True)

    def on_mount(self) -> None:
        width = min(72, self.app.size.width - 2)
        self.query_one("#dialog").styles.width = width
        where = " ".join(self._listen) or "its addresses"
        lines: list[Line] = [
            line((" THIS STOPS DNS ", Tone.ALARM)),
            *wrapped("", "The console and the service are one process here. To leave the console and let the service go on, "
                     "run it headless and use pointsman attach.", width - 5),
            *wrapped("silent then  ", where, width - 5, Tone.BAD),
        ]  # fmt: skip
        what = self.query_one("#what", LineView)
        what.can_focus = False
        what.styles.height = len(lines)
        what.set_lines(lines)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value.strip() == WORD:
            self.dismiss(True)

    def action_cancel(self) -> None:
        self.dismiss(False)
