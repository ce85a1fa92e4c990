"""The DNS screen: each name with its answer and its reasons, and a line to ask any question, also as if."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from core.errors import PointsmanError
from tui import confirmed, details, keymap
from tui.acting import within
from tui.feed import View
from tui.screens.base import ConsoleScreen, InputLine
from tui.text import Line, Tone, joined, line
from tui.widgets.lines import LineView

WITHOUT = "without"


class DnsScreen(ConsoleScreen):
    """``NAME [TYPE] [without CLUSTER …]`` is what the line understands."""

    BINDINGS = keymap.bindings(keymap.DNS)

    def __init__(self) -> None:
        super().__init__()
        self._asked: list[Line] = []

    def body(self) -> ComposeResult:
        yield self.pane("body", "column")
        yield InputLine("NAME [TYPE] [without CLUSTER …]   svc1.net. A without tokyo", id="ask")

    def paint(self, view: View) -> None:
        if view.snapshot is None:
            return
        lines: list[Line] = []
        if view.snapshot.hands:
            told = confirmed.lines(view.snapshot.hands, view.now, self.size.width - 4)
            lines += details.section("CONFIRMED BY", told)
        for app in view.snapshot.apps:
            lines += details.app_lines(app, view.now, self.size.width - 4)
        self.query_one("#body", LineView).set_lines([*self._asked, *self.document(view, lines)])

    def status(self, view: View) -> list[Line]:
        if view.snapshot is None:
            return []
        dns = view.snapshot.dns
        codes = "  ".join(f"{code} {n}" for code, n in dns.by_rcode)
        text = f"serial {view.snapshot.serial} · {' '.join(view.snapshot.listen)} · {dns.queries} queries · {codes}"
        return [joined([line((text, Tone.MUTED)), confirmed.summary(view.snapshot.hands)])]

    def action_ask(self) -> None:
        self.query_one("#ask", InputLine).open()

    def action_back(self) -> None:
        box = self.query_one("#ask", InputLine)
        if box.has_focus:
            box.close()
        elif self._asked:
            self._asked = []
            self.repaint()
        else:
            self.console.action_fleet()

    @on(Input.Submitted, "#ask")
    def _submitted(self, event: Input.Submitted) -> None:
        words = event.value.replace(",", " ").split()
        self.query_one("#ask", InputLine).close()
        if words:
            self.run_worker(self._ask(words), exclusive=True)

    async def _ask(self, words: list[str]) -> None:
        at = words.index(WITHOUT) if WITHOUT in words else len(words)
        question, without = words[:at], tuple(words[at + 1 :])
        if not 1 <= len(question) <= 2:
            self.console.toast("Ask with NAME [TYPE] [without CLUSTER …]", "warning")
            return
        name, qtype = question[0], question[1].upper() if len(question) > 1 else "A"
        client = self.console.client
        try:
            now = await within(client.answers(name, qtype))
            as_if = await within(client.answers(name, qtype, without)) if without else None
        except (PointsmanError, OSError) as error:
            self.console.toast(str(error), "error")
            return
        self._asked = details.answer_lines(now, without, as_if, self.size.width - 4)
        self.repaint()
        self.query_one("#body", LineView).action_top()
