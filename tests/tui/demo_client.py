"""The console on a scripted engine, to look at it by hand: ``python -m tests.tui.demo_client [setting=value …]``.

Settings: theme=light, ascii=1, read_only=1, production=1, attached=0, badges=1, gone=5 (the engine goes after 5 s).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

from core.model import Event, EventName
from core.settings import Console
from core.snapshot import Freeze, Update
from tests.tui.scripted import NOW, ScriptedClient, fleet, history
from tui.app import PaletteCommand, run_console


class DemoClient(ScriptedClient):
    """Time goes on, and once in a while something happens."""

    def __init__(self, gone: float) -> None:
        super().__init__(fleet(), history())
        self._gone = gone

    async def stream(self) -> AsyncIterator[Update]:
        async for update in super().stream():
            yield update
            await asyncio.sleep(0.4)
            if 0 < self._gone < self.now.at - NOW < self._gone + 20:
                self.running = False
                asyncio.get_running_loop().call_later(8, self.start)
                self._gone = 0.0
            tick = replace(self.now.dns, rate=400 + self.now.at % 7, queries=self.now.dns.queries + 160)
            self.push(at=self.now.at + 0.4, dns=tick)


def main() -> int:
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    client = DemoClient(float(given.pop("gone", "0")))
    attached = given.pop("attached", "1") == "1"
    if given.pop("badges", "0") == "1":
        client.now = replace(
            client.now, production=True, frozen=Freeze("ann", "storage migration", NOW - 60), fail_open=("svc1.net.",), shadow=True,
            suspect_self="6 of 8 clusters fell silent together", starting=True, trouble=("store: /var/lib/x is read-only",),
        )  # fmt: skip

    async def fault() -> str:
        client.push(Event(EventName.FAULT_SEEN, client.now.at, "tokyo", cause="broken by hand"))
        return "tokyo: containers broken"

    console = Console.model_validate(given)
    return run_console(client, console, attached=attached, commands=(PaletteCommand("lab break tokyo containers", "Kill the containers of tokyo", fault),))  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
