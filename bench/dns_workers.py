"""What more workers bring, and what a swap over all of them costs: ``python -m bench.dns_workers``, after ``bench.dns``.

*Answers a second*: every process that answers is stopped, its sockets are filled, and the clock runs from the moment when all
go on to the arrival of the last answer, as the kernel stamps it, so that the client takes none of the cores that are
measured; the middle of all bursts. *Swaps*: how long publishing a table takes, which erases or
brings back one of three addresses of every app, while a client asks as fast as it can.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

from bench import dns as side_by_side
from bench import dns_load
from bench.failover import percentile
from core.records import AppRecords, Record, RecordTable
from dnsserver.server import DnsServer
from tests.live.name_servers import NameServer, await_zone, free_ports, stop

BURST = 480
"""What one socket's buffer holds."""
_TIMESTAMPNS = 35  # Linux; the socket module does not name it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--apps", type=int, default=1000)
    parser.add_argument("--bursts", type=int, default=200)
    parser.add_argument("--swaps", type=int, default=100)
    chosen = parser.parse_args()
    sys.setswitchinterval(side_by_side.SWITCH_INTERVAL)
    names = side_by_side.domains(chosen.apps)
    packets = dns_load.realistic(names, side_by_side.ZONE, side_by_side.PACKETS)
    print(f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores, {chosen.apps} apps")
    for workers in chosen.workers:
        with tempfile.TemporaryDirectory(prefix="pointsman-") as directory:
            rate = _rate(Path(directory), workers, chosen.apps, packets, chosen.bursts)
            idle = _swaps(Path(directory), workers, chosen.apps, chosen.swaps, [])
            loaded = _swaps(Path(directory), workers, chosen.apps, chosen.swaps, packets)
        said = "; ".join(
            f"{word} p50 {percentile(times, 0.5):.1f} p99 {percentile(times, 0.99):.1f} max {max(times):.1f}"
            for word, times in (("idle", idle), ("under full load", loaded))
        )
        print(f"{workers} worker{'s' * (workers > 1)}: {rate:8,.0f} answers/s; a swap takes, in ms, {said}")


def _rate(place: Path, workers: int, apps: int, packets: list[bytes], bursts: int) -> float:
    (port,) = free_ports(1)
    with (place / "log").open("wb") as log:
        command = side_by_side.ours(port, side_by_side.zone_file(place), apps, workers)
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        await_zone(NameServer("pointsman", port), side_by_side.ZONE, place / "log")
        for _ in range(2 * workers):
            dns_load.warm(port, packets)
        # a worker that stood for too long is replaced: who is to be stopped is looked up for each burst
        rates = [_burst(port, side_by_side.family(process.pid), questions) for questions in _slices(packets, bursts)]
        return statistics.median(rate for rate in rates if rate)
    finally:
        stop(process)


def _slices(packets: list[bytes], count: int) -> list[list[bytes]]:
    endless = cycle(packets)
    return [[next(endless) for _ in range(BURST)] for _ in range(count)]


def _burst(port: int, pids: list[int], questions: list[bytes]) -> float:
    """Answers a second; nothing where one was lost."""
    socks = [socket.socket(type=socket.SOCK_DGRAM) for _ in questions]  # a worker is chosen by the source port
    try:
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        while not all(map(_stands, pids)):
            time.sleep(0.001)
        for sock, question in zip(socks, questions, strict=True):
            sock.send(question)
        began = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)
        try:
            last = max(_stamp(sock) for sock in socks)
        except BlockingIOError:
            return 0.0
        return len(socks) / (last - began)
    finally:
        for sock in socks:
            sock.close()


def _stands(pid: int) -> bool:
    """Whether every thread of it has stopped: a busy core may take a while to get there."""
    stats = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat"))
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _stamp(sock: socket.socket) -> float:
    """When the answer came in, in seconds of the wall clock."""
    _, ((_, _, stamp),), _, _ = sock.recvmsg(4096, 64)
    return int.from_bytes(stamp[:8], "little") + int.from_bytes(stamp[8:16], "little") / 1e9


def _swaps(place: Path, workers: int, apps: int, swaps: int, packets: list[bytes]) -> list[float]:
    """Milliseconds of each; a client asks meanwhile where there are packets."""
    (port,) = free_ports(1)
    settings, table = side_by_side.site(port, side_by_side.zone_file(place), apps, workers)
    server = DnsServer(settings, table, lambda error: print(f"DNS died: {error!r}"), print)
    server.start()
    load = None
    try:
        if packets:
            load = dns_load.start(port, packets, 600, place / "queries")
            time.sleep(1.0)
        times = []
        for serial in range(2, swaps + 2):
            new = _without_one(table, serial) if serial % 2 == 0 else RecordTable(serial, table.apps)
            began = time.perf_counter()
            server.publish(new)
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(0.02)
        return times
    finally:
        if load:
            load.kill()
            load.wait()
        server.stop()


def _without_one(table: RecordTable, serial: int) -> RecordTable:
    def left(app: AppRecords) -> tuple[Record, ...]:
        return app.records[1:]

    return RecordTable(serial, {name: AppRecords(name, app.ttl, left(app)) for name, app in table.apps.items()})


if __name__ == "__main__":
    main()
