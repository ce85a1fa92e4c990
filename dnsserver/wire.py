"""The wire thread: one selector over all UDP and TCP sockets of the server (decision 3).

Owned by :class:`dnsserver.server.DnsServer`. The thread reads one immutable generation per batch and shares nothing else
with the rest of the process. A bad packet cannot end it; what does is handed to ``on_death``, in this thread.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from core.errors import InvariantError
from dnsserver.generation import Generation
from dnsserver.stats import Counters
from dnsserver.tcp import Handler, Streams
from dnsserver.udp import DatagramPort

_BATCH_SECONDS = 5.0


class Wire:
    """Serves bound sockets from :meth:`start` to :meth:`stop`, and closes them."""

    def __init__(
        self,
        ports: Sequence[DatagramPort],
        listeners: Sequence[socket.socket],
        generation: Generation,
        counters: Counters,
        on_death: Callable[[BaseException], None],
    ) -> None:
        self._generation = generation
        self._on_death = on_death
        self._sockets = [port.sock for port in ports] + list(listeners)
        self._selector = selectors.DefaultSelector()
        self._streams = Streams(self._selector, counters, time.monotonic)
        for port in ports:
            self._selector.register(port.sock, selectors.EVENT_READ, _datagrams(port))
        for listener in listeners:
            self._streams.listen(listener)
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, lambda _generation, _events: None)
        self._stopping = False
        self._busy = False
        self._waiting: deque[threading.Event] = deque()
        self._thread = threading.Thread(target=self._run, name="dns-wire", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def publish(self, generation: Generation) -> None:
        """When this returns, no answer that leaves later is built from an earlier generation.

        The thread marks itself busy before it reads the reference, so a batch that we do not see here reads the new one.
        The batch that we see is waited for: at most 64 queries.
        """
        self._generation = generation
        if not self._busy or threading.current_thread() is self._thread:
            return
        done = threading.Event()
        self._waiting.append(done)
        if self._busy and not done.wait(_BATCH_SECONDS):
            raise InvariantError(f"the DNS thread has not finished a batch in {_BATCH_SECONDS:.0f} seconds")

    def stop(self) -> None:
        """Returns when the thread has ended and the sockets are closed."""
        self._stopping = True
        self._waker.send(b"\0")
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(_BATCH_SECONDS)
        self._streams.close()
        for sock in (*self._sockets, self._waker, self._woken):
            sock.close()
        self._selector.close()

    def _run(self) -> None:
        try:
            while not self._stopping:
                for key, events in self._selector.select(self._streams.seconds_to_deadline(self._generation)):
                    self._busy = True
                    cast(Handler, key.data)(self._generation, events)
                    self._rest()
                self._streams.expire(self._generation)
        except BaseException as error:
            self._on_death(error)
        finally:
            self._rest()

    def _rest(self) -> None:
        self._busy = False
        while self._waiting:
            self._waiting.popleft().set()


def _datagrams(port: DatagramPort) -> Handler:
    serve = port.serve

    def handle(generation: Generation, _: int) -> None:
        guard, answers = generation.guard, generation.datagrams.answers
        serve(lambda packets: guard.datagrams(packets, port.peer, answers))

    return handle
