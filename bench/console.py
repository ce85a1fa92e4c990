"""What the console costs: ``python -m bench.console [CLUSTERS]`` prints one line per figure.

A scripted engine changes every cluster in every snapshot; the app runs without a terminal but paints in full. Figures
are CPU milliseconds of this process: ``refresh`` is a snapshot becoming rows and dirty lines, ``paint`` those lines
becoming strips, ``key`` the time from a key to the cursor on its new row.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from textual import events

from core.settings import Console
from core.snapshot import ClusterState, Snapshot
from tests.tui.scripted import NOW, ScriptedClient, cluster, snapshot
from tui.app import ConsoleApp, calm_collector
from tui.screens.fleet import FleetScreen
from tui.widgets.grid import Grid

ROUNDS = 100
SIZE = (160, 50)


def changed(number: int, clusters: int) -> Snapshot:
    """Every cluster different from the snapshot before."""
    states = (ClusterState.OK, ClusterState.ERASED, ClusterState.RAMPING, ClusterState.DEGRADED)
    views = tuple(
        replace(cluster(f"c{n:03}", states[(n + number) % 4], number=n % 250), p50=0.001 * (number % 90 + 1), since=NOW - number)
        for n in range(clusters)
    )  # fmt: skip
    return snapshot(*views, at=NOW + number)


def cpu_ms(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return (time.process_time() - before) * 1000


def report(what: str, figures: list[float]) -> None:
    ordered = sorted(figures)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{what:44} p50 {statistics.median(ordered):7.2f} ms   p99 {p99:7.2f} ms   max {ordered[-1]:7.2f} ms")


async def main(clusters: int) -> None:
    snapshots = [changed(number, clusters) for number in range(8)]
    engine = ScriptedClient(snapshots[0])
    calm_collector()
    app = ConsoleApp(engine, Console(), attached=True, who="bench")
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(1.0)
        screen = app.screen
        assert isinstance(screen, FleetScreen)
        grid = screen.query_one("#body", Grid)
        view = app.live()
        refresh, paint, same = [], [], []
        for number in range(ROUNDS):
            now = replace(view, snapshot=snapshots[number % 8], now=NOW + number, stale=False, age=0.1)
            refresh.append(cpu_ms(lambda now=now: screen.show(now)))  # type: ignore[misc] # mypy: default of a lambda
            paint.append(cpu_ms(lambda: [grid.render_line(y) for y in range(grid.size.height)]))
            same.append(cpu_ms(lambda now=now: screen.show(now)))  # type: ignore[misc] # mypy: default of a lambda
        await pilot.pause(0.5)
        keys = []
        for _ in range(40):
            before, start = grid.cursor, time.perf_counter()
            app.post_message(events.Key("j", "j"))
            while grid.cursor == before:
                await asyncio.sleep(0)
            keys.append((time.perf_counter() - start) * 1000)
        report(f"refresh, {clusters} clusters all changing", refresh)
        report(f"paint, the {grid.size.height} lines on the screen", paint)
        report("refresh and paint", [a + b for a, b in zip(refresh, paint, strict=True)])
        report("refresh when nothing changed", same)
        report("key to cursor (wall)", keys)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
