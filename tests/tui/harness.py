"""The console under a pilot, and what stands on its screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from core.settings import Console
from tests.tui.scripted import ScriptedClient
from tui.app import ConsoleApp, PaletteCommand
from tui.screens.confirm import ConfirmScreen
from tui.screens.fleet import FleetScreen


class FakeTime:
    """A monotonic clock that only moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """One running console; ``text`` is what its uppermost screen shows."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[int], time: FakeTime) -> None:
        self.app, self.pilot, self.time = app, pilot, time

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        await self.press(*("space" if c == " " else c for c in text))

    async def until(self, holds: Callable[[], bool], what: str = "") -> None:
        for _ in range(400):
            if holds():
                return
            await self.pilot.pause(0.025)
        raise AssertionError(f"{what or 'it'} did not come about; the screen shows:\n{self.text}")

    async def see(self, *texts: str) -> None:
        await self.until(lambda: all(text in self.text for text in texts), f"{texts}")

    async def dialog(self) -> ConfirmScreen:
        await self.until(lambda: isinstance(self.app.screen, ConfirmScreen), "a dialog")
        await self.pilot.pause()
        assert isinstance(self.app.screen, ConfirmScreen)
        return self.app.screen

    async def closed(self) -> None:
        await self.until(lambda: not isinstance(self.app.screen, ConfirmScreen), "the end of the dialog")

    async def fill(self, id: str, value: str) -> None:
        self.app.screen.query_one(f"#{id}", Input).value = value
        await self.pilot.pause()

    @property
    def fleet(self) -> FleetScreen:
        screen = self.app.screen_stack[0]
        assert isinstance(screen, FleetScreen)
        return screen

    @property
    def keys(self) -> list[str]:
        """The names on the Fleet screen, from the top."""
        return [row.key for row in self.fleet.grid.rows]

    @property
    def text(self) -> str:
        return screen_text(self.app.screen)

    @property
    def toasts(self) -> list[str]:
        return [toast.message for toast in self.app._notifications]


def screen_text(screen: Screen[object]) -> str:
    return "\n".join(strip.text.rstrip() for strip in screen._compositor.render_strips())


@asynccontextmanager
async def console(
    client: ScriptedClient,
    size: tuple[int, int] = (100, 30),
    *,
    attached: bool = True,
    commands: tuple[PaletteCommand, ...] = (),
    **settings: object,
) -> AsyncIterator[Bench]:
    time = FakeTime()
    app = ConsoleApp(
        client, Console.model_validate(settings), attached=attached, commands=commands, who="me", monotonic=time
    )
    async with app.run_test(size=size) as pilot:
        bench = Bench(app, pilot, time)
        if client.running:
            await bench.until(lambda: bool(bench.fleet.grid.rows), "the first rows")
            await pilot.pause()
        yield bench
