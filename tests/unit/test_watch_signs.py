"""The rules of the watch, in simulated time: what a dead sentinel and an event lead to."""

from __future__ import annotations

from core.model import Evidence, Kind
from tests.unit.played_node import Listing, Played


def test_a_dead_sentinel_dates_the_evidence_of_the_run_after_it() -> None:
    node = Played(Listing())
    node.answers(0, "5", 0.5)
    node.news()
    node.lines()
    node.say("d", 0, "5", 1.0)
    assert node.lines() == []
    node.begins(0, 1.0)
    node.ends(0, "not there", 1.2)
    (result,) = node.news()
    assert isinstance(result, Evidence)
    assert (result.healthy, result.said, result.at, result.noticed_at) == (False, "not there", 1.2, 1.0)


def test_a_sign_during_a_run_is_answered_by_the_next_one() -> None:
    node = Played(Listing(events="monitor"))
    node.lines()
    node.begins(0, 0.1)
    node.say("v", 0, "", 0.2)
    assert node.lines() == []
    node.ends(0, "", 0.3)
    assert node.lines() == ["r 0"]
    node.answers(0, "", 0.5)
    before, after = node.news()
    assert isinstance(before, Evidence)
    assert isinstance(after, Evidence)
    assert (before.noticed_at, after.noticed_at) == (None, 0.2)


def test_where_the_script_cannot_begin_by_itself_a_death_asks_for_the_run() -> None:
    node = Played(Listing(), bash=False)
    node.answers(0, "5", 0.5)
    node.lines()
    node.say("d", 0, "5", 1.0)
    assert node.lines() == ["r 0"]


def test_a_dead_process_that_is_still_listed_is_armed_again_each_time_later() -> None:
    node = Played(Listing(interval=100.0))
    node.answers(0, "5 6", 0.0)
    node.lines()
    now, pauses = 1.0, []
    for _ in range(5):
        node.say("d", 0, "5", now)
        node.answers(0, "5 6", now)
        due = node.watch.due(now)
        pauses.append(round(due - now, 3))
        assert "s 0 5 6" not in node.lines()
        now = due
        node.watch.due(now)
        assert node.lines() == ["s 0 5 6"]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8]


def test_the_first_sign_stands_until_the_runtime_has_noticed() -> None:
    node = Played(Listing())
    node.answers(0, "5", 0.0)
    node.say("d", 0, "5", 1.0)
    node.answers(0, "5", 1.02)
    node.watch.due(1.07)
    node.say("d", 0, "5", 1.08)
    node.news()
    node.answers(0, "not there", 1.1)
    (result,) = node.news()
    assert isinstance(result, Evidence)
    assert (result.healthy, result.noticed_at) == (False, 1.0)


def test_an_event_stream_triggers_and_is_started_again_each_time_later() -> None:
    node = Played(Listing(events="monitor", interval=1000.0, timeout=500.0))
    assert node.lines()[-1] == "e 0 monitor"
    node.answers(0, "", 0.1)
    node.say("v", 0, "", 0.2)
    assert node.lines() == ["r 0"]
    node.answers(0, "", 0.3)
    now, pauses = 1.0, []
    for _ in range(3):
        node.say("w", 0, "1", now)
        ended, due = now, node.watch.due(now)
        while not (lines := node.lines()):
            now, due = due, node.watch.due(due)
        pauses.append(now - ended)
        assert lines == ["e 0 monitor", "r 0"]
        node.answers(0, "", now)
    assert pauses == [2.0, 4.0, 8.0]


def test_the_end_of_a_stream_that_was_counted_on_is_a_sign() -> None:
    node = Played(Listing(events="monitor", interval=1000.0))
    node.answers(0, "", 0.1)
    node.lines()
    node.say("w", 0, "1", 5.0)
    assert node.lines() == ["r 0"]


def test_a_flood_of_events_is_answered_at_once_and_then_in_a_tenth_of_the_time() -> None:
    node = Played(Listing(events="monitor", interval=1000.0))
    node.answers(0, "", 0.0)
    asked = []
    for now in range(1, 101):  # seconds; each run takes half of one, and there is an event in each
        node.lines()
        node.say("v", 0, "", now)
        node.watch.due(now)
        if "r 0" in node.lines():
            asked.append(now)
            node.begins(0, now)
            node.ends(0, "", now + 0.5)
    assert asked == [1, 2, *range(7, 101, 5)]
    *_, last = node.news()
    assert isinstance(last, Evidence)
    assert last.noticed_at == asked[-2] + 1


def test_an_event_that_has_to_wait_is_answered_and_a_dead_sentinel_does_not_wait() -> None:
    node = Played(Listing(events="monitor", interval=1000.0), bash=False)
    node.answers(0, "5", 0.0)
    for now in (18.0, 19.0):
        node.say("d", 0, "5", now)
        node.begins(0, now)
        node.ends(0, "5", now + 1)
    node.lines()
    node.say("v", 0, "", 20.0)
    assert node.lines() == []
    due = node.watch.due(20.0)
    while "r 0" not in node.lines():
        due = node.watch.due(due)
    node.answers(0, "5", 25.1)
    node.lines()
    node.say("d", 0, "5", 25.2)
    assert node.lines() == ["r 0"]


def test_a_kind_is_event_driven_while_its_stream_lives() -> None:
    node = Played(Listing(events="monitor", interval=1000.0))
    node.answers(0, "", 0.1)
    assert node.watch.due(0.2) == 2.0
    driven = [node.watch.event_driven]
    node.watch.due(2.0)
    driven.append(node.watch.event_driven)
    node.say("w", 0, "1", 3.0)
    driven.append(node.watch.event_driven)
    assert driven == [(), (Kind.CONTAINERS,), ()]


def test_no_stream_is_started_where_events_are_off_or_there_is_no_bash() -> None:
    for node in (Played(Listing(events="monitor"), events=False), Played(Listing(events="monitor"), bash=False)):
        assert node.lines() == ["c 0 list", "r 0"]
