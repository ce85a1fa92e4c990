"""Worker processes that answer, each with sockets of its own on the same ports (SO_REUSEPORT). Used by :mod:`dnsserver.server`.

A table is published when every worker that serves has confirmed it. One that does not confirm in time, or is not heard
of otherwise, is killed, and its sockets die with it: the kernel gives what comes to the others, and nobody is answered
from an old table. A new worker takes its place; it gets sockets once it has confirmed the newest table.

Two threads come here: the engine's, which publishes, and the keeper's, which listens and replaces. Both hold the lock
only for what does not wait, but for the engine, which waits for the confirmations.
"""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from core.errors import InvariantError, StartError
from dnsserver import channel, listen
from dnsserver.channel import Channel, Count, Done, Ended, NewTables, NewZones, Serve, packed
from dnsserver.generation import Generation
from dnsserver.stats import Counters, total

SLICE = 0.01
CONFIRM_SLICES = 50
"""How long a worker may take to confirm a table. Counted in slices of our own time: a machine that stood still for a
second has taken no more than one of them."""
ZONES_SLICES = 6000
"""The same for zones, of which there may be thousands."""
KEEPER_TURN = 0.1
COUNT_TURNS = 5
"""Turns of the keeper from one question for the counters to the next."""
SILENT_TURNS = 30
"""Turns without a word after which a worker is taken for hung."""
START_WITHIN = 60.0
DIES_WITHIN = 5.0
ENDS_WITHIN = 0.3
CALM = 5.0
"""Seconds that a worker has to live for the next one to be started without a rest of :data:`REST`."""
REST = 1.0
_COUNT = packed(Count())


class _Worker:
    """One process, as it is seen from here. ``serving``: it has been given sockets; ``serves``: it has taken them."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "dnsserver.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        ours.setblocking(False)
        self.channel = Channel(ours)
        self.born = time.monotonic()
        self.posted = self.confirmed = 0
        self.serving = False
        self._serve_order = 0
        self.silent = 0
        self.counters = Counters()
        self.why = ""

    def post(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        self.posted += 1
        self.channel.put(message, descriptors)
        self.flush()

    def serve(self, order: bytes, descriptors: Sequence[int]) -> None:
        self.serving = True
        self.post(order, descriptors)
        self._serve_order = self.posted

    @property
    def serves(self) -> bool:
        return self.serving and self.confirmed >= self._serve_order

    def flush(self) -> bool:
        """Whether it took something."""
        try:
            self.channel.flush()
        except OSError:
            self.channel.outbox.clear()  # it has gone; the keeper will see
            return False
        return True

    def read(self) -> bool:
        """Whether it said something."""
        try:
            for said in self.channel.receive():
                self.silent = 0
                match said:
                    case Done(number, counters):
                        self.confirmed, self.counters = number, counters
                    case Ended(why):
                        self.why = why
        except (BlockingIOError, EOFError, ConnectionError):
            return False
        return True

    @property
    def end(self) -> str:
        """Why it has ended."""
        code = self.process.returncode
        return self.why or (f"killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with code {code}")

    @property
    def up_to_date(self) -> bool:
        return self.confirmed == self.posted or self.process.poll() is not None

    def kill(self, why: str) -> None:
        """Returns when it answers no more."""
        self.why = self.why or why
        self.process.kill()
        try:
            self.process.wait(DIES_WITHIN)
        except subprocess.TimeoutExpired:
            raise InvariantError(f"a DNS worker did not die within {DIES_WITHIN:.0f} seconds of SIGKILL") from None


class Crew:
    """``size`` processes that answer on the addresses of ``wanted``. ``report`` is called in the keeper's thread with a line
    about each worker that had to be replaced, ``on_death`` when none can be started any more."""

    def __init__(
        self,
        size: int,
        wanted: Sequence[tuple[str, int]],
        generation: Generation,
        counters: Counters,
        report: Callable[[str], None],
        on_death: Callable[[BaseException], None],
    ) -> None:
        self._size = size
        self._wanted = wanted
        self._generation = generation
        self._counters = counters
        self._report = report
        self._on_death = on_death
        self.addresses: tuple[tuple[str, int], ...] = ()
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._buried = Counters()
        self._first: list[tuple[socket.socket, socket.socket]] = []
        """Those of the first worker: bound before there are any, so that nobody else can have the ports."""
        self._serving = False
        self._failure = ""
        self._started = threading.Event()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="dns-keeper", daemon=True)

    def start(self) -> None:
        """Returns when all serve. StartError, with what to do, when an address is not to be had."""
        try:
            for address, number in self._wanted:
                self._first.append(listen.bind(address, number))
        except StartError:
            listen.close(self._first)
            raise
        self.addresses = tuple(listener.getsockname()[:2] for _, listener in self._first)
        self._keeper.start()
        self._started.wait(START_WITHIN)
        if not self._serving:
            self.stop()
            raise StartError(self._failure or f"the DNS workers have not started within {START_WITHIN:.0f} seconds")

    def publish(self, generation: Generation) -> None:
        """When this returns, no answer that leaves later is built from an earlier generation."""
        with self._lock:
            before, self._generation = self._generation, generation
            slices = CONFIRM_SLICES
            if _same_zones(before, generation):
                orders = [packed(channel.changed(before, generation))]
            else:
                orders, slices = [_zones(generation), _tables(generation)], ZONES_SLICES
            for worker in self._workers:
                for order in orders:
                    worker.post(order)
            late = [worker for worker in self._workers if worker.serving]
            while slices and (late := [worker for worker in late if not worker.up_to_date]):
                slices -= not _exchange(late, SLICE)
            for worker in late:
                worker.process.kill()  # all at once; then each is waited for
            for worker in late:
                worker.kill("it did not confirm a table in time")

    def stop(self) -> None:
        """Returns when all have ended. Harmless when repeated."""
        self._stopping.set()
        if self._keeper.ident and threading.current_thread() is not self._keeper:
            self._keeper.join()

    # --- the keeper's thread ------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """The thread that starts workers lives as long as they do, for they die with it."""
        try:
            self._fill()
            turn = 0
            while not self._stopping.wait(KEEPER_TURN if self._serving else SLICE):
                turn += 1
                with self._lock:
                    dead = self._turn(count=turn % COUNT_TURNS == 0)
                self._tell(dead)
                if any(time.monotonic() - worker.born < CALM for worker in dead):
                    self._stopping.wait(REST)
                self._fill()
        except BaseException as error:
            self._failure = str(error)
            if self._serving:
                self._on_death(error)
            self._started.set()
        finally:
            self._end()

    def _fill(self) -> None:
        """Starts those that are missing. The zones are packed without the lock, for there may be thousands."""
        while len(self._workers) < self._size and not self._stopping.is_set():
            generation = self._generation
            zones, worker = _zones(generation), _Worker()
            with self._lock:
                self._workers.append(worker)
                worker.post(zones if _same_zones(generation, self._generation) else _zones(self._generation))
                worker.post(_tables(self._generation))

    def _tell(self, dead: Sequence[_Worker]) -> None:
        for worker in dead:
            if not self._serving:
                raise StartError(f"a DNS worker ended at its start: {worker.end}")
            self._report(f"a DNS worker is replaced: {worker.end}")

    def _turn(self, *, count: bool) -> list[_Worker]:
        """Listens, gives sockets to those who are ready, and takes out those who have died."""
        now = time.monotonic()
        for worker in self._workers:
            worker.silent += worker.serving
            if count:
                worker.post(_COUNT)
        _exchange(self._workers, 0)
        for worker in self._workers:
            if worker.silent > SILENT_TURNS or (not worker.serving and now - worker.born > START_WITHIN):
                worker.kill("it hung")
            elif not worker.serving and worker.confirmed == worker.posted:
                self._employ(worker)
        dead = [worker for worker in self._workers if worker.process.poll() is not None]
        for worker in dead:
            worker.read()
            worker.channel.sock.close()
            worker.counters.connections = 0
            self._buried = total((self._buried, worker.counters))
        self._workers = [worker for worker in self._workers if worker not in dead]
        self._counters.take(total((self._buried, *(worker.counters for worker in self._workers))))
        if len(self._workers) == self._size and all(worker.serves for worker in self._workers):
            self._serving = True
            self._started.set()
        return dead

    def _employ(self, worker: _Worker) -> None:
        """Sockets for one that has confirmed everything. No other process keeps them, so that they go with it."""
        pairs, self._first = self._first, []
        try:
            for address, number in self.addresses[len(pairs) :]:
                pairs.append(listen.bind(address, number, beside=True))
        except StartError as error:
            listen.close(pairs)
            worker.kill(str(error))
            return
        listen.share(pairs)
        socks = [sock for kind in zip(*pairs, strict=True) for sock in kind]
        worker.serve(packed(Serve(len(pairs))), [sock.fileno() for sock in socks])
        listen.close(pairs)

    def _end(self) -> None:
        listen.close(self._first)
        for worker in self._workers:
            worker.channel.sock.close()
        until = time.monotonic() + ENDS_WITHIN
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, until - time.monotonic()))
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait(DIES_WITHIN)


def _same_zones(one: Generation, other: Generation) -> bool:
    return (
        one.zones is other.zones
        and one.settings is other.settings
        and one.accesses is other.accesses
        and one.guard is other.guard
    )


def _zones(generation: Generation) -> bytes:
    return packed(NewZones(generation.zones, generation.settings, generation.accesses, generation.guard.secrets))


def _tables(generation: Generation) -> bytes:
    return packed(NewTables(generation.table, generation.history))


def _exchange(workers: Sequence[_Worker], seconds: float) -> bool:
    """Sends and receives what is ready within a time; whether anything was."""
    poll = select.poll()  # descriptors over 1023 are too many for select()
    by_number = {worker.channel.sock.fileno(): worker for worker in workers}
    for number, worker in by_number.items():
        poll.register(number, select.POLLIN | (select.POLLOUT if worker.channel.outbox else 0))
    moved = False
    for number, events in poll.poll(seconds * 1000):
        if events & select.POLLOUT:
            moved |= by_number[number].flush()
        if events & ~select.POLLOUT:
            moved |= by_number[number].read()
    return moved
