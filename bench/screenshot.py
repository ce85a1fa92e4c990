"""The README's pictures: ``python -m bench.screenshot`` writes docs/console.svg and docs/incident.svg.

Starts the demo as anybody would, breaks a cluster, and lets the real console, attached to it, show what came of it: once as
a picture, once as a film from the fault to the return, with the keys that an operator would press.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from rich.color import Color
from textual.strip import Strip

from bench.failover import Demo, demo
from bench.film import BACKGROUND, Frame, Line, Run, svg
from core.control.remote import RemoteClient
from core.lab.client import LabClient
from core.settings import Console
from core.snapshot import ClusterState
from tui.app import ConsoleApp

DOCS = Path(__file__).parents[1] / "docs"
PICTURE, FILM = (120, 26), (110, 30)
WITHIN = 90.0
FRAME = 0.25
FOREGROUND = "#d7dde4"


async def picture(client: RemoteClient) -> None:
    app = ConsoleApp(client, Console(), attached=True, who="operator")
    async with app.run_test(size=PICTURE) as pilot:
        await pilot.pause(1.0)
        await pilot.press("g")
        await pilot.pause(0.4)
        app.save_screenshot(str(DOCS / "console.svg"))


class Recorder:
    """Takes the screen of a running app four times a second, and keeps what has changed."""

    def __init__(self, app: ConsoleApp) -> None:
        self._app = app
        self._began = asyncio.get_running_loop().time()
        self.frames: list[Frame] = []

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    async def run(self) -> None:
        while True:
            lines = tuple(map(_runs, self._app.screen._compositor.render_strips()))
            if not self.frames or lines != self.frames[-1].lines:
                self.frames.append(Frame(round(self.now, 2) if self.frames else 0.0, lines))
            await asyncio.sleep(FRAME)


def _runs(strip: Strip) -> Line:
    return tuple(
        Run(text, _colour(style.color if style else None, FOREGROUND), _colour(style.bgcolor if style else None, BACKGROUND), bool(style and style.bold))
        for text, style, _ in strip
    )  # fmt: skip


def _colour(colour: Color | None, default: str) -> str:
    return colour.get_truecolor().hex if colour and not colour.is_default else default


async def film(running: Demo, client: RemoteClient) -> None:
    """A fault of osaka, why it was erased, its history; mended, and back step by step."""
    app = ConsoleApp(client, Console(), attached=True, who="operator")
    lab = LabClient(running.directory)
    async with app.run_test(size=FILM) as pilot:
        await pilot.pause(1.0)
        recorder = Recorder(app)
        taking = asyncio.create_task(recorder.run())
        await pilot.pause(2.0)
        await lab.break_("osaka", "routes")
        await pilot.pause(3.0)
        poster = len(recorder.frames) - 1
        for keys, seconds in ((("g",), 1.0), (("enter",), 5.0), (("2",), 3.0), (("1",), 1.0)):
            await pilot.press(*keys)
            await pilot.pause(seconds)
        await lab.mend("osaka")
        await until(client)
        await pilot.pause(2.0)
        length = recorder.now
        taking.cancel()
        with suppress(asyncio.CancelledError):
            await taking
    (DOCS / "incident.svg").write_text(svg(recorder.frames, round(length, 2), poster, *FILM), encoding="utf-8")


async def until(client: RemoteClient, **other: ClusterState) -> None:
    """Until every cluster is OK but for those named."""
    while any(c.state is not other.get(c.name, ClusterState.OK) for c in (await client.snapshot()).clusters):
        await asyncio.sleep(0.1)


async def take(running: Demo) -> None:
    client = RemoteClient(running.directory / "control.sock")
    try:
        async with asyncio.timeout(WITHIN):
            await until(client)
            await film(running, client)
            await LabClient(running.directory).break_("osaka", "routes")
            await until(client, osaka=ClusterState.ERASED)
            await picture(client)
    finally:
        await client.close()


if __name__ == "__main__":
    with demo({}) as running:
        asyncio.run(take(running))
