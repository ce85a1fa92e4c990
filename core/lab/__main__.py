"""``python -m core.lab --dir D``: the lab as a process of its own. Prints ``ready`` and runs until it is told to end, or its
parent ends. Started by :mod:`core.lab.demo`, by benches, or by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import resource
import signal
import sys
import time
from pathlib import Path

import uvloop

from core.errors import PointsmanError, StartError
from core.lab.guardian import Guardian, claim, sweep
from core.lab.lab import Lab


def _arguments() -> argparse.Namespace:
    def amount(least: int, most: int) -> type[int]:
        def parse(text: str) -> int:
            if not text.isdigit() or not least <= int(text) <= most:
                raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
            return int(text)

        return parse  # type: ignore[return-value] # argparse takes any callable; its type is written as a class

    parser = argparse.ArgumentParser(prog="python -m core.lab", description="Simulated clusters on loopback.")
    parser.add_argument("--dir", type=Path, required=True, help="directory of the lab's own")
    parser.add_argument("--clusters", type=amount(1, 250), default=3)
    parser.add_argument("--nodes", type=amount(1, 50), default=2, help="in each cluster")
    parser.add_argument("--pods", type=amount(1, 100), default=2, help="on each node")
    parser.add_argument("--dns-port", type=amount(0, 65535), default=5300, help="for pointsman, in config.toml")
    return parser.parse_args()


def _lock(directory: Path) -> int:
    """Held until the lab and its guardian have ended. Raises StartError when another lab has it."""
    lock = os.open(directory / "lab.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + 5
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StartError(f"a lab is already running in {directory}; end it or choose another --dir") from None
            time.sleep(0.05)  # the guardian of one that was killed is still sweeping
        else:
            return lock


async def _run(directory: Path, arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, this.cancel)
    loop.add_reader(os.pidfd_open(os.getppid()), this.cancel)
    tether, _held = os.pipe()
    async with asyncio.TaskGroup() as tasks:
        lab = Lab(directory, tether, tasks, clusters=arguments.clusters, nodes=arguments.nodes, pods=arguments.pods)
        await lab.start(arguments.dns_port)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await loop.create_future()


def main() -> int:
    arguments = _arguments()
    if sys.platform != "linux":
        sys.stderr.write("the lab needs Linux: its tools report what /proc says\n")
        return 1
    try:
        directory: Path = arguments.dir.resolve()
        claim(directory)
        lock = _lock(directory)
    except (StartError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sweep(directory)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    guardian = Guardian(directory)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(directory, arguments))
    except asyncio.CancelledError:
        pass  # told to end
    except BaseExceptionGroup as group:
        if (known := group.subgroup((PointsmanError, OSError, TimeoutError))) is None:
            raise
        sys.stderr.write(f"{_first(known)}\n")
        return 1
    finally:
        guardian.release()
        os.close(lock)
    return 0


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    sys.exit(main())
