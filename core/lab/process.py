"""A process of the lab that anybody may kill, and that the lab starts again when a fault is mended.

Owns its start, its tether and its prompt reaping. Called by :mod:`core.lab.host` and :mod:`core.lab.cluster`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

BASH = shutil.which("bash") or "/bin/bash"
DEADLINE = 10.0
"""Seconds that a process of the lab may take to begin or to end."""


class Process:
    """One running process in a session of its own, reaped as soon as it ends.

    Its input is the tether: a pipe that nobody writes to. When the lab dies the tether closes, and the process with it.
    ``on_end`` is called once, in the loop, when it has ended.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        tether: int,
        env: dict[str, str],
        on_end: Callable[[Process], None],
        executable: str | None = None,
        pipe: bool = False,
    ) -> None:
        self.title = " ".join(argv)
        self._popen = subprocess.Popen(
            argv,
            executable=executable,
            stdin=tether,
            stdout=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self.started = start_time(self.pid)
        self._on_end = on_end
        self._pidfd = os.pidfd_open(self.pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()
        if self._popen.stdout is not None:
            self._popen.stdout.close()
        self._ended.set()
        self._on_end(self)

    async def kill(self) -> None:
        """SIGKILL; returns when it is dead and reaped."""
        if self.alive:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        await asyncio.wait_for(self._ended.wait(), DEADLINE)

    async def first_line(self) -> str:
        """The first line of its output: a server tells where it listens. Raises TimeoutError, or OSError when it ended."""
        assert self._popen.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await asyncio.to_thread(self._popen.stdout.readline)
        if not line:
            raise OSError(f"{self.title} ended at its start")
        return str(line, "utf-8").strip()


def named(title: str, *, tether: int, env: dict[str, str], on_end: Callable[[Process], None]) -> Process:
    """A process that does nothing and looks like ``title`` in a process list.

    It is a bash that waits for a command from the tether: next to nothing in memory and CPU.
    """
    return Process([title], executable=BASH, tether=tether, env=env, on_end=on_end)


def server(
    module: str, *arguments: str, tether: int, env: dict[str, str], on_end: Callable[[Process], None]
) -> Process:
    """A server of this package that needs the standard library only; it is started without site-packages, for speed."""
    script = str(Path(__file__).with_name(f"{module}.py"))
    return Process([sys.executable, "-I", "-S", script, *arguments], tether=tether, env=env, on_end=on_end, pipe=True)


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat: clock ticks since boot; with the pid it names a process for good."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
