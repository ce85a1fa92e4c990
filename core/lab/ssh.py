"""The lab's SSH servers: real asyncssh, one for each node and physical machine, whose commands are real bash processes.

Called by :mod:`core.lab.cluster`. What a command reads and writes goes between its pipes and the channel inside asyncssh;
no line is looked at here, so that a watch held for hours costs little.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import asyncssh

from core.lab.process import BASH

USER = "lab"


def host_key(directory: Path, name: str) -> asyncssh.SSHKey:
    """The ed25519 key of a host, made once and kept in ``directory`` as ``name`` with mode 0600."""
    file = directory / name
    if file.exists():
        return asyncssh.read_private_key(file)
    key = asyncssh.generate_private_key("ssh-ed25519", comment=f"pointsman lab {name}")
    file.touch(mode=0o600)
    file.write_bytes(key.export_private_key())
    return key


def known_host(address: tuple[str, int], key: asyncssh.SSHKey) -> str:
    """A line of a known_hosts file."""
    kind, blob = key.export_public_key().decode().split()[:2]
    return f"[{address[0]}]:{address[1]} {kind} {blob}\n"


async def listen(key: asyncssh.SSHKey, client: asyncssh.SSHKey, env: dict[str, str]) -> asyncssh.SSHAcceptor:
    """Serve on a free port of 127.0.0.1 whoever holds the client's key; commands run with ``env``."""
    return await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[key],
        authorized_client_keys=asyncssh.import_authorized_keys(client.export_public_key().decode()),
        process_factory=partial(_execute, env),
        encoding=None,
        allow_scp=False,
        gss_host=None,
        x11_forwarding=False,
        agent_forwarding=False,
    )


async def _execute(env: dict[str, str], channel: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run one exec request, or a shell request without a terminal, until it ends or the channel closes."""
    loop = asyncio.get_running_loop()
    argv = [BASH, "-c", channel.command] if channel.command is not None else [BASH]
    child = subprocess.Popen(  # noqa: ASYNC220 # asyncssh takes its raw pipes; starting it takes a millisecond
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=env,
        cwd=env["HOME"],
        start_new_session=True,
    )
    ended = asyncio.Event()
    pidfd = os.pidfd_open(child.pid)
    loop.add_reader(pidfd, ended.set)
    closed = asyncio.create_task(channel.wait_closed())
    try:
        await channel.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
        finished = asyncio.create_task(_finished(channel, ended))
        await asyncio.wait((closed, finished), return_when=asyncio.FIRST_COMPLETED)
        finished.cancel()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        # Not reaped yet, so its process group cannot be another's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        code = await asyncio.to_thread(child.wait)
    if closed.done():
        return
    closed.cancel()
    if code >= 0:
        channel.exit(code)
    else:
        channel.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))


async def _finished(channel: asyncssh.SSHServerProcess[bytes], ended: asyncio.Event) -> None:
    """As sshd does it: the command has ended, and nobody holds its outputs any more."""
    await ended.wait()
    await channel.stdout.drain()
    await channel.stderr.drain()
