"""When a session may begin: one after the other, and one in each pass of the loop at most.

Thousands that begin at the same moment would else keep each other's lines waiting until all of them are given up as silent, and begin
anew. So they begin as fast as this process keeps up; whoever has had its turn holds up nobody, however long its target
takes (spec S36). Called by :mod:`core.probes.session`.
"""

from __future__ import annotations

import asyncio

APART = 0.002
"""Seconds between two that begin, at the least: what they ask for comes later."""


class Turns:
    """For the sessions of one loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Returns when it is the caller's turn."""
        async with self._turn:
            await asyncio.sleep(APART)
