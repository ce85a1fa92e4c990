"""What the open console does to DNS: the answer times of a demo with the console on a terminal, and of one without.

Both run at the same time, each with its console or headless, and are asked in turn, so that what else the machine does
falls on both. Called by ``make bench-console``.

    python -m bench.console_dns [--seconds 30]
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dnslib

from bench.failover import demo, free_port, percentile

SIZE = (50, 160)
PACE = 0.002
START_WITHIN = 60.0


@contextmanager
def on_terminal(command: list[str], ready: Path) -> Iterator[None]:
    """A program whose console is on a terminal of 160×50 that is read and thrown away, from when it has painted and there is
    the file ``ready``."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm-256color"}
    )
    os.close(theirs)
    painted = [0]
    threading.Thread(target=_drain, args=(ours, painted), daemon=True).start()
    try:
        deadline = time.monotonic() + START_WITHIN
        while not ready.exists() or not painted[0]:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("it did not start with its console")
            time.sleep(0.1)
        yield
        if process.poll() is not None:
            sys.exit("it ended under the bench")
    finally:
        process.terminate()
        process.wait(60)
        os.close(ours)


@contextmanager
def with_console() -> Iterator[int]:
    """A demo with its console; the port of its DNS."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as scratch:
        command = [sys.executable, "-m", "core.cli", "demo", "--dir", scratch, "--dns-port", str(port)]
        with on_terminal(command, Path(scratch, "control.sock")):
            yield port


def _drain(terminal: int, painted: list[int]) -> None:
    try:
        while data := os.read(terminal, 65536):
            painted[0] += len(data)
    except OSError:
        return


def ask(sock: socket.socket, query: bytes) -> float | None:
    """Seconds to the answer, None when there was none in a second."""
    start = time.perf_counter()
    sock.send(query)
    if not select.select([sock], [], [], 1.0)[0]:
        return None
    sock.recv(4096)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description="DNS latency with and without the console")
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    query = bytes(dnslib.DNSRecord.question("svc1.net", "A").pack())
    with demo({}) as headless, with_console() as shown:
        time.sleep(10)  # both have finished their first rounds
        socks = {"headless": socket.socket(type=socket.SOCK_DGRAM), "console": socket.socket(type=socket.SOCK_DGRAM)}
        socks["headless"].connect(("127.0.0.1", headless.port))
        socks["console"].connect(("127.0.0.1", shown))
        times: dict[str, list[float]] = {name: [] for name in socks}
        lost = dict.fromkeys(socks, 0)
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            for name, sock in socks.items():
                took = ask(sock, query)
                if took is None:
                    lost[name] += 1
                else:
                    times[name].append(took * 1000)
            time.sleep(PACE)
    for name, figures in times.items():
        p50, p99 = percentile(figures, 0.5), percentile(figures, 0.99)
        print(f"DNS, {name:9} {len(figures):6} answers   p50 {p50:6.3f} ms   p99 {p99:6.3f} ms   lost {lost[name]}")
    ratio = percentile(times["console"], 0.99) / percentile(times["headless"], 0.99)
    print(f"p99 with the console open is {ratio:.2f} times that without")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
