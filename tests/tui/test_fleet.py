"""The Fleet screen under a pilot: keys, filter, order, marks, stale data, what a small terminal shows."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.model import Event, EventName
from core.snapshot import ClusterState, Freeze
from tests.tui.harness import Bench, console
from tests.tui.scripted import NOW, ScriptedClient, cluster, fleet, history, snapshot
from tui.screens.cluster import ClusterScreen
from tui.screens.fleet import FleetScreen
from tui.widgets.lines import LineView


def client() -> ScriptedClient:
    return ScriptedClient(fleet(), history())


async def test_at_80x24_nothing_essential_is_cut_off() -> None:
    engine = client()
    engine.now = replace(
        engine.now, installation="production-frankfurt", production=True, frozen=Freeze("ann", "w" * 200, NOW),
        fail_open=("svc1.net.",), suspect_self="s" * 200, shadow=True, starting=True, trouble=("t" * 200,),
    )  # fmt: skip
    async with console(engine, (80, 24)) as bench:
        lines = bench.text.splitlines()
        assert len(lines) == 24
        for word in ("production-frankfurt", "PRODUCTION", "FROZEN", "FAIL-OPEN", "SUSPECT SELF", "SHADOW", "STARTING", "TROUBLE", "live"):  # fmt: skip
            assert word in bench.text
        row = next(line for line in lines if "osaka" in line)
        assert "✖ ERASED" in row
        assert "8/9" in row
        assert "1/1" in row
        assert " out " in row
        assert sum(name in "\n".join(lines[:15]) for name in bench.keys) >= 4, "too few rows are left for the fleet"
        for verb in ("Drain", "Erase", "Restore", "help", "leave"):
            assert verb in lines[-1]


async def test_the_longest_words_fit_their_columns_at_80_cells() -> None:
    name = "cluster-long-name"
    engine = ScriptedClient(snapshot(*(cluster(f"{name}-{n}", state) for n, state in enumerate(ClusterState))))
    async with console(engine, (80, 30)) as bench:
        for word in ("ABNORMAL", "ERASED", "RECOVERING", "DEGRADED", "HELD OUT", "DRAINED", "STARTING"):
            assert any(word in line and "cluster-lon…" in line for line in bench.text.splitlines()), word


async def test_a_wider_terminal_shows_more_columns() -> None:
    async with console(client(), (80, 24)) as bench:
        assert "P95" not in bench.text
    async with console(client(), (160, 50)) as bench:
        for column in ("FAILS", "P95", "TAGS", "OVERRIDE"):
            assert column in bench.text
        assert "drain by ann" in bench.text


async def test_the_cursor_moves_with_j_k_g_and_shift_g_and_stops_at_the_ends() -> None:
    async with console(client()) as bench:
        grid, keys = bench.fleet.grid, bench.keys
        await bench.press("k")
        assert grid.key == keys[0]
        await bench.press("j", "down")
        assert grid.key == keys[2]
        await bench.press("k")
        assert grid.key == keys[1]
        await bench.press("G")
        assert grid.key == keys[-1]
        await bench.press("j")
        assert grid.key == keys[-1]
        await bench.press("g")
        assert grid.key == keys[0]


async def test_pages_move_by_what_is_visible() -> None:
    engine = ScriptedClient(snapshot(*(cluster(f"c{n:03}") for n in range(100))))
    async with console(engine, (80, 24)) as bench:
        grid = bench.fleet.grid
        await bench.press("pagedown")
        assert grid.cursor == grid.visible_lines - 1
        await bench.press("pageup")
        assert grid.cursor == 0
        await bench.press("G")
        assert "c099" in bench.text


async def test_the_cursor_stays_with_its_cluster_when_the_fleet_is_sorted_anew() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("G")
        assert bench.fleet.grid.key == "tokyo"
        engine.change("tokyo", state=ClusterState.ABNORMAL)
        await bench.until(lambda: bench.keys[0] == "tokyo", "tokyo on top")
        assert bench.fleet.grid.key == "tokyo"


async def test_a_filter_says_how_many_bad_clusters_it_hides_and_escape_drops_it() -> None:
    async with console(client()) as bench:
        await bench.press("slash")
        await bench.type("tag:eu")
        assert bench.keys == ["paris", "oslo", "berlin"]
        assert "filter tag:eu" in bench.text
        assert "3 shown · 5 hidden, 2 of them bad" in bench.text
        await bench.press("enter", "j")
        assert bench.fleet.grid.key == "oslo"
        await bench.press("escape")
        assert len(bench.keys) == 8
        assert "hidden" not in bench.text


async def test_letters_typed_into_the_filter_are_no_commands() -> None:
    async with console(client(), attached=True) as bench:
        await bench.press("slash")
        await bench.type("qDEp")
        assert bench.fleet.query_one("#filter").value == "qDEp"  # type: ignore[attr-defined]
        assert "Nothing matches." in bench.text
        assert bench.app.screen is bench.fleet


async def test_f_shows_only_faults_and_says_so() -> None:
    async with console(client()) as bench:
        await bench.press("f")
        assert set(bench.keys) == {"osaka", "dallas", "paris", "oslo"}
        assert "faults only" in bench.text
        assert "none of them bad" in bench.text
        await bench.press("f")
        assert len(bench.keys) == 8


async def test_s_sorts_by_the_next_column_and_r_reverses() -> None:
    async with console(client()) as bench:
        await bench.press("s")
        assert bench.keys == sorted(bench.keys)
        assert "CLUSTER↓" in bench.text
        await bench.press("r")
        assert bench.keys == sorted(bench.keys, reverse=True)
        assert "CLUSTER↑" in bench.text


async def test_marks_are_names_and_hidden_ones_are_told() -> None:
    async with console(client()) as bench:
        await bench.press("space", "space")
        assert bench.fleet.targets() == ("dallas", "osaka")
        assert "2 marked" in bench.text
        await bench.press("slash")
        await bench.type("osaka")
        await bench.press("enter")
        assert "1 of them hidden" in bench.text
        await bench.press("escape", "asterisk")
        assert len(bench.fleet.targets()) == 8
        await bench.press("asterisk")
        assert len(bench.fleet.grid.marks) == 0


async def test_enter_opens_the_cluster_and_escape_goes_back() -> None:
    async with console(client()) as bench:
        await bench.press("enter")
        assert isinstance(bench.app.screen, ClusterScreen)
        assert bench.app.screen.cluster == "osaka"
        await bench.press("escape")
        assert isinstance(bench.app.screen, FleetScreen)


async def test_a_click_moves_the_cursor_and_a_second_one_opens() -> None:
    async with console(client()) as bench:
        await bench.pilot.click("#body", offset=(5, 3))
        assert bench.fleet.grid.cursor == 2
        await bench.pilot.click("#body", offset=(5, 3), times=2)
        await bench.until(lambda: isinstance(bench.app.screen, ClusterScreen), "the cluster")


async def test_the_answers_of_the_cluster_under_the_cursor_are_below() -> None:
    async with console(client(), (120, 40)) as bench:
        await bench.see("svc1.net.  out  6 of 8 →  192.0.2.10")
        await bench.press("G")
        await bench.see("svc1.net.  in 100%  6 of 8 →  192.0.2.10")


async def test_a_new_event_appears_in_the_tail() -> None:
    engine = client()
    async with console(engine) as bench:
        engine.push(Event(EventName.FAIL_OPEN, NOW + 1, "tokyo", cause="everything is abnormal"))
        await bench.see("fail open", "everything is abnormal")


async def test_old_data_is_said_loudly_and_every_row_says_stale() -> None:
    engine = client()
    async with console(engine) as bench:
        bench.time.now += 1.9
        await bench.see("1 s old")
        assert "STALE" not in bench.text
        bench.time.now += 0.2
        await bench.see("STALE 2 s old", "the engine sends nothing new")
        assert bench.text.count("⊘ STALE") >= 8
        assert "● OK" not in "\n".join(bench.text.splitlines()[2:])


async def test_an_engine_that_repeats_itself_grows_stale() -> None:
    engine = client()
    async with console(engine) as bench:
        for _ in range(3):
            bench.time.now += 1
            engine.push(at=engine.now.at)
            await bench.pilot.pause(0.05)
        await bench.see("STALE 3 s old")


async def test_when_the_engine_goes_the_header_counts_down_and_it_is_found_again() -> None:
    engine = client()
    async with console(engine) as bench:
        engine.stop()
        await bench.see("STALE", "no pointsman answers at the socket", "next try in 1 s")
        assert engine.connects == 1
        engine.change("tokyo", state=ClusterState.ERASED)
        engine.start()
        await bench.until(lambda: engine.connects >= 2, "a new connection")
        await bench.until(lambda: "STALE" not in bench.text, "fresh data")
        assert any("tokyo" in line and "ERASED" in line for line in bench.text.splitlines())


async def test_a_console_that_starts_before_the_engine_waits_for_it() -> None:
    engine = client()
    engine.running = False
    async with console(engine) as bench:
        await bench.see("NO DATA", "no pointsman answers")
        engine.running = True
        await bench.see("osaka")


async def test_p_freezes_the_view_with_a_banner_and_what_happens_meanwhile_is_shown_after() -> None:
    engine = client()
    async with console(engine) as bench:
        await bench.press("p")
        assert "VIEW FROZEN at 08:00:00 UTC" in bench.text
        engine.change("tokyo", state=ClusterState.ABNORMAL)
        await asyncio.sleep(0.6)
        await bench.pilot.pause()
        assert "ABNORMAL" not in bench.text
        await bench.press("p")
        await bench.see("ABNORMAL")
        assert "VIEW FROZEN" not in bench.text


async def test_hostile_text_is_shown_and_never_obeyed() -> None:
    evil = "\x1b[2J[bold]x[/bold]\r\n\u202egnp.exe [@click=app.exit]go[/]"
    engine = ScriptedClient(
        snapshot(cluster("osaka", ClusterState.ERASED, cause=evil)),
        [Event(EventName.FAULT_SEEN, NOW, "osaka", cause=evil, id=1)],
    )
    async with console(engine, (200, 40)) as bench:
        assert bench.text.count("[bold]x[/bold]") >= 2
        assert all(c.isprintable() or c == "\n" for c in bench.text)
        bench.app.toast(evil)
        await bench.see("go[/]")


@pytest.mark.parametrize("theme", ["dark", "light", "contrast", "colour-blind"])
async def test_each_theme_paints_the_same_words(theme: str) -> None:
    async with console(client(), theme=theme) as bench:
        assert bench.app.theme == theme
        assert "✖ ERASED" in bench.text


async def test_without_colour_every_state_and_the_cursor_can_still_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with console(client()) as bench:
        assert any(line.startswith("▸ ✖ ERASED") for line in bench.text.splitlines())


async def test_ascii_means_ascii_on_every_screen() -> None:
    async with console(client(), (100, 30), ascii=True) as bench:
        for keys in ((), ("enter",), ("2",), ("3",), ("1", "D"), ("escape", "question_mark"), ("escape", "colon")):
            await bench.press(*keys)
            await bench.pilot.pause(0.3)
            strange = {c for c in bench.text if not c.isascii()}
            assert not strange, (keys, strange, bench.text)


async def test_nothing_is_drawn_when_nothing_changed_and_one_line_when_one_row_did() -> None:
    engine = ScriptedClient(snapshot(*(cluster(f"c{n:03}", since=NOW - 90000) for n in range(200))))
    async with console(engine, (160, 50)) as bench:
        grid = bench.fleet.grid
        rows = grid.rows
        assert grid.set_rows(grid.columns, list(rows)) == 0
        changed = rows[3]._replace(cells=(("x", rows[3].cells[0][1]), *rows[3].cells[1:]))
        assert grid.set_rows(grid.columns, [*rows[:3], changed, *rows[4:]]) == 1


async def test_200_changing_rows_paint_only_those_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedClient(snapshot(*(cluster(f"c{n:03}", since=NOW - 10) for n in range(200))))
    painted: list[int] = []
    paint = LineView.render_line

    def counted(self: LineView, y: int) -> object:
        if self.id == "body":
            painted.append(y)
        return paint(self, y)

    async with console(engine, (160, 50)) as bench:
        monkeypatch.setattr(LineView, "render_line", counted)
        engine.push(at=engine.now.at + 5)
        await bench.see("   15s")
        assert 0 < len(painted) <= 2 * bench.fleet.grid.size.height


async def only_looks(bench: Bench) -> None:
    for key in ("D", "E", "R", "U"):
        await bench.press(key)
        await bench.pilot.pause(0.1)
        assert bench.app.screen is bench.fleet


async def test_read_only_has_no_verbs_at_all() -> None:
    engine = client()
    async with console(engine, read_only=True) as bench:
        assert "READ-ONLY" in bench.text
        assert "Drain" not in bench.text
        await only_looks(bench)
        await bench.press("question_mark")
        assert "no new clients" not in bench.text
        assert "Acts" not in bench.text
    assert not engine.previewed


async def test_w_shows_every_column_and_the_arrows_go_along_them() -> None:
    async with console(client(), (80, 24)) as bench:
        titles = bench.text.splitlines()[1]
        assert "FLAPS" not in titles
        await bench.press("right")
        assert bench.text.splitlines()[1] == titles, "there is nothing to the right"
        await bench.press("w")
        await bench.see("every column", "FAILS", "P95")
        for _ in range(6):
            await bench.press("right")
        await bench.see("LAST 15 MINUTES", "FLAPS", "ADDRESSES")
        row = next(line for line in bench.text.splitlines() if "osaka" in line)
        assert "✖ ERASED" in row, "what a row is about stays"
        for _ in range(20):
            await bench.press("right")
        await bench.see("WHY")
        assert "FAILS" not in bench.text
        for key in ("left", "h") * 10:
            await bench.press(key)
        await bench.see("FAILS")
        await bench.press("l", "w")
        assert "FLAPS" not in bench.text
