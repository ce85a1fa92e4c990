"""What the lab's tests share: an SSH connection to a host of the lab, as pointsman would make it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from core.lab.client import LabClient
from core.lab.protocol import ClusterView, HostView


@asynccontextmanager
async def connect(
    directory: Path, host: HostView, *, timeout: float = 10
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Logs in with the lab's key; the host key must be the one of known_hosts."""
    user, _, place = host.ssh.partition("@")
    address, _, port = place.rpartition(":")
    async with asyncssh.connect(
        address,
        int(port),
        username=user,
        client_keys=[str(directory / "client_key")],
        known_hosts=str(directory / "known_hosts"),
        config=None,
        agent_path=None,
        connect_timeout=timeout,
    ) as connection:
        yield connection


async def view(directory: Path, cluster: str = "tokyo") -> ClusterView:
    return next(c for c in await LabClient(directory).list() if c.name == cluster)


async def output(connection: asyncssh.SSHClientConnection, command: str) -> str:
    """Both outputs of a command, and its exit code where it is not 0."""
    done = await connection.run(command, timeout=10)
    return f"{done.stdout!s}{done.stderr!s}" + (f"exit {done.exit_status}" if done.exit_status else "")
