"""DNS over TCP (RFC 7766): framing, pipelining, and limits against those who hold connections.

Called by the wire thread (:mod:`dnsserver.wire`), which waits in a selector; nothing here waits. A connection holds at
most one message that is not whole yet and about 64 KiB of answers that the client has not taken; until it takes them
nothing more is read from it.
"""

from __future__ import annotations

import socket
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import TypeAlias

from dnsserver import proxy, transfer
from dnsserver.generation import Generation
from dnsserver.stats import Counters

Handler: TypeAlias = Callable[[Generation, int], None]
"""What the wire thread calls when a socket is ready: with the generation to answer from, and the selector's events."""

_CHUNK = 16384
_MOST_PENDING = 65536
_QUERIES_A_TURN = 64
_ACCEPTS_A_TURN = 64
_PAUSE_SECONDS = 1.0


class _Connection:
    """``address`` is the client's; ``of_proxy`` while a proxy may still say whose it is. ``generation`` is what the answers in ``pending`` were built from; ``transfer`` the rest of a transfer under way,
    which stays one of its serial whatever is published meanwhile."""

    __slots__ = (
        "active",
        "address",
        "ended",
        "generation",
        "inbox",
        "of_proxy",
        "opened",
        "pending",
        "sock",
        "transfer",
    )

    def __init__(self, sock: socket.socket, address: str, now: float, *, of_proxy: bool) -> None:
        self.sock = sock
        self.address = address
        self.of_proxy = of_proxy
        self.opened = self.active = now
        self.inbox = bytearray()
        self.pending = bytearray()
        self.generation: Generation | None = None
        self.transfer: Iterator[bytes] | None = None
        self.ended = False

    def has_work(self) -> bool:
        return bool(self.pending) or self.transfer is not None or self.has_query()

    def has_query(self) -> bool:
        return len(self.inbox) >= 2 and len(self.inbox) >= 2 + int.from_bytes(self.inbox[:2])

    def take_query(self) -> bytes:
        end = 2 + int.from_bytes(self.inbox[:2])
        query = bytes(self.inbox[2:end])
        del self.inbox[:end]
        return query


class Streams:
    """All TCP listeners and connections. ``clock`` gives seconds, monotonic."""

    def __init__(self, selector: BaseSelector, counters: Counters, clock: Callable[[], float]) -> None:
        self._selector = selector
        self._counters = counters
        self._clock = clock
        self._by_age: OrderedDict[_Connection, None] = OrderedDict()
        self._by_activity: OrderedDict[_Connection, None] = OrderedDict()
        self._of_address: Counter[str] = Counter()
        self._paused: dict[socket.socket, float] = {}

    def listen(self, listener: socket.socket) -> None:
        def accept(generation: Generation, _: int) -> None:
            self._accept(listener, generation)

        listener.setblocking(False)
        self._selector.register(listener, EVENT_READ, accept)

    def seconds_to_deadline(self, generation: Generation) -> float | None:
        """Until :meth:`expire` has something to do; None when there is nothing to wait for."""
        deadlines = list(self._paused.values())
        if self._by_age:
            deadlines.append(next(iter(self._by_age)).opened + generation.limits.tcp_total)
            deadlines.append(next(iter(self._by_activity)).active + generation.limits.tcp_idle)
        return max(0.0, min(deadlines) - self._clock()) if deadlines else None

    def expire(self, generation: Generation) -> None:
        """Closes what is idle or old, and listens again where it had paused."""
        now = self._clock()
        while self._by_age and next(iter(self._by_age)).opened + generation.limits.tcp_total <= now:
            self._close(next(iter(self._by_age)))
        while self._by_activity and next(iter(self._by_activity)).active + generation.limits.tcp_idle <= now:
            self._close(next(iter(self._by_activity)))
        for listener, until in tuple(self._paused.items()):
            if until <= now:
                del self._paused[listener]
                self.listen(listener)

    def close(self) -> None:
        for connection in tuple(self._by_age):
            self._close(connection)

    def _accept(self, listener: socket.socket, generation: Generation) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError:  # no descriptors or no memory: make room, else rest, or the selector would spin
                if self._by_activity:
                    self._close(next(iter(self._by_activity)))
                else:
                    self._selector.unregister(listener)
                    self._paused[listener] = self._clock() + _PAUSE_SECONDS
                return
            self._open(sock, peer[0], generation)

    def _open(self, sock: socket.socket, address: str, generation: Generation) -> None:
        of_proxy = generation.guard.is_proxy(address)
        if not of_proxy:
            self._make_room(address, generation)
        if len(self._by_activity) >= generation.limits.tcp_connections:
            self._close(next(iter(self._by_activity)))
        connection = _Connection(sock, address, self._clock(), of_proxy=of_proxy)

        def turn(generation: Generation, events: int) -> None:
            self._turn(connection, generation, events)

        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, EVENT_READ, turn)
        self._by_age[connection] = self._by_activity[connection] = None
        self._of_address[address] += 1
        self._counters.connections += 1

    def _make_room(self, address: str, generation: Generation) -> None:
        """For one more connection from an address."""
        if self._of_address[address] >= generation.limits.tcp_per_address:
            self._close(next(c for c in self._by_activity if c.address == address))

    def _turn(self, connection: _Connection, generation: Generation, events: int) -> None:
        """One ready connection: read, answer up to a turn's worth, send, and say what it waits for next."""
        if connection not in self._by_age:  # closed earlier in the same round, to make room
            return
        try:
            if events & EVENT_READ:
                data = connection.sock.recv(_CHUNK)
                connection.inbox += data
                connection.ended = not data
            if self._answer(connection, generation) and self._send(connection, generation):
                self._wait(connection)
                return
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, ValueError):  # gone, or a proxy's header that is none
            pass
        self._close(connection)

    def _answer(self, connection: _Connection, generation: Generation) -> bool:
        """False when the client does not speak DNS."""
        if connection.pending or (connection.of_proxy and not self._take_header(connection, generation)):
            return True
        for _ in range(_QUERIES_A_TURN):
            if len(connection.pending) >= _MOST_PENDING:
                break
            if connection.transfer:
                reply = next(connection.transfer, None)
                if reply is None:
                    connection.transfer = None
                    continue
            elif connection.has_query():
                query = connection.take_query()
                if transfer.is_wanted(query):
                    connection.transfer = generation.transfers.answer(query, connection.address)
                    continue
                reply = generation.streams.answer(query)
                if reply is None:
                    return False
                reply = generation.guard.stream(query, reply, connection.address)
                connection.generation = generation
            else:
                break
            connection.pending += len(reply).to_bytes(2) + reply
            connection.active = self._clock()
            self._by_activity.move_to_end(connection)
        return True

    def _take_header(self, connection: _Connection, generation: Generation) -> bool:
        """Whether what comes next is DNS. A proxy that speaks for itself sends no header, or one without addresses."""
        if connection.inbox and proxy.begins(connection.inbox):
            taken = proxy.take(connection.inbox)
            if taken is None:
                return False
            client, end = taken
            del connection.inbox[:end]
            address = str(ip_address(client)) if client else connection.address
            if address != connection.address:
                self._make_room(address, generation)
                self._forget_address(connection)
                connection.address = address
                self._of_address[address] += 1
        connection.of_proxy = not connection.inbox
        return not connection.of_proxy

    def _send(self, connection: _Connection, generation: Generation) -> bool:
        """False when the connection holds answers from an older table: they may hold an erased address."""
        if not connection.pending:
            return True
        if connection.generation not in (None, generation):
            return False
        try:
            del connection.pending[: connection.sock.send(connection.pending)]
        except (BlockingIOError, InterruptedError):
            return True
        if not connection.pending:
            connection.generation = None
        return True

    def _wait(self, connection: _Connection) -> None:
        if connection.has_work():  # unfinished work comes back as soon as the socket takes bytes
            events = EVENT_WRITE
        elif connection.ended:
            self._close(connection)
            return
        else:
            events = EVENT_READ
        key = self._selector.get_key(connection.sock)
        if key.events != events:
            self._selector.modify(connection.sock, events, key.data)

    def _close(self, connection: _Connection) -> None:
        self._selector.unregister(connection.sock)
        connection.sock.close()
        del self._by_age[connection], self._by_activity[connection]
        self._forget_address(connection)
        self._counters.connections -= 1

    def _forget_address(self, connection: _Connection) -> None:
        self._of_address[connection.address] -= 1
        if not self._of_address[connection.address]:
            del self._of_address[connection.address]
