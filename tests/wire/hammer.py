"""Clients in processes of their own that never stop asking; run by ``test_swap.py``.

Each table of that test answers one address, made from its serial. A client notes when it asked and which serial it got.
``CLOCK_MONOTONIC`` is the same in all processes of a machine.
"""

from __future__ import annotations

import random
import socket
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

import dns.message

Seen = list[tuple[float, int]]

SOCKETS = 16


def address_of(serial: int) -> str:
    return f"10.0.{serial // 256}.{serial % 256}"


def _query(generator: random.Random) -> bytes:
    name = "".join(generator.choice((c.lower(), c.upper())) for c in "svc1.net.")
    packet = bytearray(dns.message.make_query(name, "A").to_wire())
    packet[3] = generator.choice((0x00, 0x10))  # two entries in the cache, and each is built anew for each table
    return bytes(packet)


def _serial(answer: bytes) -> int:
    """Without EDNS the message ends with the one address."""
    assert answer[-4:-2] == b"\x0a\x00", answer
    return int.from_bytes(answer[-2:])


def over_udp(address: tuple[str, int], seed: int, stop: Event, report: Queue[Seen]) -> None:
    generator = random.Random(seed)
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SOCKETS)]
    for sock in sockets:
        sock.connect(address)
        sock.settimeout(20)
    seen: Seen = []
    while not stop.is_set():
        asked = []
        for sock in sockets:
            query = _query(generator)
            asked.append(time.monotonic())
            sock.send(query)
        seen += [(at, _serial(sock.recv(512))) for at, sock in zip(asked, sockets, strict=True)]
    report.put(seen)


def over_tcp(address: tuple[str, int], seed: int, stop: Event, report: Queue[Seen]) -> None:
    """Pipelines. A connection that held answers of an older table may end; what it had said counts."""
    generator = random.Random(seed)
    seen: Seen = []
    while not stop.is_set():
        with socket.create_connection(address, timeout=20) as sock, sock.makefile("rb") as stream:
            while not stop.is_set():
                queries = [_query(generator) for _ in range(SOCKETS)]
                at = time.monotonic()
                sock.sendall(b"".join(len(query).to_bytes(2) + query for query in queries))
                answers = [stream.read(int.from_bytes(stream.read(2))) for _ in queries]
                seen += [(at, _serial(answer)) for answer in answers if answer]
                if not answers[-1]:
                    break
    report.put(seen)
