"""Replay under a pilot: a past incident on the same screens, from which nothing can be ordered."""

from __future__ import annotations

from dataclasses import replace

from core.model import Event, EventName
from core.snapshot import ClusterState
from tests.tui.harness import console
from tests.tui.scripted import NOW, ScriptedClient, cluster, fleet, history, snapshot
from tui.screens.events import EventsScreen


def engine() -> ScriptedClient:
    """One failure long ago, of which the screens showed tokyo erased; now all is well, and the last event is a reload."""
    past = snapshot(cluster("tokyo", ClusterState.ERASED, number=10), cluster("osaka", number=11))
    client = ScriptedClient(past, [*history(), Event(EventName.RELOADED, NOW - 1, id=6)])
    client.now = snapshot(cluster("tokyo", number=10), cluster("osaka", number=11))
    return client


async def test_the_last_incident_is_shown_as_it_was_and_p_goes_back_to_what_is_live() -> None:
    async with console(engine(), (120, 40)) as bench:
        assert "ERASED" not in bench.text
        await bench.press("ctrl+r")
        await bench.see(
            "REPLAY 2027-01-15 07:59:48.000 UTC", "fault seen · osaka", "event 1, 1 of 6", "✖ ERASED", "past"
        )
        await bench.press("p")
        await bench.until(lambda: "REPLAY" not in bench.text and "ERASED" not in bench.text, "what is live")


async def test_brackets_step_through_the_events_and_say_where_the_history_ends() -> None:
    async with console(engine(), (120, 40)) as bench:
        await bench.press("ctrl+r")
        await bench.see("event 1, 1 of 6")
        await bench.press("right_square_bracket")
        await bench.see("internal anomaly", "event 2, 2 of 6")
        await bench.press("left_square_bracket")
        await bench.see("event 1, 1 of 6")
        await bench.press("left_square_bracket")
        await bench.until(lambda: any("nothing further" in toast for toast in bench.toasts), "a toast")
        await bench.see("event 1, 1 of 6")


async def test_braces_go_from_incident_to_incident() -> None:
    client = engine()
    client.history.append(Event(EventName.OVERRIDE_SET, NOW, "osaka", who="ann", id=7))
    async with console(client, (120, 40)) as bench:
        await bench.press("ctrl+r")
        await bench.see("override set · osaka", "event 7, 7 of 7")
        await bench.press("left_curly_bracket")
        await bench.see("fault seen · osaka", "event 1, 1 of 7")
        await bench.press("right_curly_bracket")
        await bench.see("event 7, 7 of 7")


async def test_nothing_can_be_ordered_or_asked_from_the_past() -> None:
    client = engine()
    async with console(client, (120, 40)) as bench:
        await bench.press("ctrl+r")
        await bench.see("REPLAY")
        await bench.press("D", "E", "R", "U")
        assert "Drain" not in bench.text.splitlines()[-1]
        assert not client.previewed
        await bench.press("2", "a")
        assert not client.asked
        await bench.press("p", "1", "D")
        await bench.dialog()


async def test_enter_on_an_event_shows_the_screens_as_they_were_then() -> None:
    async with console(engine(), (120, 40)) as bench:
        await bench.press("3")
        await bench.until(lambda: isinstance(bench.app.screen, EventsScreen), "the events")
        await bench.press("g", "j", "enter")
        await bench.see("REPLAY", "event 2, 2 of 6")
        await bench.press("1")
        await bench.see("✖ ERASED")


async def test_what_was_not_kept_is_said_and_the_present_stays() -> None:
    client = engine()
    client.forgotten = {1}
    async with console(client, (120, 40)) as bench:
        await bench.press("ctrl+r")
        await bench.until(lambda: any("was not kept" in toast for toast in bench.toasts), "a toast")
        assert "REPLAY" not in bench.text


async def test_an_empty_history_has_nothing_to_replay() -> None:
    async with console(ScriptedClient(fleet())) as bench:
        await bench.press("ctrl+r")
        await bench.until(lambda: any("no incident" in toast for toast in bench.toasts), "a toast")
        await bench.press("right_square_bracket")
        await bench.until(lambda: any("Nothing is replayed" in toast for toast in bench.toasts), "a toast")


async def test_the_walk_goes_back_beyond_what_the_console_holds() -> None:
    client = engine()
    client.history = [replace(event, id=event.id + 10) for event in client.history]
    older = [Event(EventName.FAULT_SEEN, NOW - 900 + n, "tokyo", id=n) for n in range(1, 11)]
    async with console(client, (120, 40)) as bench:
        client.history = [*older, *client.history]
        await bench.press("ctrl+r")
        await bench.see("event 11, 1 of 6")
        await bench.press("left_square_bracket")
        await bench.see("fault seen · tokyo", "event 10, 10 of 16")
