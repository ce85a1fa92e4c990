"""CPU of the wire thread for each query, beside the same answers built anew by dnslib: ``python -m bench.dns``.

A client in a process of its own keeps a window of queries under way from one UDP socket: A queries for an app's name in
random case (0x20), EDNS with 1232 octets, a new id each. The figure is the CPU time of the wire thread, system calls
included, divided by the answers that came back; the rate is that of this client and says little where it shares cores
with the server. The second row asks for a name that nobody asked before each time, so that the cache never helps.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import random
import select
import socket
import threading
import time
from collections.abc import Iterator

import dns.message

from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings
from dnsserver.respond import Responder
from dnsserver.server import DnsServer
from dnsserver.zone import load

_WINDOW = 64
_PREBUILT = 20000


def _queries(name: str, fresh: bool) -> list[bytes]:
    """Distinct packets; made before the clock starts."""
    generator = random.Random(53)
    tail = dns.message.make_query(".", "A", use_edns=0, payload=1232).to_wire()[12:]
    packets = []
    for number in range(_PREBUILT):
        asked = f"{number:x}-{generator.getrandbits(32):x}.{name}" if fresh else name
        mixed = "".join(generator.choice((c.lower(), c.upper())) for c in asked).rstrip(".").encode()
        wire = b"".join(bytes((len(label),)) + label for label in mixed.split(b"."))
        header = number.to_bytes(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
        packets.append(header + wire + tail)
    return packets


def _client(address: tuple[str, int], packets: list[bytes], seconds: float, report: multiprocessing.Queue[int]) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(address)
    sock.setblocking(False)
    answered = 0

    def endless() -> Iterator[bytes]:
        while True:
            yield from packets

    queries = endless()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(_WINDOW):
            sock.send(next(queries))
        for _ in range(_WINDOW):
            if not select.select([sock], [], [], 0.5)[0]:
                break
            sock.recv(4096)
            answered += 1
    report.put(answered)


def _measure(server: DnsServer, thread: threading.Thread, packets: list[bytes], seconds: float) -> tuple[float, float]:
    """CPU seconds of the wire thread for each answer, and answers a second."""
    spawned = multiprocessing.get_context("spawn")
    report: multiprocessing.Queue[int] = spawned.Queue()
    client = spawned.Process(target=_client, args=(server.addresses[0], packets, seconds, report))
    clock = time.pthread_getcpuclockid(thread.ident or 0)
    before = time.clock_gettime(clock)
    client.start()
    answered = report.get(timeout=seconds + 30)
    spent = time.clock_gettime(clock) - before
    client.join()
    return spent / answered, answered / seconds


def _uncached(settings: Settings, table: RecordTable, packets: list[bytes]) -> float:
    responder = Responder(load(settings), table, settings.dns, stream=False)
    before = time.thread_time()
    for turn, packet in enumerate(packets[:5000]):
        responder.respond(packet, turn)
    return (time.thread_time() - before) / 5000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--seconds", type=float, default=5.0, help="length of each run")
    seconds = arguments.parse_args().seconds
    settings = Settings(dns=Dns(listen=("127.0.0.1:0",)), app=(App(domain="svc1.net.", clusters=("a", "b", "c")),))
    records = tuple(Record(name, (f"192.0.2.{number}",)) for number, name in enumerate("abc", 1))
    table = RecordTable(1, {"svc1.net.": AppRecords("svc1.net.", 5, records)})
    server = DnsServer(settings, table, lambda error: print(f"the wire thread died: {error!r}"))
    server.start()
    thread = next(thread for thread in threading.enumerate() if thread.name == "dns-wire")
    print(
        f"Python {platform.python_version()} on {platform.machine()}, {seconds:g} s a run, three A records, EDNS, 0x20"
    )
    for text, fresh in (("cached answers", False), ("never asked before (NXDOMAIN)", True)):
        cost, rate = _measure(server, thread, _queries("svc1.net", fresh), seconds)
        print(f"wire thread, {text:32} {cost * 1e6:7.1f} µs CPU a query {rate:10,.0f} answers/s")
    print(
        f"dnslib builds each answer, no socket         {_uncached(settings, table, _queries('svc1.net', False)) * 1e6:7.1f} µs CPU a query"
    )
    server.stop()


if __name__ == "__main__":
    main()
