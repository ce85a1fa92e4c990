"""What ends every process of a lab, also when the lab itself is killed.

Owns the lab's directory and the mark: each process that a lab starts, and so all that it starts in turn, carries ``POINTSMAN_LAB=<directory>``
in its environment. The directory is locked by one lab at a time, so whoever else carries it is a leftover. Called by
:mod:`core.lab.__main__` and :mod:`core.lab.demo`; imports nothing of the project.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from pathlib import Path

MARK = "POINTSMAN_LAB"


def claim(directory: Path) -> None:
    """Make the directory, mode 0700, or find it ours: a known place in /tmp may have been laid out by somebody else.

    Raises OSError.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "belongs to another user", str(directory))


def _marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def sweep(directory: Path, patience: float = 5.0) -> None:
    """Kill every process that carries the mark of ``directory``; returns when none lives, or after ``patience`` seconds."""
    mark = f"{MARK}={directory}".encode()
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = False
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                found |= _kill(int(entry.name), mark)
        if not found:
            return
        time.sleep(0.01)


def _kill(pid: int, mark: bytes) -> bool:
    """The pidfd is taken before the mark is read: a pid that is used again in between is not hit."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not _marked(pid, mark):
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        return True
    finally:
        os.close(process)


class Guardian:
    """A child process that sleeps until the lab has ended, in whatever way, and then sweeps. Start it before any thread."""

    def __init__(self, directory: Path) -> None:
        read, self._write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._watch(directory, read)
        os.close(read)

    def _watch(self, directory: Path, read: int) -> None:
        os.close(self._write)
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        os.read(read, 1)
        sweep(directory)
        os._exit(0)

    def release(self) -> None:
        """The lab ends: wait until everything is swept away."""
        os.close(self._write)
        os.waitpid(self._pid, 0)
