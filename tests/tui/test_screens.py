"""The other screens and dialogs under a pilot: cluster, DNS, events, help, palette, leaving."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Input

from core.errors import NotRunning
from core.model import Action, Event, EventName, HandKind, Verdict
from core.snapshot import ClusterState, HandView
from tests.tui.harness import console
from tests.tui.scripted import NOW, ScriptedClient, fleet, history
from tui import keymap
from tui.app import EXIT_STOP, PaletteCommand
from tui.details import matrix, membership_line
from tui.screens.help import HelpScreen
from tui.screens.leave import LeaveScreen
from tui.text import plain
from tui.widgets.grid import Grid
from tui.widgets.lines import LineView


def client() -> ScriptedClient:
    return ScriptedClient(fleet(), history())


async def test_the_cluster_screen_shows_the_chain_the_checks_and_what_was_said() -> None:
    async with console(client(), (160, 60)) as bench:
        await bench.press("enter")
        await bench.see(
            "check → verdict → decision → answer", "07:59:48.000", "+9 ms", "svc1.net. and svc2.net. answer without it",
            "containers routes", "✖ FAIL", "weight   0%  shop/web-1", "LAST RESULTS", "node1/containers  ×3",
            "container web is Exited (137)", "WATCHED BY", "bash · heard", "ITS EVENTS", "first clean answer",
        )  # fmt: skip


def test_a_node_whose_pod_fails_is_not_shown_as_well() -> None:
    osaka = fleet().clusters[1]
    checks_well = tuple(
        replace(source, checks=tuple(replace(check, verdict=Verdict.OK) for check in source.checks))
        for source in osaka.sources
    )
    lines = [plain(spans) for spans in matrix(replace(osaka, sources=checks_well), 76)]
    assert [line.split()[1] for line in lines if line.startswith(("node1", "node2"))] == ["✖", "●"]


def test_a_drained_cluster_is_out_by_hand_and_not_serving() -> None:
    member = replace(fleet().clusters[0].memberships[0], in_dns=False)
    text = "\n".join(plain(spans) for spans in membership_line(member, "tokyo", 8, NOW, 76))
    assert "by hand" in text
    assert "serving" not in text


async def test_a_narrow_cluster_screen_has_the_same_parts_one_under_the_other() -> None:
    async with console(client(), (80, 24)) as bench:
        await bench.press("enter")
        await bench.see("WHY")
        document = "\n".join(plain(spans) for spans in bench.app.screen.query_one("#body", LineView).lines)
        for part in ("WHY", "CHECKS", "NAMES", "PODS", "LAST RESULTS", "WATCHED BY", "ITS EVENTS"):
            assert part in document
        await bench.press("G")
        await bench.see("fault seen")
        await bench.press("g", "j")
        assert bench.app.screen.query_one("#body", LineView).scroll_y == 1


async def test_a_step_that_was_not_reached_says_so() -> None:
    async with console(client(), (100, 40)) as bench:
        await bench.press("j", "enter")
        await bench.see("dallas", "not reached")


async def test_only_the_open_cluster_is_asked_for_whole() -> None:
    engine = client()
    async with console(engine) as bench:
        assert engine.looked_at == frozenset()
        await bench.press("enter")
        await bench.until(lambda: engine.looked_at == frozenset({"osaka"}), "the open cluster")
        await bench.press("4")
        await bench.until(lambda: engine.looked_at is None, "every source")
        await bench.press("1")
        await bench.until(lambda: engine.looked_at == frozenset(), "the counts alone")


async def test_a_cluster_whose_nodes_are_on_their_way_does_not_claim_to_have_none() -> None:
    engine = client()
    engine.change("osaka", sources=())
    async with console(engine) as bench:
        await bench.press("enter")
        await bench.see("Asking for the nodes of osaka …")
        assert "it has no checks" not in bench.text


async def test_a_cluster_that_is_gone_from_the_settings_says_so() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("enter")
        engine.push(clusters=tuple(c for c in engine.now.clusters if c.name != "osaka"))
        await bench.see("There is no cluster osaka any more.")


async def test_stale_documents_are_under_a_banner() -> None:
    async with console(client(), (100, 40)) as bench:
        for keys in (("enter",), ("2",)):
            await bench.press(*keys)
            bench.time.now += 3
            await bench.see("what follows is only what was known last")


async def test_the_dns_screen_says_for_each_name_who_is_in_and_why() -> None:
    async with console(client(), (120, 40)) as bench:
        await bench.press("2")
        await bench.see("svc1.net.  all · ttl 5 s", "✖ osaka", "● tokyo    in 100%", "serial 42", "NXDOMAIN 110")
        assert any("✖ osaka" in line and "Exited (137)" in line for line in bench.text.splitlines())


async def test_who_has_not_confirmed_stands_first_on_the_dns_screen_and_on_its_clusters() -> None:
    hands = (
        HandView("ns2", HandKind.SECONDARY, "", "192.0.2.53:53", 42, 42, NOW - 60, "serial 42"),
        HandView("ns3", HandKind.SECONDARY, "", "192.0.2.54:53", 42, 41, NOW - 7, "net.: does not answer for it"),
        HandView("router", HandKind.ROUTER, "osaka", "192.0.2.11:9999", 42, 0, NOW - 12, "connection refused"),
    )
    engine = ScriptedClient(replace(fleet(), hands=hands))
    async with console(engine, (120, 40)) as bench:
        await bench.press("2")
        await bench.see(
            "1 of 3 have confirmed", "✖ not yet", "serial 41 of 42 · for 7s", "does not answer for it", "● yes"
        )
        lines = [line for line in bench.text.splitlines() if "not yet" in line or "● yes" in line]
        assert ["not yet" in line for line in lines] == [True, True, False]
        await bench.press("escape")
        bench.app.open_cluster("osaka")
        await bench.see("CONFIRMED BY", "router (router)", "connection refused")
        assert "ns3" not in bench.text


async def test_any_question_can_be_asked_also_as_if_clusters_were_erased() -> None:
    engine = client()
    async with console(engine, (120, 40)) as bench:
        await bench.press("2", "a")
        await bench.type("svc1.net a without tokyo, dallas")
        await bench.press("enter")
        await bench.see("ASKED  svc1.net. A", "as if tokyo, dallas were erased", "- svc1.net. 5 IN A 192.0.2.10")
        assert engine.asked == [("svc1.net", "A", ()), ("svc1.net", "A", ("tokyo", "dallas"))]
        await bench.press("a")
        await bench.fill("ask", "nowhere.net")
        await bench.press("enter")
        await bench.see("NXDOMAIN", "authority  net. 5 IN SOA")


async def test_a_question_to_an_engine_that_is_gone_is_answered_with_a_line() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("2")
        engine.stop()
        await bench.press("a")
        await bench.fill("ask", "svc1.net")
        await bench.press("enter")
        await bench.until(lambda: bool(bench.toasts), "a toast")


async def test_the_events_are_followed_until_the_cursor_leaves_the_newest() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("3")
        await bench.see("following", "5 of 5 events")
        grid = bench.app.screen.query_one("#body", Grid)
        assert grid.cursor == 4
        await bench.press("k")
        await bench.see("not following")
        engine.push(Event(EventName.RECOVERED, NOW + 5, "osaka"))
        await bench.see("6 of 6 events")
        assert grid.cursor == 3
        await bench.press("G")
        await bench.until(lambda: "not following" not in bench.text, "following")
        engine.push(Event(EventName.ADDRESS_RESTORED, NOW + 6, "osaka"))
        await bench.until(lambda: grid.cursor == 6, "the newest event")


async def test_events_are_filtered_and_shown_whole() -> None:
    async with console(client()) as bench:
        await bench.press("3", "slash")
        await bench.type("event:address !tokyo")
        await bench.press("enter")
        await bench.see("1 of 5 events", "cause    node1/containers: shop/web-1", "serial   42")
        await bench.press("escape")
        await bench.see("5 of 5 events")


async def test_an_event_is_never_shown_twice_after_a_reconnect() -> None:
    engine = client()
    async with console(engine) as bench:
        engine.stop()
        await bench.see("STALE")
        engine.start()
        engine.push(Event(EventName.RECOVERED, NOW + 5, "osaka"))
        await bench.until(lambda: engine.connects == 2, "a new connection")
        await bench.press("3")
        await bench.see("6 of 6 events")


@pytest.mark.parametrize("keys", [("1",), ("enter",), ("2",), ("3",)])
async def test_help_lists_every_binding_of_the_screen(keys: tuple[str, ...]) -> None:
    async with console(client(), (120, 60)) as bench:
        await bench.press(*keys)
        active = bench.app.screen.active_bindings
        await bench.press("question_mark")
        page = bench.app.screen
        assert isinstance(page, HelpScreen)
        lines = [plain(spans) for spans in page.help_lines()]
        for item in active.values():
            text = item.tooltip or item.binding.description
            key = bench.app.get_key_display(item.binding)
            if text:
                assert any(text in shown and key in shown.split(text)[0].split() for shown in lines), (key, text)
        await bench.press("escape")
        assert not isinstance(bench.app.screen, HelpScreen)


async def test_a_remapped_key_works_is_in_the_help_and_replaces_the_old_one() -> None:
    engine = client()
    async with console(engine, keys={"drain": "ctrl+d", "nonsense": "x"}) as bench:
        assert any("there is no action 'nonsense'" in toast for toast in bench.toasts)
        await bench.press("D")
        await bench.pilot.pause(0.1)
        assert bench.app.screen is bench.fleet
        await bench.press("question_mark")
        assert isinstance(bench.app.screen, HelpScreen)
        assert any(plain(spans).startswith("^d") for spans in bench.app.screen.help_lines())
        await bench.press("escape", "ctrl+d")
        await bench.dialog()


@pytest.mark.parametrize("key", ["colon", "ctrl+p"])
async def test_the_palette_has_every_action_and_the_callers_entries(key: str) -> None:
    ran: list[str] = []

    async def fault() -> str:
        ran.append("fault")
        return "tokyo: [containers] broken"

    async with console(client(), commands=(PaletteCommand("lab break tokyo", "Kill [it]", fault),)) as bench:
        await bench.press(key)
        await bench.type("lab break")
        await bench.until(lambda: "Kill [it]" in bench.text and "Theme" not in bench.text, "the one entry")
        await bench.press("enter")
        await bench.until(lambda: bool(bench.toasts), "a toast")
        assert ran == ["fault"]
        assert bench.toasts == ["tokyo: [containers] broken"]


async def test_an_entry_that_fails_becomes_a_toast() -> None:
    async def fault() -> str:
        raise NotRunning("the lab is gone")

    async with console(client(), commands=(PaletteCommand("lab break", "", fault),)) as bench:
        bench.app.run_command(bench.app.commands[0])
        await bench.until(lambda: bool(bench.toasts), "a toast")
        assert bench.toasts == ["lab break: the lab is gone"]


async def test_freeze_goes_through_the_palette_and_its_dialog() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("colon")
        await bench.type("Freeze auto")
        await bench.until(lambda: "Freeze automatic" in bench.text and "Theme" not in bench.text, "the one entry")
        await bench.press("enter")
        await bench.dialog()
        await bench.see("No automatic change any more")
        await bench.press("y")
        await bench.closed()
        assert engine.orders[0].action is Action.FREEZE
        await bench.see("FROZEN")


async def test_a_read_only_palette_has_no_verbs() -> None:
    async with console(client(), (100, 120), read_only=True) as bench:
        await bench.press("colon")
        await bench.see("Theme: light")
        for verb in ("Drain (", "Erase (", "Restore (", "Undo (", "Freeze auto", "Thaw auto"):
            assert verb not in bench.text


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_an_attached_console_just_leaves(key: str) -> None:
    async with console(client(), attached=True) as bench:
        await bench.press(key)
        await bench.until(lambda: bench.app.return_value is not None, "the end")
        assert bench.app.return_value == 0


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_leaving_stops_the_service_of_this_process_only_when_stop_is_typed(key: str) -> None:
    async with console(client(), attached=False) as bench:
        await bench.press(key)
        assert isinstance(bench.app.screen, LeaveScreen)
        await bench.see("THIS STOPS DNS", "127.0.0.1:5300")
        await bench.type("yes")
        await bench.press("enter", "ctrl+q")
        assert bench.app.return_value is None
        await bench.press("escape")
        await bench.until(lambda: bench.app.screen == bench.fleet, "the fleet")
        await bench.press(key)
        await bench.type("stop")
        await bench.press("enter")
        await bench.until(lambda: bench.app.return_value is not None, "the end")
        assert bench.app.return_value == EXIT_STOP


async def test_q_in_a_line_of_input_is_a_letter() -> None:
    async with console(client(), attached=True) as bench:
        await bench.press("2", "a", "q")
        assert bench.app.screen.query_one("#ask", Input).value == "q"


async def test_numbers_go_from_any_screen_to_any_other() -> None:
    async with console(client()) as bench:
        await bench.press("enter", "3", "2", "1")
        assert bench.app.screen is bench.fleet
        assert len(bench.app.screen_stack) == 1


async def test_a_dialog_keeps_the_screen_behind_it_alive() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("question_mark")
        engine.change("tokyo", state=ClusterState.ABNORMAL)
        await bench.until(lambda: bench.keys[0] == "tokyo", "tokyo on top")


def test_lower_case_looks_and_upper_case_acts() -> None:
    for table in (keymap.APP, keymap.FLEET, keymap.CLUSTER, keymap.DNS, keymap.EVENTS):
        for command in table:
            keys = command.keys.split(",")
            acts = command.id in keymap.ACTS
            assert all(key.isupper() == acts for key in keys if len(key) == 1 and key.isalpha()), command


def test_no_key_is_taken_twice_on_a_screen() -> None:
    for table in (keymap.FLEET, keymap.CLUSTER, keymap.DNS, keymap.EVENTS):
        keys = [key for command in (*table, *keymap.APP, *keymap.LINES) for key in command.keys.split(",")]
        assert len(keys) == len(set(keys))
