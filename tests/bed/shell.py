"""Running commands: what every part of the bed does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

BASE = Path("/var/tmp/pointsman-bed")
"""Everything that the bed keeps: the nodes' root as a cache, and a directory for each bed that is up."""


class BedError(Exception):
    """Something of the bed did not come up, in words for who runs it."""


def call(*command: str, timeout: float = 60, given: str | None = None, check: bool = True) -> str:
    """What the command printed. BedError with its last words when it fails or takes longer than ``timeout`` seconds."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise BedError(f"{' '.join(command)}: no end within {timeout:g} s") from error
    except FileNotFoundError as error:
        raise BedError(f"{command[0]} is not installed (tests/bed/packages.txt lists what the bed needs)") from error
    if check and done.returncode:
        raise BedError(
            f"{' '.join(command)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}"
        )
    return done.stdout


def wait_until(what: str, condition: Callable[[], object], within: float = 60.0) -> None:
    """Looks again and again; BedError when it does not hold in time. A condition that raises BedError does not hold yet."""
    deadline = time.monotonic() + within
    why = ""
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except BedError as error:
            why = f": {error}"
        time.sleep(0.1)
    raise BedError(f"{what}: not within {within:g} s{why}")
