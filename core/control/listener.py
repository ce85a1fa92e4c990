"""Connections over TCP: TLS, and a bound on how many there are, from whom, and how long one may be there for nothing.

Owns the listening socket and what is known of each connection; the requests on them are :mod:`core.control.server`'s.
When there is no room a new connection takes the place of the one that has been without a request for longest, be it in the
middle of a handshake or of a header; one whose request is being answered keeps its place.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from core.errors import StartError

_CONNECTIONS, _PER_NETWORK = 128, 32
_HANDSHAKE = 5.0  # seconds
_IDLE = 20.0  # seconds without a request; our own clients leave a connection after 15
_LOOK = 1.0  # seconds between looks for idle ones
_RATE, _BURST = 20.0, 100  # requests a second of one caller, and how many may come at once
_CALLERS = 4096


@dataclass(slots=True)
class _Connection:
    network: str
    idle_since: float
    close: Callable[[], object]
    gone: Callable[[], bool]
    requests: int = 0


class Pace:
    """How often each caller may ask: :data:`_RATE` a second, :data:`_BURST` at once. What is refused is not counted, so that
    who asked too much is served again as soon as it asks less."""

    def __init__(self) -> None:
        self._paid_until: OrderedDict[tuple[str, str], float] = OrderedDict()

    def wait(self, network: str, name: str, now: float) -> float:
        """Seconds after which to ask again; 0: go on."""
        paid = max(self._paid_until.pop((network, name), now), now)
        late = paid - now - (_BURST - 1) / _RATE
        self._paid_until[network, name] = paid if late > 0 else paid + 1 / _RATE
        if len(self._paid_until) > _CALLERS:
            self._paid_until.popitem(last=False)
        return max(0.0, late)


class Listener:
    """``protocol`` makes what serves a connection."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext, protocol: Callable[[], asyncio.Protocol]) -> None:
        self.tls = tls
        self._wanted = address
        self._protocol = protocol
        self._connections: dict[object, _Connection] = {}
        """By what serves them."""
        self._sock: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """As bound."""
        assert self._sock
        host, port = self._sock.getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Raises StartError."""
        host, port = self._wanted
        try:
            self._sock = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_CONNECTIONS
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StartError(f"control.tcp {host}:{port}: {reason}; choose another in control.tcp") from error
        self._sock.setblocking(False)
        self._task = asyncio.create_task(self._run(self._sock))

    async def stop(self) -> None:
        """No more connections; those there are end with the server that serves them."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._sock:
            self._sock.close()

    @contextmanager
    def serving(self, protocol: object) -> Iterator[None]:
        """Around each request: its connection is not idle meanwhile."""
        connection = self._connections.get(protocol)
        if connection is None:  # the Unix socket's
            yield
            return
        connection.requests += 1
        try:
            yield
        finally:
            connection.requests -= 1
            connection.idle_since = asyncio.get_running_loop().time()

    async def _run(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._close_idle())
            while True:
                try:
                    accepted, peer = await loop.sock_accept(sock)
                except OSError:  # out of descriptors, or it left at once
                    await asyncio.sleep(0.1)
                    continue
                if not self._make_room(where := network(peer[0])):
                    accepted.close()
                    continue
                group.create_task(self._shake_hands(accepted, where))

    async def _shake_hands(self, sock: socket.socket, where: str) -> None:
        loop = asyncio.get_running_loop()
        this = asyncio.current_task()
        assert this
        protocol = self._protocol()  # known before its first request can come
        connection = _Connection(where, loop.time(), this.cancel, lambda: this.cancelling() > 0)
        self._connections[protocol] = connection
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self.tls, ssl_handshake_timeout=_HANDSHAKE
            )
        except (Exception, asyncio.CancelledError) as error:
            self._connections.pop(protocol, None)
            sock.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            return  # whatever TLS makes of what a stranger sent: it is not worth a line in the log
        connection.close, connection.gone = transport.abort, transport.is_closing

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            self._forget_gone()
            long_ago = asyncio.get_running_loop().time() - _IDLE
            for connection in self._idle():
                if connection.idle_since < long_ago:
                    connection.close()

    def _idle(self, where: str = "") -> list[_Connection]:
        """The longest without a request first."""
        found = [c for c in self._connections.values() if not c.requests and where in {"", c.network}]
        return sorted(found, key=lambda connection: connection.idle_since)

    def _make_room(self, where: str) -> bool:
        self._forget_gone()
        here = sum(connection.network == where for connection in self._connections.values())
        if here < _PER_NETWORK and len(self._connections) < _CONNECTIONS:
            return True
        for connection in self._idle(where if here >= _PER_NETWORK else "")[:1]:
            connection.close()
            return True
        return False

    def _forget_gone(self) -> None:
        for protocol in [each for each, connection in self._connections.items() if connection.gone()]:
            del self._connections[protocol]


def network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one, in which a machine has any that it likes."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))
