"""Holds a bed, and leaves nothing of it behind.

A bed lives in namespaces of its own for processes, mounts and network, under one first process: when that ends, for
whatever reason, the kernel ends everything in them. This process starts it, and ends it when its own standard input
closes (whoever wanted the bed is gone) or at SIGTERM; then, or when it ended by itself, this one removes what a kernel does not: control groups and files.

    python -m tests.bed.keeper DIRECTORY
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_FIRST = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/sshd /run/lock
ip link set lo up
touch "$1/first"
exec env --ignore-signal=CHLD sleep infinity # who ignores SIGCHLD leaves no zombies
"""


def control_groups(name: str) -> list[Path]:
    """Where nodes of the bed ``name`` get their control groups: in the unified hierarchy, and systemd's where it is apart."""
    groups = Path("/sys/fs/cgroup")
    hybrid = [groups / "unified", groups / "systemd"]
    return [one / f"pointsman-{name}" for one in hybrid if one.is_dir()] or [groups / f"pointsman-{name}"]


def sweep(directory: Path) -> None:
    """Removes what is left of a bed whose processes are gone."""
    for top in control_groups(directory.name):
        for _ in range(50):
            for group in sorted(top.rglob("*/"), key=lambda path: -len(path.parts)):
                with suppress(OSError):
                    group.rmdir()
            with suppress(OSError):
                top.rmdir()
            if not top.exists():
                break
            time.sleep(0.1)
    shutil.rmtree(directory, ignore_errors=True)


def main(directory: Path) -> int:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    command = [
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
    ]
    process = subprocess.Popen([*command, "sh", "-c", _FIRST, "first", str(directory)], stdin=subprocess.DEVNULL)
    try:
        while not (directory / "first").exists():
            if process.poll() is not None:
                return 1
            time.sleep(0.01)
        first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        (directory / "pid.new").write_text(first)
        (directory / "pid.new").rename(directory / "pid")
        ended = os.pidfd_open(process.pid)
        select.select([0, ended], [], [])  # nobody writes: it is readable when it is closed
        return 0
    finally:
        process.kill()
        process.wait()
        sweep(directory)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
