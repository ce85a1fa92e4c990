"""The dialog before an order: what it does, an optional reason and end, and Cancel with the focus."""

from __future__ import annotations

from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from core.settings.base import seconds
from tui import keymap
from tui.orders import VERBS, Proposal, dialog_lines
from tui.text import clean
from tui.widgets.lines import LineView

WIDTH = 100


class Confirmed(NamedTuple):
    """What the operator agreed to. ``lasts`` as typed, and as ``seconds``; None without an end."""

    why: str
    lasts: str
    seconds: float | None


class ConfirmScreen(ModalScreen[Confirmed | None]):
    """Gives :class:`Confirmed`, or None when it was left. The targets in it never change while it is open."""

    BINDINGS = keymap.bindings(keymap.CONFIRM)
    AUTO_FOCUS = "#cancel"

    def __init__(self, proposal: Proposal, ascii_only: bool) -> None:
        super().__init__()
        self._proposal = proposal
        self._ascii = ascii_only

    def compose(self) -> ComposeResult:
        proposal = self._proposal
        refused = bool(proposal.preview.refused)
        with Vertical(id="dialog") as dialog:
            dialog.border_title = clean(proposal.title, self._ascii).replace("[", "\\[")
            yield LineView(id="what", ascii_only=self._ascii)
            if proposal.phrase:
                yield from self._field("typed", f"type {proposal.phrase}", "to agree", "")
            yield from self._field(
                "why", "reason", "needed to break the glass" if refused else "optional", proposal.order.why
            )
            if proposal.lasting:
                yield from self._field("lasts", "for", "30m, 2h; empty: until restored", proposal.lasts)
            with Horizontal(id="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                verb = VERBS[proposal.order.action]
                yield Button(f"Break the glass: {verb.lower()}" if refused else verb, id="go", compact=True)
                hint = "Tab to go on, Esc to do nothing" if proposal.phrase else "y to do it, Esc to do nothing"
                yield Static(hint, id="hint", markup=False)

    def _field(self, id: str, label: str, prompt: str, value: str) -> ComposeResult:
        with Horizontal(classes="field"):
            static = Static(clean(label, self._ascii), classes="label", markup=False)
            static.styles.width = max(8, len(f"type {self._proposal.phrase}")) + 2
            yield static
            yield Input(value, placeholder=prompt, id=id, compact=True)

    def on_mount(self) -> None:
        self._lay_out()
        self._judge()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        width = min(WIDTH, self.app.size.width - 2)
        self.query_one("#dialog").styles.width = width
        what = self.query_one("#what", LineView)
        lines = dialog_lines(self._proposal, width - 5)
        fields = len(self.query(Input))
        what.styles.height = max(3, min(len(lines), self.app.size.height - fields - 5))
        what.can_focus = what.styles.height.value < len(lines) if what.styles.height else False
        what.set_lines(lines)

    # -- what has been typed ---------------------------------------------------------------------------------------

    def _value(self, id: str) -> str:
        fields = self.query(f"#{id}").results(Input)
        return next((field.value.strip() for field in fields), "")

    def _obstacle(self) -> str:
        """Why it cannot be agreed to yet."""
        proposal = self._proposal
        if self._value("typed") != proposal.phrase:
            return f"type {proposal.phrase} to agree"
        if proposal.preview.refused and not self._value("why"):
            return "a reason is needed to break the glass"
        try:
            self._seconds()
        except ValueError:
            return "for: write 90s, 30m or 2h, or leave it empty"
        return ""

    def _seconds(self) -> float | None:
        text = self._value("lasts")
        if not text:
            return None
        value = seconds(text)
        if not isinstance(value, float) or value <= 0:
            raise ValueError(text)
        return value

    @on(Input.Changed)
    def _judge(self) -> None:
        self.query_one("#go", Button).disabled = bool(self._obstacle())

    # -- ways out --------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "confirm":
            return not self._proposal.phrase
        return super().check_action(action, parameters)

    @on(Button.Pressed, "#go")
    @on(Input.Submitted)
    def action_confirm(self) -> None:
        obstacle = self._obstacle()
        if obstacle:
            self.query_one("#hint", Static).update(clean(obstacle, self._ascii))
            return
        self.dismiss(Confirmed(self._value("why"), self._value("lasts"), self._seconds()))

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)
