"""What each screen shows, to the character, at the sizes that operators have; and that nothing rests on colour.

The expected texts are in ``tests/tui/screens``. After a wanted change: ``POINTSMAN_SCREENS=write python -m pytest
tests/tui/test_appearance.py``, and read the difference before committing it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from core.model import HandKind
from core.snapshot import ClusterState, HandView
from tests.tui.harness import console
from tests.tui.scripted import NOW, ScriptedClient, fleet, history

SIZES = ((80, 24), (120, 40), (200, 50))
SCREENS = {
    "fleet": (),
    "wide": ("w",),
    "cluster": ("enter",),
    "dns": ("2",),
    "events": ("3",),
    "probes": ("4",),
    "help": ("question_mark",),
    "erase": ("E",),
}
EXPECTED = Path(__file__).with_name("screens")


def engine() -> ScriptedClient:
    """The fleet with a quarter of an hour of latency and a secondary that lags."""
    waves = tuple([0.0008 * (1 + n % 7) ** 2 for n in range(40)] + [-1.0] * 4 + [0.03] * 14 + [None] * 2)
    seen = fleet()
    clusters = tuple(
        replace(one, latency=waves if one.state is not ClusterState.SILENT else (-1.0,) * 60) for one in seen.clusters
    )
    hands = (
        HandView("ns2", HandKind.SECONDARY, "", "192.0.2.53:53", 42, 41, NOW - 3, "it has serial 41"),
        HandView("ns3", HandKind.SECONDARY, "", "192.0.2.54:53", 42, 42, NOW - 11, "it has serial 42"),
    )
    return ScriptedClient(replace(seen, clusters=clusters, hands=hands), history())


def same(name: str, text: str) -> None:
    path = EXPECTED / f"{name}.txt"
    if os.environ.get("POINTSMAN_SCREENS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8"), f"{path.name} is not what the screen shows"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", SCREENS)
async def test_a_screen_is_as_it_was_looked_at(screen: str, size: tuple[int, int]) -> None:
    async with console(engine(), size) as bench:
        await bench.press(*SCREENS[screen])
        if screen == "erase":
            await bench.dialog()
        await bench.pilot.pause(0.1)
        same(f"{screen}-{size[0]}x{size[1]}", bench.text)


@pytest.mark.parametrize("screen", SCREENS)
async def test_a_terminal_that_has_only_ascii_gets_only_that(screen: str) -> None:
    async with console(engine(), (120, 40), ascii=True) as bench:
        await bench.press(*SCREENS[screen])
        await bench.pilot.pause(0.1)
        assert bench.text.isascii(), [c for c in bench.text if not c.isascii()]
        same(f"{screen}-ascii-120x40", bench.text)


async def test_without_colour_the_states_are_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with console(engine(), (120, 40)) as bench:
        same("fleet-120x40", bench.text)
        styles = {segment.style for strip in bench.app.screen._compositor.render_strips() for segment in strip}
        colours = {style.color.triplet for style in styles if style and style.color and style.color.triplet}
        assert all(len(set(triplet)) == 1 for triplet in colours), "only greys are left"
        for word in ("✖ ERASED", "? SILENT", "◐ DEGRADED", "↗ RAMPING", "▽ DRAINED", "● OK"):
            assert word in bench.text


async def test_a_terminal_that_changes_its_size_and_comes_back_shows_the_same_plot() -> None:
    async with console(engine(), (200, 50)) as bench:
        await bench.press("enter")
        await bench.see("router's answer times, ms")
        before = bench.text
        for size in ((80, 24), (130, 45), (200, 50)):
            await bench.pilot.resize_terminal(*size)
            await bench.pilot.pause(0.1)
        assert bench.text == before
