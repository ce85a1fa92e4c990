"""Events beyond those that the console holds: fetched at the first line, and gone to by time."""

from __future__ import annotations

import pytest

from core.errors import NotRunning
from core.model import Event, EventName
from tests.tui.harness import Bench, console
from tests.tui.scripted import NOW, ScriptedClient, fleet
from tui.feed import EVENTS_KEPT
from tui.screens.events import EventsScreen

LONG = 4200


def long_history() -> list[Event]:
    """An event a minute up to now, numbered from 1; every tenth is a fault of tokyo."""
    names = (EventName.FAULT_SEEN,) + (EventName.RECOVERED,) * 9
    return [
        Event(names[n % 10], NOW - 60 * (LONG - n), "tokyo" if n % 10 == 0 else "osaka", cause=f"number {n}", id=n)
        for n in range(1, LONG + 1)
    ]


def under_cursor(bench: Bench) -> Event:
    screen = bench.app.screen
    assert isinstance(screen, EventsScreen)
    return screen._events[screen.grid.cursor]


async def test_at_the_first_line_older_events_come_until_the_history_begins() -> None:
    async with console(ScriptedClient(fleet(), long_history()), (120, 40)) as bench:
        await bench.press("3")
        await bench.see(f"{EVENTS_KEPT} of {EVENTS_KEPT} events")
        await bench.press("g")
        await bench.see("2500 of 2500 events", "not following")
        assert under_cursor(bench).id == LONG - EVENTS_KEPT + 1, "the cursor stays with its event"
        for held in (3000, 3500, 4000, 4200):
            await bench.press("g")
            await bench.see(f"{held} of {held} events")
        await bench.press("g")
        await bench.see("the history begins here")
        assert under_cursor(bench).id == 1


async def test_a_time_before_what_is_held_is_gone_to() -> None:
    async with console(ScriptedClient(fleet(), long_history()), (120, 40)) as bench:
        await bench.press("3", "t")
        await bench.type("3000m")
        await bench.press("enter")
        await bench.until(lambda: under_cursor(bench).id == LONG - 3000, "the event of that time")
        await bench.press("t")
        await bench.type("5m")
        await bench.press("enter")
        await bench.until(lambda: under_cursor(bench).id == LONG - 5, "the event of that time")
        await bench.press("t")
        await bench.type("soon")
        await bench.press("enter")
        assert any("'soon' is no time" in toast for toast in bench.toasts)
        await bench.press("t", "escape")
        assert isinstance(bench.app.screen, EventsScreen), "escape closes the line first"


async def test_a_filter_goes_back_until_something_matches() -> None:
    events = long_history()
    events[99] = Event(EventName.FROZEN, events[99].at, who="ann", id=100)
    async with console(ScriptedClient(fleet(), events), (120, 40)) as bench:
        await bench.press("3", "g", "slash")
        await bench.type("event:frozen")
        await bench.press("enter", "escape", "g")
        await bench.press("slash")
        await bench.type("cluster:tokyo")
        await bench.press("enter", "g")
        await bench.until(lambda: under_cursor(bench).cluster == "tokyo", "a fault of tokyo")


async def test_an_engine_that_is_gone_says_so_and_keeps_what_is_there() -> None:
    client = ScriptedClient(fleet(), long_history())
    async with console(client, (120, 40)) as bench:
        await bench.press("3")
        await bench.see(f"{EVENTS_KEPT} of")
        client.stop()
        await bench.press("g")
        await bench.until(lambda: bool(bench.toasts), "a word about it")
        await bench.see(f"{EVENTS_KEPT} of {EVENTS_KEPT} events")
        with pytest.raises(NotRunning):
            await client.events()
