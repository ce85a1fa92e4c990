"""Acting under a pilot: the targets, the dialog, what must be typed, refusals, undo."""

from __future__ import annotations

import pytest
from textual.widgets import Button, Input

from core.model import Action
from core.snapshot import ClusterState
from tests.tui.harness import console
from tests.tui.scripted import NOW, ScriptedClient, cluster, fleet, history, snapshot


def client() -> ScriptedClient:
    return ScriptedClient(fleet(), history())


def three() -> ScriptedClient:
    return ScriptedClient(snapshot(*(cluster(name, number=n) for n, name in enumerate(("a", "b", "c"), 1))))


async def test_drain_is_two_keys_and_carries_what_was_seen() -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("D")
        await bench.dialog()
        await bench.see("Drain a", "192.0.2.1 192.0.2.2 192.0.2.3", "→ 192.0.2.2 192.0.2.3", "- 192.0.2.1", "2 of 3 clusters", "10s after")  # fmt: skip
        assert not engine.orders
        await bench.press("y")
        await bench.closed()
        order = engine.orders[0]
        assert (order.action, order.clusters, order.who, order.force) == (Action.DRAIN, ("a",), "me", False)
        assert order.expected == (("a", 1),)
        assert order.until is None
        assert order.key
        assert bench.toasts == ["a: drain accepted"]


@pytest.mark.parametrize("way", ["enter", "escape"])
async def test_cancel_has_the_focus_and_does_nothing(way: str) -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("D")
        dialog = await bench.dialog()
        assert dialog.focused is dialog.query_one("#cancel", Button)
        await bench.press(way)
        await bench.closed()
        assert not engine.sent


async def test_reason_and_end_are_sent() -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("D")
        dialog = await bench.dialog()
        dialog.query_one("#why", Input).focus()
        await bench.type("my kernel")
        await bench.fill("lasts", "30m")
        await bench.press("enter")
        await bench.closed()
        assert engine.orders[0].why == "my kernel"
        assert engine.orders[0].until == pytest.approx(NOW + 1800, abs=1)


async def test_an_unreadable_end_is_not_sent() -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("D")
        await bench.dialog()
        for wrong in ("soon", "0s", "-5m"):
            await bench.fill("lasts", wrong)
            await bench.press("y")
            assert "write 90s, 30m or 2h" in bench.text
        assert not engine.sent


async def test_an_erase_needs_the_name_to_be_typed() -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("E")
        dialog = await bench.dialog()
        await bench.press("y")
        assert dialog.query_one("#go", Button).disabled
        await bench.press("tab")
        assert dialog.focused is dialog.query_one("#typed", Input)
        await bench.type("b")
        await bench.press("enter")
        assert not engine.sent
        await bench.press("backspace")
        await bench.type("a")
        assert not dialog.query_one("#go", Button).disabled
        await bench.press("enter")
        await bench.closed()
        assert engine.orders[0].action is Action.ERASE


async def test_several_targets_need_their_number_and_lose_their_marks_when_done() -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("space", "space", "D")
        await bench.dialog()
        await bench.see("Drain 2 clusters", "type 2")
        await bench.fill("typed", "2")
        await bench.pilot.click("#go")
        await bench.closed()
        assert engine.orders[0].clusters == ("a", "b")
        assert not bench.fleet.grid.marks


async def test_what_the_engine_calls_grave_is_typed_though_it_is_one_drain() -> None:
    engine = three()
    engine.grave = True
    async with console(engine) as bench:
        await bench.press("D")
        dialog = await bench.dialog()
        assert dialog.query("#typed")
        await bench.press("y")
        assert not engine.sent


async def test_the_target_is_fixed_however_the_fleet_is_sorted_while_the_dialog_is_open() -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("D")
        await bench.dialog()
        engine.change("c", state=ClusterState.ABNORMAL)
        await bench.until(lambda: bench.keys[0] == "c", "c on top")
        assert "Drain a" in bench.text
        await bench.press("y")
        await bench.closed()
        assert engine.orders[0].clusters == ("a",)


async def test_a_target_that_changed_meanwhile_shows_itself_again_and_says_what_changed() -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("D")
        await bench.dialog()
        await bench.fill("why", "kernel")
        engine.change("a", state=ClusterState.ERASED)
        await bench.press("y")
        await bench.see("CHANGED MEANWHILE", "a was ● OK, is ✖ ERASED")
        assert not engine.orders
        assert bench.app.screen.query_one("#why", Input).value == "kernel"
        await bench.press("y")
        await bench.closed()
        assert [order.expected for order in engine.sent] == [(("a", 1),), (("a", 2),)]
        assert engine.orders[0].why == "kernel"
        assert engine.sent[0].key != engine.sent[1].key


async def test_a_refused_order_needs_name_and_reason_to_break_the_glass() -> None:
    engine = three()
    engine.refuse = "below min_healthy"
    async with console(engine) as bench:
        await bench.press("D")
        dialog = await bench.dialog()
        await bench.see("REFUSED", "below min_healthy", "Break the glass: drain")
        await bench.press("y")
        await bench.fill("typed", "a")
        await bench.press("tab", "enter")
        assert not engine.sent
        assert "a reason is needed" in bench.text
        await bench.fill("why", "the building burns")
        assert not dialog.query_one("#go", Button).disabled
        await bench.pilot.click("#go")
        await bench.closed()
        assert engine.orders[0].force
        assert engine.orders[0].why == "the building burns"


async def test_a_refusal_that_no_preview_foretold_comes_back_as_the_reason() -> None:
    engine = three()

    async with console(engine) as bench:
        await bench.press("D")
        await bench.dialog()
        engine.before_order = lambda: setattr(engine, "refuse", "frozen by bob")
        await bench.press("y")
        await bench.see("REFUSED", "frozen by bob")
        await bench.press("escape")
        await bench.closed()
        assert not engine.orders


async def test_restore_of_a_cluster_that_still_fails_says_so() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("R")
        await bench.dialog()
        await bench.see("osaka still fails (internal 8/9)", "(unchanged)")
        await bench.press("y")
        await bench.closed()
        assert engine.orders[0].action is Action.RESTORE


async def test_an_engine_that_goes_while_the_dialog_is_open_leaves_it_open() -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("D")
        await bench.dialog()
        engine.stop()
        await bench.press("y")
        await bench.until(lambda: bool(bench.toasts), "a toast")
        assert "no pointsman answers" in bench.toasts[0]
        await bench.dialog()
        engine.start()
        await bench.press("y")
        await bench.closed()
        assert len(engine.orders) == 1


async def test_a_verb_without_an_engine_says_so_and_opens_nothing() -> None:
    engine = three()
    async with console(engine) as bench:
        engine.stop()
        await bench.press("D")
        await bench.until(lambda: bool(bench.toasts), "a toast")
        assert bench.app.screen is bench.fleet


async def test_undo_is_a_new_order_with_its_own_dialog_and_goes_further_back_each_time() -> None:
    engine = three()
    async with console(engine) as bench:
        await bench.press("U")
        await bench.until(lambda: bool(bench.toasts), "a toast")
        assert "no order here" in bench.toasts[0]
        for key in ("D", "j", "D"):
            await bench.press(key)
            if key == "D":
                await bench.dialog()
                await bench.press("y")
                await bench.closed()
        second = engine.orders[1].clusters
        await bench.press("U")
        await bench.dialog()
        await bench.see(f"Restore {second[0]}")
        await bench.press("escape")
        await bench.closed()
        assert len(engine.orders) == 2
        for _ in range(2):
            await bench.press("U")
            await bench.dialog()
            await bench.press("y")
            await bench.closed()
        undone = engine.orders[2:]
        assert [order.action for order in undone] == [Action.RESTORE, Action.RESTORE]
        assert [order.clusters for order in undone] == [second, ("a",)]


async def test_undo_of_a_restore_brings_the_override_back_with_its_end() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("slash")
        await bench.type("berlin")
        await bench.press("enter", "R")
        await bench.dialog()
        await bench.press("y")
        await bench.closed()
        await bench.press("U")
        await bench.dialog()
        await bench.see("Drain berlin")
        await bench.press("y")
        await bench.closed()
        assert engine.orders[1].until == pytest.approx(NOW + 1500, abs=2)


async def test_verbs_never_toggle() -> None:
    engine = three()
    async with console(engine) as bench:
        for _ in range(2):
            await bench.press("D")
            await bench.dialog()
            await bench.press("y")
            await bench.closed()
        assert [order.action for order in engine.orders] == [Action.DRAIN, Action.DRAIN]


async def test_two_consoles_acting_on_one_cluster_do_not_overrule_each_other_unseen() -> None:
    engine = three()
    async with console(engine) as mine:
        await mine.press("E")
        await mine.dialog()
        await mine.fill("typed", "a")
        engine.change("a", state=ClusterState.DRAINED)
        await mine.pilot.click("#go")
        await mine.see("CHANGED MEANWHILE", "is ▽ DRAINED")
        assert not engine.orders
        assert mine.app.screen.query_one("#typed", Input).value == ""


async def test_the_verbs_of_the_cluster_screen_act_on_that_cluster() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("enter", "D")
        await bench.dialog()
        await bench.see("Drain osaka")


async def test_a_long_dialog_scrolls_and_its_buttons_stay_on_an_80x24_screen() -> None:
    engine = ScriptedClient(snapshot(*(cluster(f"c{n:02}", number=n) for n in range(60))))
    async with console(engine, (80, 24)) as bench:
        await bench.press("asterisk", "E")
        await bench.dialog()
        await bench.see("type 60", "Cancel", "Break the glass", "reason")
