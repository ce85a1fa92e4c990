"""The pure parts of the console: words, filters, rows, header."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.model import Action, Event, EventName, Override, Verdict
from core.snapshot import ClusterState, Freeze
from tests.tui.scripted import NOW, cluster, fleet, snapshot
from tui import describe, filters, rows
from tui.feed import View
from tui.glyphs import ASCII, STALE, STATES, VERDICTS
from tui.header import header_lines
from tui.text import Tone, clean, fit, plain, wrap


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (-3, "0s"), (59.9, "59s"), (60, "1m00s"), (3599, "59m59s"), (7620, "2h07m"), (90000, "1d01h"), (1e7, "115d")],
)  # fmt: skip
def test_a_duration_fits_six_cells(seconds: float, said: str) -> None:
    assert describe.duration(seconds) == said
    assert len(said) <= 6


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "–"), (0.0042, "4.2ms"), (0.038, "38ms"), (0.00999, "10ms"), (1.2, "1.20s")]
)
def test_an_answer_time_fits_six_cells(seconds: float | None, said: str) -> None:
    assert describe.milliseconds(seconds) == said


def test_an_instant_that_was_not_reached_is_empty() -> None:
    assert describe.clock(0) == ""
    assert describe.clock(NOW + 0.25, ms=True) == "08:00:00.250"


def test_no_two_states_share_a_glyph_or_a_word_not_even_in_ascii() -> None:
    looks = [*STATES.values(), STALE]
    assert set(STATES) == set(ClusterState)
    assert set(VERDICTS) == set(Verdict)
    assert len({look.word for look in looks}) == len(looks)
    assert len({look.glyph for look in looks}) == len(looks)
    assert len({look.glyph.translate(ASCII) for look in looks}) == len(looks)
    assert all(look.glyph.translate(ASCII).isascii() for look in looks)


def test_hostile_text_cannot_move_the_cursor_hide_or_turn_round() -> None:
    assert clean("a\x1b[2Jb\x07\u202ec\u200bd\x9b") == "a␦[2Jb␦␦c␦d␦"
    assert clean("two\nlines\there") == "two lines here"
    assert clean("[bold red]x[/]") == "[bold red]x[/]"


def test_ascii_only_leaves_nothing_else() -> None:
    assert clean("● ok → 東京 … ×3", ascii_only=True) == "o ok > ?? ~ x3"


def test_what_is_cut_off_ends_in_an_ellipsis_and_wide_characters_count_twice() -> None:
    assert fit("abcdef", 4) == "abc…"
    assert fit("ab", 4, right=True) == "  ab"
    assert fit("東京都", 5) == "東京…"
    assert wrap("one two three four", 9, limit=1) == ["one two …"]


FIELDS = filters.cluster_fields(
    cluster("osaka", ClusterState.ERASED, tags=("asia", "EU-west"), cause="web Exited (137)")
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True), ("osa", True), ("OSA", True), ("exited", True), ("tokyo", False), ("!tokyo", True), ("!osaka", False),
        ("state:down", True), ("state:out", True), ("state:bad", True), ("state:erased", True), ("!state:ok", True),
        ("state:ok", False), ("tag:eu", True), ("tag:us", False), ("app:svc1", True), ("osaka state:ok", False),
        ("svc9:1", False), ("state:", True),
    ],
)  # fmt: skip
def test_the_filter_language(text: str, holds: bool) -> None:
    assert filters.parse(text).matches(FIELDS) is holds


def test_a_drained_cluster_that_fails_is_bad_and_a_healthy_one_is_not() -> None:
    drained = cluster("berlin", ClusterState.DRAINED)
    assert not filters.is_bad(drained)
    assert filters.is_bad(replace(drained, external=Verdict.FAIL))


def test_the_worst_cluster_is_on_top_and_a_failing_one_is_never_below_a_healthy_override() -> None:
    order = [c.name for c in rows.select(fleet(), filters.Filter(), False, rows.ORDERS[0], False).shown]
    assert order[0] == "osaka"
    assert order[-3:] == ["fukuoka", "newyork", "tokyo"]
    held = replace(cluster("held", ClusterState.HELD_OUT), internal=Verdict.FAIL)
    view = snapshot(cluster("a", ClusterState.RAMPING), held)
    ramping_well = replace(view.clusters[0], internal=Verdict.OK)
    chosen = rows.select(snapshot(ramping_well, held), filters.Filter(), False, rows.ORDERS[0], False)
    assert [c.name for c in chosen.shown] == ["held", "a"]


def test_hidden_bad_clusters_are_counted() -> None:
    chosen = rows.select(fleet(), filters.parse("tag:eu"), False, rows.ORDERS[0], False)
    assert {c.name for c in chosen.shown} == {"berlin", "paris", "oslo"}
    assert (chosen.hidden, chosen.hidden_bad) == (5, 2)


def test_dns_says_in_how_many_names_and_with_what_share() -> None:
    assert rows.dns(cluster("a"))[0] == "in 100%"
    assert rows.dns(cluster("a", ClusterState.ERASED))[0] == "out"
    ramping = cluster("a", ClusterState.RAMPING)
    assert rows.dns(ramping)[0] == "in 25%"
    half = replace(ramping, memberships=(ramping.memberships[0], replace(ramping.memberships[1], in_dns=False)))
    assert rows.dns(half)[0] == "1/2 25%"
    assert rows.dns(replace(ramping, memberships=()))[0] == "–"


def test_an_override_says_who_why_how_long_and_when_it_is_safe() -> None:
    order = Override("a", Action.DRAIN, "ann", "kernel", NOW, NOW + 1800)
    drained = cluster("a", ClusterState.DRAINED, override=order)
    assert rows.override(drained, NOW) == "safe in 8s · drain by ann · 30m left · kernel"
    assert rows.override(drained, NOW + 9).startswith("safe now")
    forever = replace(drained, override=replace(order, until=None))
    assert "until restored" in rows.override(forever, NOW)


def test_a_stale_row_never_shows_its_last_state_as_its_state() -> None:
    columns = rows.fleet_columns(80, 8)
    row = rows.fleet_row(cluster("tokyo"), columns, NOW, stale=True)
    assert row.cells[0][0] == "⊘ STALE"
    assert "last known: OK" in row.cells[-1][0]
    assert {tone for _, tone in row.cells} == {"muted"}


def test_every_event_name_has_words() -> None:
    for name in EventName:
        row = rows.event_row(Event(name, NOW, "a", shadow=True), rows.event_columns(160))
        assert row.cells[1][0] == name.value.replace("_", " ")
        assert "would have been" in row.cells[-1][0]


def test_the_header_says_all_that_holds_loudly() -> None:
    badges = replace(
        fleet(), production=True, frozen=Freeze("ann", "x" * 90, NOW), fail_open=("svc1.net.",), shadow=True,
        suspect_self="most are silent", starting=True, trouble=tuple(f"trouble {n}" for n in range(5)),
    )  # fmt: skip
    lines = [plain(spans) for spans in header_lines(View(badges, NOW, 0.1, False), 78, True)]
    text = "\n".join(lines)
    for word in (
        "lab-east",
        "PRODUCTION",
        "READ-ONLY",
        "FROZEN",
        "FAIL-OPEN",
        "SUSPECT SELF",
        "SHADOW",
        "STARTING",
        "and 2 more",
    ):
        assert word in text
    assert len(lines[0]) <= 78
    for word in ("FROZEN", "FAIL-OPEN", "SUSPECT SELF", "SHADOW", "STARTING"):
        assert any(0 <= spans.find(word) <= 60 for spans in lines), f"{word} would be off the screen"


def test_the_header_counts_down_to_the_next_try() -> None:
    view = View(fleet(), NOW, 12.0, True, "the socket is gone", 2.2)
    text = "\n".join(plain(spans) for spans in header_lines(view, 78, False))
    assert "STALE 12 s old" in text
    assert "the socket is gone" in text
    assert "next try in 3 s" in text


def test_the_latency_strip_has_one_scale_for_all_and_marks_what_was_not_answered() -> None:
    times = (*[None] * 30, *[0.0005] * 10, *[0.004] * 10, *[0.3] * 8, -1.0, 0.0005)
    view = replace(fleet().clusters[0], latency=times)
    assert rows.latency_strip(view, 60) == (" " * 30 + "▁" * 10 + "▃" * 10 + "█" * 8 + "×▁", Tone.WARN)
    assert rows.latency_strip(view, 30) == (" " * 15 + "▁" * 5 + "▃" * 5 + "█" * 4 + "×", Tone.WARN)
    assert rows.latency_strip(replace(view, latency=()), 30) == ("", Tone.TEXT)


@pytest.mark.parametrize(("width", "cells"), [(80, 0), (119, 0), (120, 15), (160, 30), (220, 60)])
def test_the_strip_takes_what_a_screen_has_room_for(width: int, cells: int) -> None:
    columns = rows.fleet_columns(width, 8)
    assert [column.width for column in columns if column.id == "strip"] == ([cells] if cells else [])
    assert sum(column.width + 1 for column in columns) + 2 + 15 <= width, "no room is left for the reason"
