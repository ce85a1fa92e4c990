"""Faults that the kernel reports to a running process, made with strace: a call that fails, is late, or is the last one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import require


@contextmanager
def injected(pid: int, log: Path, calls: str, what: str, *, one_thread: bool = False) -> Iterator[None]:
    """For as long as the context lasts, ``what`` befalls the system calls ``calls`` (strace(1), ``-e inject``).

    ``one_thread``: of the thread ``pid`` alone, which for a process is its main one. ``log`` gets the calls that it befell.
    """
    command = [require("strace"), *([] if one_thread else ["-f"]), "-o", str(log)]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:{what}", "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        said = tracer.stderr.readline()
        assert "attached" in said, said
        yield
    finally:
        tracer.terminate()
        try:
            tracer.wait(5)
        except subprocess.TimeoutExpired:  # it may wait for ever for a thread of a process that it has killed
            tracer.kill()
            tracer.wait()
        tracer.stderr.close()
