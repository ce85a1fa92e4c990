"""From an erase to the first answer without the address, at our own DNS and at real secondaries that follow it.

NSD, Knot, BIND and PowerDNS hold a zone of ours, with TSIG. An address is erased and put back; each time they are told as
the program tells them (NOTIFY, then asked for the serial), and another process asks all of them every millisecond. The
clock starts when the table is handed to our DNS. Run with ``make bench-secondaries``.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import platform
import socket
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import dns.message

from core.hands.hand import Target
from core.hands.secondary import secondaries
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings, Zone
from dnsserver.server import DnsServer
from tests.live.name_servers import NameServer, Wanted, free_ports, new_key, running

ZONE = "shop.test."
NAME = f"www.{ZONE}"
ERASED = "192.0.2.2"
EVERY = 0.001
GIVE_UP = 20.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=30, help="erases; each is undone before the next")
    arguments.add_argument("--pause", type=float, default=1.0, help="seconds between two changes")
    chosen = arguments.parse_args()
    print(f"Python {platform.python_version()} on {platform.machine()}, {chosen.rounds} erases, TSIG, IXFR")
    with tempfile.TemporaryDirectory(prefix="pointsman-") as directory:
        _measure(Path(directory), chosen.rounds, chosen.pause)


def _table(serial: int, *, erased: bool) -> RecordTable:
    records = tuple(Record(f"c{n}", (f"192.0.2.{n}",)) for n in (1, 2, 3) if not (erased and n == 2))
    return RecordTable(serial, {NAME: AppRecords(NAME, 5, records)})


def _measure(directory: Path, rounds: int, pause: float) -> None:
    port, *ports = free_ports(5)
    key_file, key = new_key(directory, "transfers")
    peers = tuple(f"127.0.0.1:{each}" for each in ports)
    settings = Settings(
        dns=Dns(listen=(f"127.0.0.1:{port}",)),
        zone=(Zone(name=ZONE, transfer_to=peers, tsig=str(key_file)),),
        app=(App(domain=NAME, clusters=("c1", "c2", "c3")),),
    )
    ours = DnsServer(settings, _table(1, erased=False), lambda error: print(f"the wire thread died: {error!r}"))
    ours.start()
    spawned = multiprocessing.get_context("spawn")
    here, there = spawned.Pipe()
    try:
        with running(directory, Wanted(ZONE, port, key), ports) as servers:
            everyone = [NameServer("pointsman", port), *servers]
            watcher = spawned.Process(target=_watch, args=(there, [server.port for server in everyone]), daemon=True)
            watcher.start()
            here.recv()  # it takes a while to start
            clean, confirmed = asyncio.run(_rounds(ours, settings, here, everyone, rounds, pause))
            here.send(None)
            watcher.join()
    finally:
        ours.stop()
    print(f"{'':12} {'n':>4} {'p50':>8} {'p99':>8} {'max':>8} {'confirmed p50':>14}   ms from the erase")
    for server in everyone:
        times = sorted(clean[server.port])
        told = statistics.median(confirmed[server.port]) if server.port in confirmed else 0.0
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        figures = " ".join(f"{each * 1000:8.1f}" for each in (statistics.median(times), p99, times[-1]))
        print(f"{server.name:12} {len(times):4} {figures} {told * 1000:14.1f}")


async def _rounds(
    ours: DnsServer, settings: Settings, watcher: Connection, servers: list[NameServer], rounds: int, pause: float
) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Seconds from each erase to the first answer without the address, and to the confirmation, by port."""
    hands = {int(hand.address.rpartition(":")[2]): hand for hand in secondaries(settings)}
    clean: dict[int, list[float]] = {server.port: [] for server in servers}
    confirmed: dict[int, list[float]] = {port: [] for port in hands}

    async def tell(port: int, table: RecordTable, began: float) -> None:
        await hands[port].carry_out(Target(table))
        if ERASED not in table.addresses(NAME):
            confirmed[port].append(time.monotonic() - began)

    for serial in range(2, 2 + 2 * rounds):
        erased = serial % 2 == 0
        table = _table(serial, erased=erased)
        began = time.monotonic()
        ours.publish(table)
        async with asyncio.TaskGroup() as group:
            for port in hands:
                group.create_task(tell(port, table, began))
        left = {server.port for server in servers}
        while left:
            if not await asyncio.to_thread(watcher.poll, GIVE_UP):
                raise SystemExit(f"no answer of serial {serial} within {GIVE_UP:.0f} s at ports {left}")
            port, holds, at = watcher.recv()
            if holds is not erased:
                left.discard(port)
                if erased:
                    clean[port].append(at - began)
        await asyncio.sleep(pause)
    return clean, confirmed


def _watch(report: Connection, ports: list[int]) -> None:
    """Asks every server every millisecond, and reports when the address leaves its answers or comes back."""
    query = dns.message.make_query(NAME, "A").to_wire()
    address = socket.inet_aton(ERASED)
    socks = {}
    for port in ports:
        socks[port] = sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
    held = dict.fromkeys(ports, True)
    report.send("ready")
    while not report.poll():
        for sock in socks.values():
            sock.send(query)
        time.sleep(EVERY)
        for port, sock in socks.items():
            while packet := _receive(sock):
                holds = address in packet[12:]
                if holds is not held[port]:
                    held[port] = holds
                    report.send((port, holds, time.monotonic()))


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(4096)
    except BlockingIOError:
        return b""


if __name__ == "__main__":
    main()
