"""The Probes screen under a pilot: how each source is watched, filtered, opened, and bounded."""

from __future__ import annotations

from dataclasses import replace

from core.model import Kind
from core.snapshot import Snapshot
from tests.tui.harness import console
from tests.tui.scripted import NOW, ScriptedClient, cluster, fleet, snapshot
from tui import probes
from tui.filters import parse
from tui.screens.cluster import ClusterScreen


def measured() -> Snapshot:
    """Osaka's first node with all that its watch can tell of itself."""
    seen = fleet()
    osaka = seen.clusters[1]
    node = replace(osaka.sources[0], tick=0.05, late=0.0121, cost=0.84, heard_at=NOW - 3,
                   periods=((Kind.CONTAINERS, 1.0), (Kind.RUNTIME, 0.25)))  # fmt: skip
    osaka = replace(osaka, sources=(node, *osaka.sources[1:]))
    return replace(seen, clusters=(seen.clusters[0], osaka, *seen.clusters[2:]))


async def test_each_source_says_what_is_driven_by_events_what_is_polled_and_what_it_costs() -> None:
    async with console(ScriptedClient(measured()), (160, 40)) as bench:
        await bench.press("4")
        await bench.see("32 sources, 4 not well", "lateness p99 12ms at worst", "cost 0.84% of a core at most")
        first = next(text for text in bench.text.splitlines() if "osaka" in text and "node1" in text)
        for part in ("✖ FAIL", "bash", "3s", "50ms", "12ms", "0.84%", "routes; containers 1s runtime 250ms"):
            assert part in first, part


async def test_the_source_under_the_cursor_shows_its_checks_and_enter_opens_its_cluster() -> None:
    async with console(ScriptedClient(measured()), (120, 40)) as bench:
        await bench.press("4")
        await bench.see("osaka/node1", "every 1s", "container web is Exited (137)")
        await bench.press("enter")
        await bench.until(lambda: isinstance(bench.app.screen, ClusterScreen), "the cluster")
        await bench.see("osaka")


async def test_the_sources_are_filtered_by_kind_cluster_and_state() -> None:
    async with console(ScriptedClient(measured()), (120, 40)) as bench:
        await bench.press("4", "slash")
        await bench.type("cluster:osaka kind:routes")
        await bench.press("enter")
        await bench.see("2 sources, 1 not well", "filter")
        await bench.press("f")
        await bench.see("1 source, 1 not well", "faults only")
        await bench.press("f", "escape")
        await bench.see("32 sources")
        await bench.press("slash")
        await bench.type("nosuch")
        await bench.see("Nothing matches.")


def test_of_ten_thousand_sources_the_worst_are_shown() -> None:
    many = snapshot(*(cluster(f"c{n:04}", number=1) for n in range(2500)))
    bad = fleet().clusters[1]
    found = probes.select(replace(many, clusters=(*many.clusters, bad)), parse(""), False)
    assert len(found) == 10_004
    assert (found[0].cluster, found[0].source.name) == ("osaka", "node1")
    said = "".join(text for text, _ in probes.summary(found, probes.SHOWN_AT_MOST))
    assert "10004 sources, 1 not well" in said
    assert f"the first {probes.SHOWN_AT_MOST} are shown" in said
