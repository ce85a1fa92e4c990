"""What the watch costs: ``make bench-watch``. On a node, from /proc, the children that it has reaped included; here, per line.

The real scripts at their default ticks, with real processes as containers and no full checks but the first (those cost
what their commands cost). ``unseen`` is a user who may not look into the processes, as pointsman's own usually is.
Over SSH there are a real sshd, its session on the node measured too, and the session as pointsman runs it on our side.

    python -m bench.watch [--seconds 20] [--containers 50]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import uvloop

from core.probes.link import script
from core.settings import Detection
from tests.live.sshd import Command, Sshd, marked, over_ssh

NOBODY = 65534
SHELLS = {"bash": ("bash", "--noprofile", "--norc", "-s"), "dash": ("dash", "-s")}


def spent(pids: Iterable[int]) -> float:
    """Seconds of CPU so far: of these, exact to the nanosecond, and of their children that have ended."""
    total = 0.0
    for pid in pids:
        with suppress(OSError):
            total += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return total


@contextmanager
def containers(count: int) -> Iterator[list[int]]:
    """Processes that wait, as many."""
    processes = [subprocess.Popen(["sleep", "10000"]) for _ in range(count)]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Script:
    """One script on this machine, found again by a mark, and its lines counted."""

    def __init__(self, shell: str, pids: Sequence[int], *, unseen: bool) -> None:
        self.mark = os.urandom(8).hex()
        self.ticks = 0
        user = ("setpriv", f"--reuid={NOBODY}", "--clear-groups") if unseen else ()
        self._process = subprocess.Popen(
            (*user, *SHELLS[shell]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=os.environ | {"MARK": self.mark},
        )
        assert self._process.stdin is not None
        kind = "bash" if shell == "bash" else "sh"
        armed = f"c 0 :\ns 0 {' '.join(map(str, pids))}\n"
        self._process.stdin.write((script(kind, "T0", Detection()) + armed).encode())
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while data := self._process.stdout.read(65536):
            self.ticks += data.count(b"T0 t ")

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def line(what: str, sentinels: int, seconds: float, cpu: float, ticks: int) -> None:
    each = cpu / ticks * 1e6 if ticks else 0.0
    print(f"{what:44} {sentinels:5} {ticks / seconds:8.1f} {cpu / seconds:9.2%} {each:10.0f}", flush=True)


def numbers(marks: Iterable[str]) -> list[int]:
    return [int(text.split()[0]) for text in marks]


def local(shell: str, count: int, seconds: float, *, unseen: bool = False) -> None:
    with containers(count) as pids:
        running = Script(shell, pids, unseen=unseen)
        time.sleep(2)
        processes = numbers(marked(running.mark))
        began, before, ticks = time.monotonic(), spent(processes), running.ticks
        time.sleep(seconds)
        line(
            f"{shell}, {'unseen' if unseen else 'seen'}",
            count,
            time.monotonic() - began,
            spent(processes) - before,
            running.ticks - ticks,
        )
        running.end()


async def over_network(count: int, seconds: float) -> None:
    with containers(count) as pids, tempfile.TemporaryDirectory() as directory:
        server = Sshd.make(Path(directory))
        server.start()
        try:
            check = Command("; ".join(f"echo pid {pid}" for pid in pids), interval=10_000)
            async with over_ssh(server, check) as seen:
                await seen.evidence(check.id)
                await asyncio.sleep(2)
                watch, sessions = numbers(server.processes()), server.sessions()
                began, here, beats = time.monotonic(), time.process_time(), seen.beats
                on_node, of_sshd = spent(watch), spent(sessions)
                await asyncio.sleep(seconds)
                took, ticks = time.monotonic() - began, seen.beats - beats
                line("bash over SSH: the script", count, took, spent(watch) - on_node, ticks)
                line("bash over SSH: sshd there, for its lines", count, took, spent(sessions) - of_sshd, ticks)
                line("bash over SSH: pointsman here, for one node", count, took, time.process_time() - here, ticks)
        finally:
            server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description="what the watch costs")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--containers", type=int, default=50)
    options = parser.parse_args()
    print(f"{'':44} {'procs':>5} {'ticks/s':>8} {'of a core':>9} {'us a tick':>10}")
    for shell in SHELLS:
        if not shutil.which(shell):
            print(f"{shell} is not here")
            continue
        local(shell, 0, options.seconds)
        local(shell, options.containers, options.seconds)
        if os.geteuid() == 0:
            local(shell, options.containers, options.seconds, unseen=True)
    uvloop.run(over_network(options.containers, options.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
