"""How commands reach a source: over SSH (:mod:`core.probes.ssh`) or, here, as processes of this machine.

Used by :mod:`core.probes.session` and :mod:`core.probes.poll`. Knows nothing of checks.
"""

from __future__ import annotations

import asyncio
import os
from typing import Protocol, cast

from core.probes.check import Output


class Unreachable(Exception):
    """A source, or another channel to it, cannot be had; the text says why and what to do.

    ``slow`` asks for long pauses between attempts: trying on would help nobody and may get us banned.
    """

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        super().__init__(reason)
        self.slow = slow


class Receiver(Protocol):
    """Gets what a command prints, on the loop; must not block."""

    def data(self, octets: bytes) -> None: ...

    def error(self, octets: bytes) -> None: ...

    def ended(self, code: int | None) -> None:
        """Called once. None: the connection was lost, or the command killed."""
        ...


class Channel(Protocol):
    """A running command."""

    def write(self, octets: bytes) -> None: ...

    def close(self) -> None:
        """Ends its standard input, which ends the command."""
        ...


class Transport(Protocol):
    """A held connection to a source."""

    async def open(self, command: str, receiver: Receiver) -> Channel:
        """Starts a shell command. Unreachable when that cannot be."""
        ...

    async def lost(self) -> str:
        """Waits until the connection is gone, and says why."""
        ...

    async def close(self) -> None:
        """Ends every command and the connection, without waiting for the other side for more than a second."""
        ...


class Collector:
    """A receiver that keeps at most ``limit`` octets of each output."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._out, self._err = bytearray(), bytearray()
        self.done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    def data(self, octets: bytes) -> None:
        self._out += octets[: self._limit - len(self._out)]
        if len(self._out) >= self._limit:
            self.ended(None)

    def error(self, octets: bytes) -> None:
        self._err += octets[: self._limit - len(self._err)]

    def ended(self, code: int | None) -> None:
        if not self.done.done():
            self.done.set_result(code)

    def output(self) -> Output:
        return Output(
            self.done.result(),
            self._out.decode("utf-8", "replace"),
            self._err.decode("utf-8", "replace"),
            len(self._out) >= self._limit,
        )


class _Process(asyncio.SubprocessProtocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._transport: asyncio.SubprocessTransport | None = None
        self.exited = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a test: uvloop's transports have the methods and not the base classes.
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        (self._receiver.data if fd == 1 else self._receiver.error)(data)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        code = self._transport.get_returncode() if self._transport else None
        self._receiver.ended(None if code is None or code < 0 else code)


class _LocalChannel:
    def __init__(self, transport: asyncio.SubprocessTransport, process: _Process) -> None:
        self._transport, self._process = transport, process
        self._stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))

    def write(self, octets: bytes) -> None:
        self._stdin.write(octets)

    def close(self) -> None:
        self._stdin.close()

    async def end(self) -> None:
        """The end of its input ends it; killed after a second. Its own guard ends its children in both cases."""
        self.close()
        try:
            async with asyncio.timeout(1.0):
                await self._process.exited.wait()
        except TimeoutError:
            self._transport.kill()
        self._transport.close()


class LocalTransport:
    """Commands of this machine, each in a session of its own (``local = true``)."""

    def __init__(self) -> None:
        self._channels: list[_LocalChannel] = []

    async def open(self, command: str, receiver: Receiver) -> Channel:
        loop = asyncio.get_running_loop()
        try:
            transport, process = await loop.subprocess_exec(
                lambda: _Process(receiver), "/bin/sh", "-c", command, start_new_session=True, env=dict(os.environ)
            )
        except OSError as error:
            raise Unreachable(f"a shell cannot be started on this machine: {error.strerror}") from error
        channel = _LocalChannel(transport, process)
        self._channels.append(channel)
        return channel

    async def lost(self) -> str:
        await asyncio.Event().wait()  # this machine is never lost
        raise AssertionError

    async def close(self) -> None:
        await asyncio.gather(*(channel.end() for channel in self._channels))
        self._channels.clear()
