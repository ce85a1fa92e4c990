"""Questions as resolvers ask them, and two clients that ask: dnsperf, and one of our own where dnsperf is missing.

Used by :mod:`bench.dns`. Packets are made before the clock starts.
"""

from __future__ import annotations

import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

WINDOW = 500
BURST = 256
SOCKETS = 16
_OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00"
_A, _AAAA = 1, 28


def realistic(names: list[str], zone: str, count: int) -> list[bytes]:
    """Names in random case, some asked much more often than others; 15 % of a name that is not in the zone, 5 % of one that is
    in no zone; one in ten for AAAA, which nobody has; 20 % without EDNS, 40 % with, 40 % with a cookie besides: that of one of
    1,000 clients, for a client shows a server always the same (RFC 7873 section 5.1)."""
    dice = random.Random(53)
    cookies = [b"\x00\x0a\x00\x08" + dice.randbytes(8) for _ in range(1000)]
    packets = []
    popular = dice.choices(names, [1 / rank for rank in range(1, len(names) + 1)], k=count)
    for number, known in enumerate(popular):
        kind, unknown = dice.random(), f"{dice.getrandbits(40):x}"
        name = f"{unknown}.{zone}" if kind < 0.15 else f"{unknown}.elsewhere.example" if kind < 0.2 else known
        mixed = "".join(dice.choice((c.lower(), c.upper())) for c in name)
        form = dice.random()
        options = dice.choice(cookies) if form >= 0.6 else b""
        opt = _OPT + len(options).to_bytes(2) + options if form >= 0.2 else b""
        packets.append(_packet(number, mixed, _AAAA if dice.random() < 0.1 else _A, opt))
    return packets


def plain(names: list[str], count: int) -> list[bytes]:
    """A records of names that are there, in lower case, without EDNS."""
    dice = random.Random(53)
    return [_packet(number, dice.choice(names), _A, b"") for number in range(count)]


def _packet(number: int, name: str, qtype: int, opt: bytes) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.rstrip(".").split("."))
    head = (number & 0xFFFF).to_bytes(2) + b"\0\0" + b"\0\1\0\0\0\0\0" + bytes((bool(opt),))
    return head + labels + b"\0" + qtype.to_bytes(2) + b"\0\1" + opt


def run(port: int, packets: list[bytes], seconds: float, file: Path, cpu: int) -> tuple[int, int, float]:
    """As many questions as the server takes: answers, lost questions, and seconds; the client is pinned to ``cpu``."""
    with start(port, packets, seconds, file, ["taskset", "-c", str(cpu)]) as client:
        said = client.communicate()[0]
    found = [re.search(rf"{word}:\s+([\d.]+)", said) for word in ("completed", "lost", r"Run time \(s\)")]
    if not all(found):
        raise SystemExit(f"the client said what nobody understands: {said}")
    answered, lost, took = (float(match[1]) for match in found if match)
    return int(answered), int(lost), took


def start(
    port: int, packets: list[bytes], seconds: float, file: Path, prefix: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """A client in a process of its own, which asks as fast as it can."""
    file.write_bytes(b"".join(len(packet).to_bytes(2) + packet for packet in packets))
    if shutil.which("dnsperf"):
        command = [
            "dnsperf",
            "-s",
            "127.0.0.1",
            "-p",
            str(port),
            "-d",
            str(file),
            "-B",
            "-t",
            "1",
            "-O",
            "suppress=timeout",
        ]
        command += ["-l", f"{seconds:g}", "-q", str(WINDOW), "-c", "16"]
    else:
        command = [sys.executable, "-m", "bench.dns_load", str(port), str(file), str(seconds)]
    return subprocess.Popen([*prefix, *command], stdout=subprocess.PIPE, text=True)


def warm(port: int, packets: list[bytes]) -> None:
    """Every question several times, so that what is built at the first is not counted."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        for start_at in range(0, 3 * len(packets), 64):
            batch = [packets[number % len(packets)] for number in range(start_at, start_at + 64)]
            for packet in batch:
                sock.send(packet)
            for _ in batch:
                if not select.select([sock], [], [], 1.0)[0]:
                    break
                sock.recv(4096)


def bursts(port: int, pids: list[int], packets: list[bytes], seconds: float) -> int:
    """Answers to bursts that the server finds waiting: it is stopped while they are sent, so that it has work whenever it
    runs, however little of a shared core the client gets."""
    answered = 0
    questions = cycle(packets)
    socks = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(SOCKETS)]
    for sock in socks:
        sock.connect(("127.0.0.1", port))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for sock in socks:
            for _ in range(BURST // SOCKETS):
                sock.send(next(questions))
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for sock in socks:
            for _ in range(BURST // SOCKETS):
                if not select.select([sock], [], [], 1.0)[0]:
                    break
                sock.recv(4096)
                answered += 1
    for sock in socks:
        sock.close()
    return answered


def latencies(port: int, packets: list[bytes], rate: int, seconds: float) -> list[float]:
    """Seconds to each answer, sorted, at a rate that leaves the server idle most of the time; a lost one counts a second."""
    times = []
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        due = time.perf_counter()
        for packet in (packet for packet, _ in zip(cycle(packets), range(int(rate * seconds)), strict=False)):
            time.sleep(max(0.0, due - time.perf_counter()))
            due += 1 / rate
            began = time.perf_counter()
            sock.send(packet)
            while select.select([sock], [], [], 1.0)[0] and sock.recv(4096)[:2] != packet[:2]:
                pass  # an answer that came after its second
            times.append(time.perf_counter() - began)
    return sorted(times)


def _read(file: Path) -> Iterator[bytes]:
    left = file.read_bytes()
    while left:
        end = 2 + int.from_bytes(left[:2])
        yield left[2:end]
        left = left[end:]


def main() -> None:
    """A window of questions under way from one socket; prints as dnsperf does."""
    port, file, seconds = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    packets = cycle(list(_read(file)))
    answered = lost = 0
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        began = time.monotonic()
        while (took := time.monotonic() - began) < seconds:
            for _ in range(WINDOW):
                sock.send(next(packets))
            for number in range(WINDOW):
                if not select.select([sock], [], [], 1.0)[0]:
                    lost += WINDOW - number
                    break
                sock.recv(4096)
                answered += 1
    print(f"Queries completed: {answered}\nQueries lost: {lost}\nRun time (s): {took}")


if __name__ == "__main__":
    main()
