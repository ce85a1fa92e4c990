"""A process that answers: ``python -m dnsserver.worker FD``, started by :mod:`dnsserver.crew`; FD is its end of the channel.

It gets zones and tables, then bound sockets, and serves them with a wire thread of its own. An order is confirmed when it
has been carried out: after the confirmation of a table no answer leaves that was built from an earlier one. It ends when
the channel closes, and with the process that started it, however that ends.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import traceback
from typing import assert_never

from dnsserver.channel import Changed, Channel, Count, Done, Ended, NewTables, NewZones, Order, Serve, follow, packed
from dnsserver.dnssec.ahead import Ahead
from dnsserver.generation import Generation, Generations
from dnsserver.guard import NO_GUARD, Guard
from dnsserver.stats import Counters
from dnsserver.udp import datagram_port
from dnsserver.wire import Wire

_SWITCH_INTERVAL = 0.0005
"""Seconds that the thread which answers may keep the one that takes orders waiting for the interpreter."""
_PR_SET_PDEATHSIG = 1


class Worker:
    """Carries out orders. ``channel`` waits."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._counters = Counters()
        self._generations = Generations(self._counters)
        self._ahead = Ahead()
        self._zones: NewZones | None = None
        self._guard = NO_GUARD
        self._generation: Generation | None = None
        self._wire: Wire | None = None

    def run(self) -> None:
        """Until the channel closes."""
        number = 0
        while True:
            for order in self._channel.receive():
                number += 1
                self._carry_out(order)
                self._channel.sock.sendall(packed(Done(number, self._counters)))

    def _carry_out(self, order: Order) -> None:
        match order:
            case NewZones():
                self._zones = order
                self._guard = Guard(order.settings, order.secrets, self._counters)
            case NewTables():
                self._make(order)
            case Changed():
                assert self._generation
                self._make(follow(order, self._generation.table, self._generation.history))
            case Serve():
                self._serve(order.ports)
            case Count():
                pass
            case _:
                assert_never(order)

    def _make(self, tables: NewTables) -> None:
        assert self._zones
        self._generation = self._generations.make(
            self._zones.zones, tables.table, self._zones.settings, self._zones.accesses, tables.history, self._guard
        )
        if self._wire:
            self._wire.publish(self._generation)
        self._ahead.prepare(self._zones.zones, tables.table)

    def _serve(self, ports: int) -> None:
        assert self._generation
        socks = [socket.socket(fileno=self._channel.sockets.popleft()) for _ in range(2 * ports)]
        self._wire = Wire(
            [datagram_port(sock, self._counters) for sock in socks[:ports]],
            socks[ports:],
            self._generation,
            self._counters,
            self._die,
        )
        gc.freeze()  # what is there by now stays
        self._wire.start()

    def _die(self, error: BaseException) -> None:
        """In the wire thread: without it this process is of no use."""
        self._channel.sock.sendall(packed(Ended("".join(traceback.format_exception(error)))))
        os._exit(1)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # meant for the process that started this one
        signal.signal(number, signal.SIG_IGN)
    if sys.platform.startswith("linux"):  # a closed channel would not end a process that is stopped
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    try:
        Worker(channel).run()
    except (EOFError, ConnectionError):
        os._exit(0)
    except BaseException:
        channel.sock.sendall(packed(Ended(traceback.format_exc())))
        os._exit(1)


if __name__ == "__main__":
    main()
