"""The pointsman under test, as a process that ends and starts, and who asks its DNS from outside."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import dnslib

from bench.chaos.truth import Answer
from bench.failover import addresses
from bench.idle import memory

STARTS_WITHIN = 60.0
WAIT = 1.0
"""Seconds that a question waits for its answer."""


class Pointsman:
    """``run --headless`` on the lab's settings; one life after the other."""

    def __init__(self, config: Path, environment: Mapping[str, str], log: Path) -> None:
        self.socket = config.parent / "control.sock"
        self._config, self._environment, self._log = config, environment, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it is ready. Raises RuntimeError when it does not get there."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "core.cli", "run", "--headless", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        assert process.stdout is not None
        heard, _, _ = select.select([process.stdout], [], [], STARTS_WITHIN)
        if not heard or process.stdout.readline() != b"ready\n":
            process.kill()
            process.wait()
            raise RuntimeError(f"pointsman did not start; see {self._log}")
        self._process = process

    def memory(self) -> float | None:
        """Resident set in MiB; None while there is no process."""
        process = self._process
        return round(memory(process.pid), 1) if process else None

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def died(self) -> bool:
        """Whether it ended though nobody ended it."""
        return self._process is not None and self._process.poll() is not None

    def end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


class Asker(threading.Thread):
    """Asks for each app in turn at a steady pace, and keeps what came, when, for :meth:`take`."""

    def __init__(self, port: int, apps: tuple[str, ...], names: Mapping[str, str], pace: float) -> None:
        super().__init__(daemon=True)
        self._port, self._apps, self._names, self._pace = port, apps, names, pace
        self._answers: deque[Answer] = deque()
        self.delays: deque[float] = deque(maxlen=1_000_000)

    def take(self, before: float) -> list[Answer]:
        """The answers that came before an instant, in order; they are kept no longer."""
        taken = []
        while self._answers and self._answers[0].came < before:
            taken.append(self._answers.popleft())
        return taken

    def run(self) -> None:
        queries = [bytearray(dnslib.DNSRecord.question(app, "A").pack()) for app in self._apps]
        number = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self._port))
            while True:
                number += 1
                query = queries[number % len(queries)]
                query[0:2] = (number % 65536).to_bytes(2, "big")
                sent = time.time()
                packet = self._exchange(sock, query)
                came = time.time()
                held = None if packet is None else frozenset(self._names[a] for a in addresses(packet))
                self._answers.append(Answer(self._apps[number % len(queries)], sent, came, held))
                if packet is not None:
                    self.delays.append(came - sent)
                time.sleep(self._pace)

    def _exchange(self, sock: socket.socket, query: bytearray) -> bytes | None:
        """The answer to this very question, or None."""
        try:
            sock.send(query)
            until = time.monotonic() + WAIT
            while select.select([sock], [], [], max(0.0, until - time.monotonic()))[0]:
                packet = sock.recv(4096)
                if packet[0:2] == query[0:2]:
                    return packet
        except ConnectionRefusedError:
            pass
        return None


class Pinger(threading.Thread):
    """Asks each router for itself, ten times a second: on a machine that is busy with other work the lab may stall, and a router
    that truly did not answer was no well one. ``told`` gets the cluster and the seconds from a question to ``SLOW`` or more later."""

    SLOW = 0.25

    def __init__(self, routers: Mapping[str, tuple[str, int]], told: Callable[[str, float, float], None]) -> None:
        super().__init__(daemon=True)
        self._routers, self._told = routers, told

    def run(self) -> None:
        while True:
            for cluster, place in self._routers.items():
                sent = time.time()
                if not self._answers(place) or time.time() - sent > self.SLOW:
                    self._told(cluster, sent, time.time())
            time.sleep(0.1)

    def _answers(self, place: tuple[str, int]) -> bool:
        """Whether it answers in time, or refuses at once: a dead router is not a slow one."""
        try:
            with socket.create_connection(place, self.SLOW) as sock:
                sock.settimeout(self.SLOW)
                sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                sock.recv(4096)
        except TimeoutError:
            return False
        except OSError:
            pass
        return True
