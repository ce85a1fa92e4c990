"""CPU of the pure core and of a snapshot, without a network: ``make bench-deciding``. 200 clusters of five and of fifty nodes.

Each node has six checks and ten pods. What is measured is what the engine does on its loop: the first result of each check; a step of time in
which everybody was heard (40 a second); a result that says what is known, and its share of the step that takes half a second of them; a snapshot made
for the first time, and one half a second later, when each source was heard again and a twentieth of the checks have reported.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

from bench.scale import Size
from core import views
from core.detection.internal import is_known
from core.model import CheckId, Evidence, Kind, PodReport, SourceId, SourceKind
from core.restore import restore
from core.state import Gaps, Renewal, State, Tick
from core.step import step
from core.world import build

PODS = tuple(PodReport(f"default/web-{number}", "web", True, "running") for number in range(10))


def results(state: State, now: float) -> list[Evidence]:
    """A good one of every check."""
    made = []
    for plan in state.world.clusters.values():
        for source, expected in plan.expected.items():
            for kind in expected:
                names = {Kind.VSWITCH: ("process", "appctl"), Kind.MACHINE: [node.name for node in plan.nodes]}
                for name in names.get(kind, ("",)):
                    pods = PODS if kind is Kind.CONTAINERS else ()
                    made.append(Evidence(CheckId(source, kind, name), True, "as it should be", now, 0.01, None, pods))
    return made


def cost(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def measure(nodes: int) -> None:
    now = 1_000_000.0
    settings = Size(200, nodes).settings(Path("/nonexistent"), 8080, 0)
    state = restore(build(settings), {}, now)
    sources = [source for plan in state.world.clusters.values() for source in plan.sources]
    good = results(state, now)

    def first() -> None:
        nonlocal state
        for result in good:
            state, _ = step(state, result, now)

    def tick(at: float) -> float:
        nonlocal state
        gaps = Gaps(dict.fromkeys(sources, at), at)

        def work() -> None:
            nonlocal state
            state, _ = step(state, Tick(gaps), now + at)

        return cost(work)

    begin = cost(first) / len(good)
    tick(0.0)  # ends the first round
    gc.collect()
    gc.freeze()  # as core.app does
    times = sorted(tick(0.025 * number) for number in range(1, 101))
    again = [Evidence(r.check, True, r.said, now + 3, 0.01, None, r.pods) for r in good[::20]]
    known = cost(lambda: [is_known(state.clusters[r.check.cluster], r) for r in again]) / len(again)
    kept = views.Views()
    heard: dict[SourceId, float] = dict.fromkeys(sources, now)
    whole = cost(lambda: [*kept.clusters(state, views.Heard(now, now, heard))])

    def renewed() -> None:
        nonlocal state
        state, _ = step(state, Renewal(tuple(again)), now + 3)

    renewal = cost(renewed) / len(again)
    later = {source: now + 3 for source in heard if source.kind is not SourceKind.MACHINE}
    next_one = cost(lambda: [*kept.clusters(state, views.Heard(now + 3, now, later))])
    print(f"200 clusters x {nodes} nodes, {len(good):,} checks")
    print(f"  a first result               {begin * 1e6:8.1f} µs")
    print(
        f"  a result that is known       {known * 1e6:8.1f} µs when it comes, {renewal * 1e6:.1f} µs in the step that takes it"
    )
    print(
        f"  a step of time               {times[50] * 1e3:8.2f} ms ({times[-1] * 1e3:.1f} at most): {times[50] * 40:.1%} of a core"
    )
    print(f"  a snapshot                   {whole * 1e3:8.1f} ms the first, {next_one * 1e3:.1f} half a second later")


if __name__ == "__main__":
    for size in (5, 50):
        measure(size)
