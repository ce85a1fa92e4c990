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
        allow_pty=False,
        gss_host=None,
        x11_forwarding=False,
        agent_forwarding=False,
    )


async def _execute(env: dict[str, str], process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run one exec request, or a shell request without a terminal, until it ends or the channel closes."""
    stdin, to_stdin = os.pipe()
    from_stdout, stdout = os.pipe()
    from_stderr, stderr = os.pipe()
    try:
        # Before the child starts: asyncssh does not know an output yet that ends while it is being set up.
        await process.redirect(
            stdin=os.fdopen(to_stdin, "wb", 0),
            stdout=os.fdopen(from_stdout, "rb", 0),
            stderr=os.fdopen(from_stderr, "rb", 0),
            send_eof=False,  # a command that closes one of its outputs still speaks on the other
        )
        child = subprocess.Popen(  # noqa: ASYNC220 # asyncssh takes raw pipes; starting it takes a millisecond
            [BASH] if process.command is None else [BASH, "-c", process.command],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=env["HOME"],
            start_new_session=True,
        )
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    pidfd = os.pidfd_open(child.pid)
    loop.add_reader(pidfd, ended.set)
    closed = asyncio.create_task(process.channel.wait_closed())
    finished = asyncio.create_task(_finished(process, ended))
    try:
        await asyncio.wait((closed, finished), return_when=asyncio.FIRST_COMPLETED)
    finally:
        finished.cancel()
        loop.remove_reader(pidfd)
        os.close(pidfd)
        # Not reaped yet, so its process group cannot be another's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
    if code >= 0:
        process.exit(code)
    else:
        process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
    await closed
    await process.wait_closed()


async def _finished(process: asyncssh.SSHServerProcess[bytes], ended: asyncio.Event) -> None:
    """As sshd does it: the command has ended, and nobody holds its outputs any more."""
    await ended.wait()
    with contextlib.suppress(OSError):
        await process.stdout.drain()
        await process.stderr.drain()
