"""How quickly an address is erased while the DNS server is flooded: ``python -m bench.flood``.

Each flood comes from a process of its own, as fast as that goes, with nobody reading the answers. Meanwhile the record
table is swapped again and again: from the order until :meth:`DnsServer.publish` returns, which is when no later answer
holds the erased address, and until a client that keeps asking has its first answer without it. Beside it: how much of
a core the wire thread takes, and what the client that asks has lost.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import random
import socket
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.synchronize import Event

import dns.edns
import dns.message

from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, RateLimit, Settings
from dnsserver.server import DnsServer

_NAME = "svc1.net."
_HELD = 600
"""Connections with half a message each; more than the server keeps."""
_PAUSE = 0.02

Flood = Callable[[tuple[str, int], Event], None]
"""Where it goes, and what it sets when it has begun."""


def nothing(address: tuple[str, int], begun: Event) -> None:
    begun.set()
    time.sleep(3600)


def queries(address: tuple[str, int], begun: Event) -> None:
    _blast(
        address, begun, [dns.message.make_query(_NAME, "A", use_edns=0, id=number).to_wire() for number in range(1000)]
    )


def unknown_names(address: tuple[str, int], begun: Event) -> None:
    _blast(
        address,
        begun,
        [
            dns.message.make_query(f"{random.getrandbits(60):x}.{_NAME}", "A", use_edns=0).to_wire()
            for _ in range(20000)
        ],
    )


def new_cookies(address: tuple[str, int], begun: Event) -> None:
    def packet() -> bytes:
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, random.randbytes(8))
        return dns.message.make_query(_NAME, "A", use_edns=0, options=[option]).to_wire()

    _blast(address, begun, [packet() for _ in range(20000)])


def nonsense(address: tuple[str, int], begun: Event) -> None:
    _blast(address, begun, [random.randbytes(random.randrange(100)) for _ in range(20000)])


def connections(address: tuple[str, int], begun: Event) -> None:
    """Opened, used once and dropped."""
    query = dns.message.make_query(_NAME, "A").to_wire()
    begun.set()
    while True:
        with suppress(OSError), socket.create_connection(address, 1) as sock:
            sock.sendall(len(query).to_bytes(2) + query)


def half_messages(address: tuple[str, int], begun: Event) -> None:
    """Many at once; a connection that the server closes is opened again."""
    held: list[socket.socket] = []
    while True:
        with suppress(OSError):
            sock = socket.create_connection(address, 1)
            sock.sendall(b"\x00\x40half")
            held.append(sock)
        if len(held) > _HELD:
            begun.set()
            held.pop(0).close()


FLOODS: tuple[Flood, ...] = (nothing, queries, unknown_names, new_cookies, nonsense, connections, half_messages)


def _blast(address: tuple[str, int], begun: Event, packets: list[bytes]) -> None:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    for sock in sockets:
        sock.connect(address)
    begun.set()
    while True:
        for number, packet in enumerate(packets):
            with suppress(OSError):
                sockets[number & 7].send(packet)


def _table(serial: int) -> RecordTable:
    """With one of two addresses, by turns."""
    address = f"192.0.2.{1 + serial % 2}"
    return RecordTable(serial, {_NAME: AppRecords(_NAME, 5, (Record("a", (address,)),))})


class _Client:
    """Asks all the time, and knows when it last heard which address."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.connect(address)
        self._sock.settimeout(0.05)
        self.heard = (0.0, b"")
        self.asked = self.lost = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()
        self._sock.close()

    def _run(self) -> None:
        query = dns.message.make_query(_NAME, "A", id=7).to_wire()
        while not self._stopping:
            self.asked += 1
            self._sock.send(query)
            try:
                answer = self._sock.recv(512)
            except TimeoutError:
                self.lost += 1
            else:
                self.heard = (time.perf_counter(), answer[-4:])
            time.sleep(0.0005)


def _measure(server: DnsServer, flood: Flood, swaps: int, serial: int) -> tuple[list[float], list[float], float, float]:
    """Seconds until each swap had returned and was heard, cores of the wire thread, and the share that was lost."""
    spawned = multiprocessing.get_context("spawn")
    begun = spawned.Event()
    process = spawned.Process(target=flood, args=(server.addresses[0], begun), daemon=True)
    process.start()
    begun.wait(60)
    time.sleep(0.2)
    client = _Client(server.addresses[0])
    clock = time.pthread_getcpuclockid(next(t.ident or 0 for t in threading.enumerate() if t.name == "dns-wire"))
    began, busy = time.perf_counter(), time.clock_gettime(clock)
    returned, heard = [], []
    for number in range(serial, serial + swaps):
        table = _table(number)
        new = socket.inet_aton(table.apps[_NAME].records[0].addresses[0])
        ordered = time.perf_counter()
        server.publish(table)
        returned.append(time.perf_counter() - ordered)
        until = ordered + 5.0
        while time.perf_counter() < until:
            at, address = client.heard
            if at > ordered and address == new:
                heard.append(at - ordered)
                break
            time.sleep(0.0002)
        time.sleep(_PAUSE)
    cores = (time.clock_gettime(clock) - busy) / (time.perf_counter() - began)
    client.stop()
    process.kill()
    process.join()
    return returned, heard, cores, client.lost / client.asked


def _row(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return (
        f"{statistics.median(ordered) * 1e3:8.2f} {ordered[int(len(ordered) * 0.99)] * 1e3:8.2f}"
        if ordered
        else "       -        -"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--swaps", type=int, default=200, help="for each flood")
    arguments.add_argument("--limit", type=int, default=0, help="dns.rate_limit.per_second")
    given = arguments.parse_args()
    config = Dns(listen=("127.0.0.1:0",), rate_limit=RateLimit(per_second=given.limit))
    settings = Settings(dns=config, app=(App(domain=_NAME, clusters=("a",)),))
    server = DnsServer(settings, _table(0), lambda error: print(f"the wire thread died: {error!r}"))
    server.start()
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {given.swaps} swaps for each flood; milliseconds, p50 and p99"
    )
    print(f"{'flood':16} {'swap returned':>17} {'first clean answer':>19} {'wire thread':>12} {'lost':>6}")
    base = 0.0
    for turn, flood in enumerate(FLOODS):
        returned, heard, cores, lost = _measure(server, flood, given.swaps, 1 + turn * given.swaps)
        base = base or statistics.median(heard)
        ratio = f"{statistics.median(heard) / base:6.1f}×" if heard else "never"
        print(f"{flood.__name__:16} {_row(returned)} {_row(heard):>19} {ratio} {cores:7.0%} {lost:8.1%}", flush=True)
    server.stop()


if __name__ == "__main__":
    main()
