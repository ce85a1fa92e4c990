"""The wire in front of a cluster: forwards TCP to what stands behind it, and can be cut or slowed without root.

Called by :mod:`core.lab.cluster`. A cut wire loses packets as a real one does: what is under way waits, new
connections get no answer at all, and when it is joined again the peers' TCP carries on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from typing import cast

HELD = 512
"""Chunks that a slow wire holds in one direction before it stops reading."""

_CLOSE = None
_EOF = b""


class _End(asyncio.Protocol):
    """One of the two connections of a link; what it receives goes to ``peer``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._held: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._clogged = False
        self._ended = False
        self.transport: asyncio.Transport | None = None
        self.peer: _End = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._wire.ends.add(self)
        self.steer()

    def steer(self) -> None:
        """Read from the peer and from here as the wire and the peer allow."""
        if self.transport is None or self.transport.is_closing():
            return
        wanted = not (self._wire.is_cut or self._clogged or len(self._held) >= HELD or self.peer.transport is None)
        if wanted != self.transport.is_reading():
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self._pass(data)

    def eof_received(self) -> bool:
        self._pass(_EOF)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._pass(_CLOSE)

    def pause_writing(self) -> None:
        self.peer._clogged = True
        self.peer.steer()

    def resume_writing(self) -> None:
        self.peer._clogged = False
        self.peer.steer()

    def _pass(self, item: bytes | None) -> None:
        if self._wire.delay or self._held or self._wire.is_cut or self.peer.transport is None:
            self._held.append((self._loop.time() + self._wire.delay, item))
            self.flush()
            self.steer()
        else:
            self._deliver(item)

    def _deliver(self, item: bytes | None) -> None:
        transport = self.peer.transport
        assert transport is not None
        if item is _CLOSE:
            self._wire.ends.discard(self)
        if transport.is_closing():
            return
        if item:
            transport.write(item)
        elif item is _CLOSE:
            transport.close()
        else:
            with contextlib.suppress(OSError):
                transport.write_eof()
            self._ended = True
            if self.peer._ended and self.transport is not None:  # asyncio keeps open what may still be written to
                self.transport.close()
                transport.close()

    def flush(self) -> None:
        """Deliver what is due, and come back for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._wire.is_cut or self.peer.transport is None:
            return
        now = self._loop.time()
        while self._held and self._held[0][0] <= now:
            self._deliver(self._held.popleft()[1])
        if self._held:
            self._timer = self._loop.call_at(self._held[0][0], self.flush)
        self.steer()


class Wire:
    """A listening socket and the backend behind it. Without a backend it refuses connections; until the first one is
    set they wait."""

    def __init__(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        self.address: tuple[str, int] = listener.getsockname()
        self.delay = 0.0
        self.is_cut = False
        self.ends: set[_End] = set()
        self._backend: tuple[str, int] | None = None
        self._tasks = tasks
        self._listener = listener
        self._accepting: asyncio.Task[None] | None = None
        self._plugs: list[socket.socket] = []

    def lead_to(self, backend: tuple[str, int] | None) -> None:
        self._backend = backend
        self._settle()

    def set_delay(self, delay: float) -> None:
        """``delay``: seconds in each direction; 0 is a well wire."""
        self.delay = delay
        self._flush()

    def set_cut(self, cut: bool) -> None:
        self.is_cut = cut
        self._settle()
        self._flush()

    def _flush(self) -> None:
        for end in tuple(self.ends):
            end.flush()
            end.steer()

    def _settle(self) -> None:
        """Accept connections, refuse them, or let the kernel drop them."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        for plug in self._plugs:
            plug.close()
        self._plugs.clear()
        if self.is_cut:
            # A full queue makes Linux drop a SYN without an answer, as a dead wire does; a queue of 0 holds one connection.
            self._listener.listen(0)
            for _ in range(2):
                plug = socket.socket()
                plug.setblocking(False)
                plug.connect_ex(self.address)
                self._plugs.append(plug)
        elif self._backend is None:
            self._listener.shutdown(socket.SHUT_RDWR)  # on Linux the socket stays bound, and refuses
        else:
            self._listener.listen(128)
            self._accepting = self._tasks.create_task(self._accept(self._listener))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED):
                    raise
                await asyncio.sleep(0.1)
                continue
            self._tasks.create_task(self._link(connection))

    async def _link(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        near, far = _End(self), _End(self)
        near.peer, far.peer = far, near
        if self._backend is None:
            connection.close()
            return
        try:
            await loop.connect_accepted_socket(lambda: near, connection)
            await loop.create_connection(lambda: far, *self._backend)
        except OSError:
            if near.transport is not None:
                self.ends.discard(near)
                near.transport.abort()
            return
        near.flush()


def reserve(address: tuple[str, int]) -> socket.socket:
    """A listening socket. Raises OSError when the address is taken."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
