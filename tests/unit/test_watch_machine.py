"""The rules of the watch, in simulated time against a node that is played line by line."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.model import CheckId, Evidence, Kind, Result, Silence, SourceId, Verdict
from core.probes.check import Judgement, Output, Sentinel
from core.probes.frames import Frame
from core.probes.watch import Watch

SOURCE = SourceId("tokyo", "node1")


@dataclass
class Listing:
    """A check whose output lists pids; "not" in it is a fail. Judges each name it was given."""

    name: str = "list"
    command: str = "list"
    kind: Kind = Kind.CONTAINERS
    interval: float = 2.0
    timeout: float = 1.0
    events: str = ""
    find: str = ""
    speaks_for: tuple[str, ...] = ()
    read: list[Output] = field(default_factory=list)

    @property
    def id(self) -> CheckId:
        return CheckId(SOURCE, self.kind, self.name)

    def judge(self, output: Output) -> Sequence[Judgement]:
        self.read.append(output)
        verdict = Verdict.FAIL if "not" in output.stdout else Verdict.OK
        names = self.speaks_for or (self.name,)
        return [Judgement(CheckId(SOURCE, self.kind, name), verdict, output.stdout) for name in names]

    def pids_command(self, output: Output) -> str:
        return self.find

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]:
        text = (pids or output).stdout
        return tuple(Sentinel(int(word), "x") for word in text.split() if word.isdigit())


class Played:
    """A watch with a node that does as the test says."""

    def __init__(self, *checks: Listing, bash: bool = True, sentinels: bool = True, events: bool = True) -> None:
        self.sent: list[str] = []
        self.results: list[Result] = []
        self.run = 0
        self.watch = Watch(
            checks, bash=bash, sentinels=sentinels, events=events, send=self.sent.append, report=self.results.append
        )
        self.watch.begin(0.0)

    def lines(self) -> list[str]:
        """Without the sum of what is known, which follows a run's number."""
        lines = [line.rpartition(" ")[0] if re.match(r"r \d+ ", line) else line for line in self.sent]
        self.sent.clear()
        return lines

    def news(self) -> list[Result]:
        results = self.results[:]
        self.results.clear()
        return results

    def say(self, op: str, number: int, data: str, now: float) -> None:
        self.watch.on(Frame(op, number, data.encode()), now)

    def begins(self, number: int, now: float) -> None:
        self.run += 1
        self.say("b", number, str(self.run), now)

    def ends(self, number: int, stdout: str, now: float, *, code: int = 0, stderr: str = "") -> None:
        self.say("o", number, f"{self.run} {base64.b64encode(stdout.encode()).decode()}", now)
        self.say("x", number, f"{self.run} {code} {base64.b64encode(stderr.encode()).decode()}", now)

    def answers(self, number: int, stdout: str, now: float) -> None:
        self.begins(number, now)
        self.ends(number, stdout, now)


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
