"""When a session may begin: one after the other, and none while this process is behind with its work.

Thousands that begin at the same moment would else keep each other's lines waiting until all of them are given up as silent, and begin
anew. Whoever has had its turn holds up nobody, however long its target takes (spec S36). Called by :mod:`core.probes.session`.
"""

from __future__ import annotations

import asyncio

_APART = 0.002
"""Seconds between two that begin, at the least: what they ask for comes later."""
_BEHIND = 0.1
"""Seconds that one pass of the loop takes when there is more to do than time."""
_AT_MOST = 1.0
"""Seconds that a turn waits: where this process is always behind, sessions still begin."""


class Turns:
    """For the sessions of one loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Returns when it is the caller's turn."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            began = loop.time()
            end = began + _AT_MOST
            await asyncio.sleep(_APART)
            while began + _APART + _BEHIND < (now := loop.time()) < end:
                began = now
                await asyncio.sleep(_APART)
