"""The README's picture: ``python -m bench.screenshot`` writes docs/console.svg.

Starts the demo as anybody would, breaks a cluster, and lets the real console, attached to it, show what came of it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.console import screenshot
from bench.failover import Demo, demo
from core.control.remote import RemoteClient
from core.lab.client import LabClient
from core.settings import Console
from core.snapshot import ClusterState

PICTURE = Path(__file__).parents[1] / "docs" / "console.svg"
SIZE = (120, 26)
WITHIN = 60.0


async def take(running: Demo) -> None:
    client = RemoteClient(running.directory / "control.sock")

    async def until(**other: ClusterState) -> None:
        """Until every cluster is OK but for those named."""
        while any(c.state is not other.get(c.name, ClusterState.OK) for c in (await client.snapshot()).clusters):
            await asyncio.sleep(0.1)

    try:
        async with asyncio.timeout(WITHIN):
            await until()
            await LabClient(running.directory).break_("osaka", "routes")
            await until(osaka=ClusterState.ERASED)
            await screenshot(client, Console(), SIZE, str(PICTURE), ("g",))
    finally:
        await client.close()


if __name__ == "__main__":
    with demo({}) as running:
        asyncio.run(take(running))
