"""How commands, benches and tests ask a running lab for faults. Imports the lab's protocol and nothing of its workings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from core.errors import CommandRefused, NotRunning
from core.lab.protocol import ClusterView, Fault, Reply, Request, UnknownName, socket_path

_DEADLINE = 20.0
"""Seconds for one order: a process to be killed or started, with much to spare."""


class LabClient:
    """A lab by its directory. Each order has a connection of its own.

    Every method raises NotRunning when no lab answers there, UnknownName for a name that the lab does not have, and
    CommandRefused when there is nothing to do: broken already, or not broken.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def break_(self, cluster: str, kind: str, node: str | None = None) -> Fault:
        """Make a fault; returns when it is there. ``node`` None: the first one, or the whole cluster."""
        return (await self._order(Request("break", cluster, kind, node or ""))).faults[0]

    async def mend(
        self, cluster: str | None = None, kind: str | None = None, node: str | None = None
    ) -> tuple[Fault, ...]:
        """Undo a fault, or all of a cluster or of the lab; returns when they are gone, each with that instant."""
        return (await self._order(Request("mend", cluster or "", kind or "", node or ""))).faults

    async def list(self) -> tuple[ClusterView, ...]:
        return (await self._order(Request("list"))).clusters

    async def _order(self, request: Request) -> Reply:
        try:
            async with asyncio.timeout(_DEADLINE):
                line = await self._exchange(msgspec.json.encode(request) + b"\n")
            reply = msgspec.json.decode(line, type=Reply)
        except (OSError, TimeoutError, ValueError) as error:
            raise NotRunning(f"no lab answers in {self._directory}; start one: pointsman demo") from error
        if reply.error:
            raise UnknownName(reply.error) if reply.unknown else CommandRefused(reply.error)
        return reply

    async def _exchange(self, line: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(socket_path(self._directory), limit=1 << 24)
        try:
            writer.write(line)
            return await reader.readline()
        finally:
            writer.close()
            await writer.wait_closed()
