"""The rules of the watch, in simulated time: what is asked, when, and what an answer is."""

from __future__ import annotations

import base64
import hashlib

from core.model import Evidence, Silence
from tests.unit.played_node import Listing, Played


def test_every_check_runs_at_the_greeting() -> None:
    node = Played(Listing("a", "list a"), Listing("b", "list\n\\b"))
    assert node.lines() == ["c 0 list a", "r 0", "c 2 list\\n\\\\b", "r 2"]
    assert not node.watch.first_round_done
    node.answers(0, "", 0.1)
    node.answers(2, "", 0.1)
    assert node.watch.first_round_done


def test_an_answer_is_evidence_with_its_times() -> None:
    node = Played(Listing())
    node.begins(0, 0.25)
    node.ends(0, "fine", 0.5)
    assert node.news() == [Evidence(Listing().id, True, "fine", 0.5, 0.25)]


def test_a_check_runs_again_at_its_interval_after_its_answer() -> None:
    node = Played(Listing(interval=2.0))
    node.answers(0, "", 0.5)
    node.lines()
    assert node.watch.due(0.6) == 2.5
    assert node.lines() == []
    node.watch.due(2.5)
    assert node.lines() == ["r 0"]


def test_the_same_output_is_reported_each_time_and_read_once() -> None:
    check = Listing()
    node = Played(check)
    for now in (1.0, 2.0, 3.0):
        node.answers(0, "same", now)
    assert [r.at for r in node.news()] == [1.0, 2.0, 3.0]
    assert len(check.read) == 1


def _sum(stdout: str) -> str:
    return hashlib.sha256(base64.b64encode(stdout.encode()) + b"\n").hexdigest()


def test_a_run_that_prints_what_is_known_says_that_alone() -> None:
    check = Listing()
    node = Played(check)
    node.answers(0, "all is well", 1.0)
    node.watch.due(3.0)
    assert node.sent[-1] == f"r 0 {_sum('all is well')}"
    node.begins(0, 3.1)
    node.say("i", 0, f"{node.run} {_sum('all is well')} 0 ", 3.2)
    assert [(r.at, getattr(r, "said", "")) for r in node.news()] == [(1.0, "all is well"), (3.2, "all is well")]
    assert len(check.read) == 1
    node.watch.due(5.2)
    node.begins(0, 5.3)
    node.say("i", 0, f"{node.run} {_sum('all is well')} 1 ", 5.4)
    assert [output.exit_code for output in check.read] == [0, 1]


def test_what_is_known_is_what_the_run_was_told_and_nothing_newer() -> None:
    node = Played(Listing(timeout=1.0))
    node.answers(0, "first", 1.0)
    node.watch.due(3.0)  # told of the first; a run that the script began by itself answers before
    node.answers(0, "not the first", 3.1)
    node.begins(0, 3.2)
    node.say("i", 0, f"{node.run} {_sum('first')} 0 ", 3.3)
    assert [r.said for r in node.news() if isinstance(r, Evidence)] == ["first", "not the first", "first"]
    node.watch.due(5.3)
    node.begins(0, 5.4)
    node.say("i", 0, f"{node.run} {_sum('not the first')} 0 ", 5.5)
    assert node.news() == []
    node.watch.due(6.4)
    assert [type(r) for r in node.news()] == [Silence]


def test_no_answer_in_time_is_silence_and_ends_the_run() -> None:
    node = Played(Listing(timeout=1.0))
    node.begins(0, 0.1)
    node.lines()
    node.watch.due(1.1)
    assert node.news() == [Silence(Listing().id, "no answer in 1 s", 1.1, 1.0)]
    assert node.lines() == ["k 0 TERM"]
    node.watch.due(2.2)
    assert node.lines() == ["k 0 KILL"]


def test_a_run_that_was_given_up_is_never_read() -> None:
    node = Played(Listing(timeout=1.0))
    node.begins(0, 0.0)
    node.watch.due(1.0)
    node.news()
    node.ends(0, "half of", 1.1, code=143)
    assert node.news() == []


def test_a_run_that_never_begins_is_silence_each_interval() -> None:
    node = Played(Listing(timeout=1.0, interval=2.0))
    for now in (1.0, 3.0, 4.0, 6.0, 7.0):
        node.watch.due(now)
    assert [r.at for r in node.news()] == [1.0, 4.0, 7.0]


def test_silence_is_said_of_all_that_the_last_answer_spoke_for() -> None:
    node = Played(Listing(speaks_for=("vm1", "vm2"), timeout=1.0))
    node.answers(0, "", 0.5)
    node.news()
    node.watch.due(2.5)
    node.watch.due(3.5)
    assert [r.check.name for r in node.news()] == ["vm1", "vm2"]


def test_sentinels_are_sent_when_they_change() -> None:
    node = Played(Listing())
    node.lines()
    node.answers(0, "7 5", 1.0)
    node.answers(0, "5 7 fine", 2.0)
    node.answers(0, "5", 3.0)
    node.answers(0, "none", 4.0)
    assert node.lines() == ["s 0 5 7", "s 0 5", "s 0"]


def test_pids_are_found_by_a_second_command() -> None:
    node = Played(Listing(find="find them"))
    node.lines()
    node.answers(0, "listed", 1.0)
    assert node.lines() == ["c 1 find them", "r 1"]
    node.answers(1, "8 9", 1.1)
    assert node.lines() == ["s 0 8 9"]
    assert len(node.news()) == 1


def test_nobody_is_armed_where_processes_are_hidden() -> None:
    node = Played(Listing(find="find them"), sentinels=False)
    node.lines()
    node.answers(0, "5", 1.0)
    assert node.lines() == []


def test_sudo_that_asks_for_a_password_is_silence() -> None:
    node = Played(Listing(command="sudo -n crictl ps"))
    node.begins(0, 0.1)
    node.ends(0, "", 0.2, code=1, stderr="sudo: a password is required\n")
    (result,) = node.news()
    assert isinstance(result, Silence)
    assert result.reason == "sudo asks for a password: allow `sudo -n crictl ps` with NOPASSWD in sudoers"


def test_lines_that_make_no_sense_change_nothing() -> None:
    node = Played(Listing())
    node.begins(0, 0.1)
    node.lines()
    for op, number, data in (
        ("x", 0, "99 "),
        ("x", 7, "1 "),
        ("d", 0, "many"),
        ("d", 100, "1"),
        ("o", 0, ""),
        ("c", 0, "98 0"),
        ("x", 1, " "),
        ("v", 999, ""),
    ):
        node.say(op, number, data, 0.2)
    assert node.news() == []
    assert node.lines() == []


def test_output_that_cannot_be_decoded_is_no_answer() -> None:
    node = Played(Listing(timeout=1.0))
    node.begins(0, 0.1)
    node.say("o", 0, f"{node.run} A", 0.2)
    node.ends(0, "", 0.3)
    assert node.news() == []
    node.watch.due(1.1)
    assert [type(r) for r in node.news()] == [Silence]
