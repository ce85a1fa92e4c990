"""The lab, headless, left alone: ``make bench-idle ARGS="--minutes 60"``.

Nothing is broken, so nothing may be erased. Asks DNS from outside twenty times a second and holds every answer against the full set of
addresses, and reads the process' memory (resident) and CPU time from /proc once a minute.

    python -m bench.idle [--minutes 60]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

from bench.failover import Watcher, demo
from core.model import EventName

PACE = 0.05


def memory(pid: int) -> float:
    """Resident set in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu(pid: int) -> float:
    """Seconds of CPU time so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description="the lab left alone")
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    with demo({}) as running:
        time.sleep(10)
        watcher = Watcher(running.port, PACE)
        watcher.start()
        pid, began, spent = running.pid, time.monotonic(), cpu(running.pid)
        sizes = []
        while time.monotonic() - began < options.minutes * 60:
            time.sleep(min(60.0, options.minutes * 60))
            sizes.append(memory(pid))
            share = (cpu(pid) - spent) / (time.monotonic() - began)
            print(
                f"{(time.monotonic() - began) / 60:5.0f} min  {sizes[-1]:6.1f} MiB  CPU {share:6.1%} of a core",
                flush=True,
            )
        watcher.end()
        events = running.events()
    full = max((held for _, held in watcher.answers), key=len)
    short = sum(held != full for _, held in watcher.answers)
    erased = sum(event.name is EventName.ADDRESS_ERASED for event in events)
    names = ", ".join(f"{count} {name}" for name, count in Counter(event.name for event in events).most_common())
    half = len(sizes) // 2
    print(f"{len(watcher.answers)} answers, {short} without every address; unanswered {watcher.unanswered}")
    print(f"{erased} addresses erased; events: {names}")
    if half:
        print(
            f"memory: first half {statistics.mean(sizes[:half]):.1f} MiB, second half {statistics.mean(sizes[half:]):.1f} MiB"
        )
    return 1 if short or erased else 0


if __name__ == "__main__":
    sys.exit(main())
