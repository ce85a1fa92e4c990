"""The command palette: every action that the screen has now, freeze and thaw, the themes, and the caller's own entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from rich.markup import escape
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tui import keymap
from tui.themes import THEMES

if TYPE_CHECKING:
    from tui.app import ConsoleApp


class Entry(NamedTuple):
    name: str
    help: str
    run: Callable[[], object]


class ConsoleCommands(Provider):
    """Entries are plain text: nothing in them is read as markup."""

    def _entries(self) -> Iterator[Entry]:
        app = cast("ConsoleApp", self.app)
        seen = {"palette"}
        for key, (node, binding, enabled, tooltip) in self.screen.active_bindings.items():
            known = binding.id in keymap.IDS and binding.id not in keymap.MOVES
            if not enabled or not known or binding.action in seen:
                continue
            seen.add(binding.action)
            run = partial(app.run_action, binding.action, node)
            yield Entry(f"{binding.description} ({app.get_key_display(binding)})", tooltip or key, run)
        if not app.settings.read_only:
            yield Entry("Freeze automatic changes", "Stop all automatic changes; answers go on", app.action_freeze)
            yield Entry("Thaw automatic changes", "Automatic changes again", app.action_thaw)
        for command in app.commands:
            yield Entry(command.name, command.help, partial(app.run_command, command))
        for theme in THEMES:
            yield Entry(f"Theme: {theme.name}", "Colours of the console", partial(setattr, app, "theme", theme.name))

    async def discover(self) -> Hits:
        for entry in self._entries():
            yield DiscoveryHit(Content(entry.name), entry.run, text=entry.name, help=escape(entry.help))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for entry in self._entries():
            score = max(matcher.match(entry.name), matcher.match(entry.help) * 0.5)
            if score > 0:
                yield Hit(
                    score,
                    matcher.highlight(escape(entry.name)),
                    entry.run,
                    text=entry.name,
                    help=escape(entry.help),
                )
