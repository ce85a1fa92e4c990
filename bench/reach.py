"""How :mod:`bench.scale` reaches the nodes that :mod:`bench.fleet` plays: over Unix sockets, or through OpenSSH's sshd."""

from __future__ import annotations

import asyncio
import getpass
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from core.model import SourceId
from core.probes.transport import Channel, Receiver, Transport, Unreachable


class Sampled:
    """A transport, or the reader of its channel, which looks at how late ticks were once they had been handled."""

    def __init__(self, transport: Transport, late: list[float]) -> None:
        self.lost, self.close, self._transport, self._late = transport.lost, transport.close, transport, late

    async def open(self, command: str, receiver: Receiver) -> Channel:
        self.error, self.ended, self._data = receiver.error, receiver.ended, receiver.data
        return await self._transport.open(command, self)

    def data(self, octets: bytes) -> None:
        self._data(octets)
        now = time.monotonic()
        for line in octets.split(b"\n"):
            _, op, number, *_ = *line.split(b" "), b"", b""
            if op == b"t" and number.isdigit():
                self._late.append(now - int(number) / 1e6)


class _Pipe(asyncio.Protocol):
    """A Unix socket to the fleet: a transport's one channel."""

    def __init__(self, receiver: Receiver, lost: asyncio.Future[str]) -> None:
        self._receiver, self._lost = receiver, lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self.write, self.close = self._transport.write, self._transport.close

    def data_received(self, data: bytes) -> None:
        self._receiver.data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.ended(None)
        if not self._lost.done():
            self._lost.set_result("the fleet is gone")


class PipeTransport:
    def __init__(self, source: SourceId, path: str) -> None:
        self._source, self._path = source, path
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._pipe: _Pipe | None = None

    async def open(self, command: str, receiver: Receiver) -> Channel:
        loop = asyncio.get_running_loop()
        try:
            _, self._pipe = await loop.create_unix_connection(lambda: _Pipe(receiver, self._lost), self._path)
        except OSError as error:
            raise Unreachable(str(error)) from error
        self._pipe.write(f"{self._source} {command}\n".encode())
        return self._pipe

    async def lost(self) -> str:
        return await self._lost

    async def close(self) -> None:
        if self._pipe:
            self._pipe.close()


@contextmanager
def sshd(directory: Path, relay: int) -> Iterator[int]:
    """OpenSSH's server, whose only command relays to that TCP port; the port that it listens on. Nothing for port 0."""
    if not relay:
        yield 0
        return
    for name in ("host", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {(directory / 'host.pub').read_text()}")
    only = directory / "relay"
    only.write_text(
        f"#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/{relay}\n"
        'printf -- "- %s\\n" "$SSH_ORIGINAL_COMMAND" >&3\ncat <&3 &\nexec cat >&3\n'
    )
    only.chmod(0o755)
    (directory / "authorized_keys").write_text(f'command="{only}" {(directory / "id.pub").read_text()}')
    options = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": directory / "host",
        "AuthorizedKeysFile": directory / "authorized_keys",
        "PidFile": "none",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "StrictModes": "no",
        "MaxStartups": "1000",
        "SetEnv": f"HOME={directory}",  # else each channel runs the login files of whoever measures
    }
    if getpass.getuser() == "root":
        Path("/run/sshd").mkdir(exist_ok=True)
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin") or sys.exit(
        "no OpenSSH server (Debian: openssh-server)"
    )
    written = [f"-o{key}={value}" for key, value in options.items()]
    with (directory / "sshd.log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", "/dev/null", *written], stderr=log)
    try:
        time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait(10)
