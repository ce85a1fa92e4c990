"""The keys of what had the focus, read from the bindings themselves so that this page cannot drift."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui import keymap
from tui.text import EMPTY, Line, Tone, fit, line
from tui.widgets.lines import LineView


class HelpScreen(ModalScreen[None]):
    """``bindings`` are the active bindings of the screen that asked."""

    BINDINGS = keymap.bindings(keymap.HELP)

    def __init__(self, bindings: Mapping[str, ActiveBinding], ascii_only: bool) -> None:
        super().__init__()
        self._of = bindings
        self._ascii = ascii_only

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "Keys"
            yield LineView(id="what", ascii_only=self._ascii)

    def on_mount(self) -> None:
        lines = self.help_lines()
        what = self.query_one("#what", LineView)
        self.query_one("#dialog").styles.width = min(90, self.app.size.width - 2)
        what.styles.height = min(len(lines), self.app.size.height - 4)
        what.set_lines(lines)

    def help_lines(self) -> list[Line]:
        keys: dict[tuple[str, str], list[str]] = {}
        for active in self._of.values():
            text = active.tooltip or active.binding.description
            if not text:
                continue
            ours = active.binding.id in keymap.IDS
            group = "Acts" if active.binding.action in keymap.ACTS else "Looks" if ours else "Also"
            group = "Moves" if active.binding.id in keymap.MOVES else group
            keys.setdefault((group, text), []).append(self.app.get_key_display(active.binding))
        lines: list[Line] = []
        for group in ("Acts", "Looks", "Moves", "Also"):
            rows = [(" ".join(dict.fromkeys(shown)), text) for (of, text), shown in keys.items() if of == group]
            if rows:
                lines += [EMPTY] * bool(lines) + [line((group, Tone.TITLE))]
                lines += [line((fit(shown, 18), Tone.ACCENT), text) for shown, text in rows]
        return lines

    def action_cancel(self) -> None:
        self.dismiss(None)
