"""The console: a Textual app over a :class:`core.control.client.ControlClient`.

Owns the app, its screens and the ticks at which data is painted. Called by the command line with a local client (one
process) or a remote one (attached). It imports of ``core`` the client, the model, the snapshot, the settings and the
errors, nothing else. What the operator orders goes through :class:`tui.acting.Acting`.
"""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.app import App
from textual.binding import Binding
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.notifications import SeverityLevel

from core import operator
from core.control.client import ControlClient
from core.errors import PointsmanError
from core.model import Action, Event
from core.settings import Console
from tui import keymap, terminal
from tui.acting import Acting
from tui.feed import Feed, View
from tui.palette import ConsoleCommands
from tui.replay import INCIDENTS, Replay
from tui.screens.base import ConsoleScreen
from tui.screens.cluster import ClusterScreen
from tui.screens.dns import DnsScreen
from tui.screens.events import EventsScreen
from tui.screens.fleet import FleetScreen
from tui.screens.help import HelpScreen
from tui.screens.leave import LeaveScreen
from tui.screens.probes import ProbesScreen
from tui.text import clean
from tui.themes import DARK, THEMES

EXIT_STOP = 10
PAINTS_PER_SECOND = 4


@dataclass(frozen=True)
class PaletteCommand:
    """One more entry of the palette; the line that ``run`` returns becomes a toast, and so does its error."""

    name: str
    help: str
    run: Callable[[], Awaitable[str]]


class ConsoleApp(App[int]):
    """``who`` signs the orders. ``monotonic`` is the clock that ages the data."""

    CSS_PATH = "console.tcss"
    BINDINGS = keymap.bindings(keymap.APP)
    COMMANDS: ClassVar = {ConsoleCommands}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - declared by App as an instance variable
    ENABLE_COMMAND_PALETTE = False  # its own ctrl+p; the palette is opened by action_palette
    TITLE = "pointsman"

    def __init__(
        self,
        client: ControlClient,
        settings: Console,
        *,
        attached: bool,
        commands: Sequence[PaletteCommand] = (),
        who: str = "",
        over: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.client = client
        self.attached = attached
        self.commands = tuple(commands)
        self.acting = Acting(self, client, who)
        self._over = over
        self._feed = Feed(client, monotonic)
        self._paused: View | None = None
        self._replay: Replay | None = None
        self._painted: tuple[object, ...] = ()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = settings.theme
        self.set_class(settings.ascii, "-ascii")
        self.set_keymap({key: value for key, value in settings.keys.items() if key in keymap.IDS})

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return DARK.variables

    def get_default_screen(self) -> FleetScreen:
        return FleetScreen()

    async def on_mount(self) -> None:
        await self.client.look_at(frozenset())
        for name in sorted(self.settings.keys.keys() - keymap.IDS):
            self.toast(f"console.keys: there is no action {name!r}", "warning")
        self.run_worker(self._feed.run(), name="feed", exit_on_error=True)
        self.set_interval(1 / PAINTS_PER_SECOND, self._tick)

    # -- painting --------------------------------------------------------------------------------------------------

    def live(self) -> View:
        """The newest, also while the view is frozen."""
        return self._feed.view()

    def view(self) -> View:
        """What is to be shown now: the newest, or what was there when the view was frozen."""
        live = self.live()
        if self._replay is not None:
            return self._replay.view(live)
        if self._paused is None:
            return live
        past = self._paused
        return replace(live, snapshot=past.snapshot, now=past.now, events=past.events, paused_at=past.now)

    def _tick(self) -> None:
        if self._over():
            self.exit()
            return
        view = self.view()
        state = (
            id(view.snapshot),
            int(view.now),
            view.stale,
            view.problem,
            int(view.retry_in or 0),
            view.events[-1:],
            view.replay,
        )
        if state != self._painted:
            self._painted = state
            self.console_screen.show(view)

    @property
    def console_screen(self) -> ConsoleScreen:
        """The uppermost screen that is not a dialog."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, ConsoleScreen))

    def toast(self, text: str, severity: SeverityLevel = "information") -> None:
        """A line that goes away; foreign text in it is never markup."""
        self.notify(clean(text, self.settings.ascii), severity=severity, markup=False)

    # -- going about -----------------------------------------------------------------------------------------------

    def _go(self, screen: ConsoleScreen | None) -> None:
        """Back to the fleet, and from there to another screen."""
        if any(not isinstance(open_, ConsoleScreen) for open_ in self.screen_stack):
            return
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if screen is not None:
            self.push_screen(screen)

    def action_fleet(self) -> None:
        self._go(None)

    def action_dns(self) -> None:
        self._go(DnsScreen())

    def action_events(self) -> None:
        self._go(EventsScreen())

    def action_probes(self) -> None:
        self._go(ProbesScreen())

    def open_cluster(self, name: str) -> None:
        self._go(ClusterScreen(name))

    def action_help(self) -> None:
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen.active_bindings, self.settings.ascii))

    def action_palette(self) -> None:
        self.push_screen(CommandPalette(placeholder="Search for a command", id="--command-palette"))

    def action_pause(self) -> None:
        past = self._paused or self._replay
        self._paused, self._replay = None if past else self.live(), None
        self._present_changed()

    def look_at(self, clusters: frozenset[str] | None) -> None:
        """Have the stream carry what the uppermost screen shows."""
        self.run_worker(self.client.look_at(clusters), group="look", exclusive=True)

    # -- replay ----------------------------------------------------------------------------------------------------

    def action_replay(self) -> None:
        incident = next((event for event in reversed(self.live().events) if event.name in INCIDENTS), None)
        if incident is None:
            self.toast("There is no incident in the history that the console holds.")
        else:
            self.replay(self.live().events, incident.id)

    def replay(self, events: Sequence[Event], id: int) -> None:
        """Show the screens as they were at one of these events; ``p`` goes back to what is live."""
        replay = Replay(self.client, events)
        self._walk(replay, replay.open(id))

    def action_step(self, by: int, incidents: bool = False) -> None:
        if self._replay is None:
            self.toast("Nothing is replayed: ctrl+r begins with the last incident, enter on an event with that.")
        else:
            self._walk(self._replay, self._replay.step(by, incidents))

    def _walk(self, replay: Replay, step: Coroutine[None, None, bool]) -> None:
        self.run_worker(self._take_step(replay, step), group="replay", exclusive=True)

    async def _take_step(self, replay: Replay, step: Coroutine[None, None, bool]) -> None:
        try:
            if not await step:
                self.toast("There is nothing further in the history.")
                return
        except (PointsmanError, OSError) as error:
            self.toast(str(error), "warning")
            return
        self._replay = replay
        self._present_changed()

    def _present_changed(self) -> None:
        self.console_screen.repaint()
        self.screen.refresh_bindings()

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        keys = ", ".join(sorted(f"{binding.id} ({binding.key})" for binding in clashed_bindings))
        self.toast(f"console.keys: a key is taken twice: {keys}", "warning")

    def get_key_display(self, binding: Binding) -> str:
        shown = super().get_key_display(binding)
        return shown if shown.isascii() or not self.settings.ascii else binding.key

    # -- leaving ---------------------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Attached, the console just goes. In one process leaving stops DNS, so that has to be said in so many words."""
        if self.attached:
            self.exit(0)
        elif not isinstance(self.screen, LeaveScreen):
            listen = self.live().snapshot
            self.push_screen(LeaveScreen(listen.listen if listen else (), self.settings.ascii), self._left)

    def _left(self, stop: bool | None) -> None:
        if stop:
            self.exit(EXIT_STOP)

    # -- acting ----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not self.is_absent(action) and super().check_action(action, parameters)

    def is_absent(self, action: str) -> bool:
        """Verbs are not there in a console that only reads, nor is what is about the present while the past is shown."""
        return (action in keymap.ACTS and self.settings.read_only) or (
            action in keymap.PRESENT and self._replay is not None
        )

    def act(self, action: str, targets: tuple[str, ...] = ()) -> None:
        """Open the dialog of an order; the targets are names, fixed now."""
        if targets or action in ("freeze", "thaw"):
            self.run_worker(self.acting.act(Action(action), targets), group="order")

    def forget_marks(self, names: frozenset[str]) -> None:
        """An order to these was carried out."""
        for screen in self.screen_stack:
            if isinstance(screen, FleetScreen):
                screen.unmark(names)

    def action_freeze(self) -> None:
        self.act("freeze")

    def action_thaw(self) -> None:
        self.act("thaw")

    def action_undo(self) -> None:
        self.run_worker(self.acting.undo(), group="order")

    def run_command(self, command: PaletteCommand) -> None:
        self.run_worker(self._run_command(command), group="commands")

    async def _run_command(self, command: PaletteCommand) -> None:
        try:
            self.toast(await command.run())
        except (PointsmanError, OSError) as error:
            self.toast(f"{command.name}: {error}", "error")


def run_console(
    client: ControlClient,
    console: Console,
    *,
    attached: bool,
    commands: Sequence[PaletteCommand] = (),
    over: Callable[[], bool] = lambda: False,
) -> int:
    """Run the console on the main thread until it is left, or ``over``, which is looked at with each painting.

    Returns 0 when left with ``q``, and :data:`EXIT_STOP` when the operator asked in so many words to stop the service;
    the caller decides what then happens to it. With ``attached`` False the latter is the only way out.
    """
    app = ConsoleApp(client, console, attached=attached, commands=commands, who=operator.name(), over=over)
    calm_collector()
    terminal.tell_of_its_end()
    # Of a terminal that knows no size, or has gone away, Rich by itself assumes another than Textual, which then lays out for ever.
    app.console.size = shutil.get_terminal_size()
    result = app.run()
    return app.return_code or 0 if result is None else result


def calm_collector() -> None:
    """Take what is loaded by now out of the garbage collector's sight: a full collection over the modules of Textual and
    pydantic holds the interpreter for 100 ms (measured), and with it the DNS thread of the same process."""
    gc.collect()
    gc.freeze()
