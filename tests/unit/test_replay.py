"""A recording replayed: with the same settings every decision falls as it fell, with others it is told how it would have fallen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.model import Event, EventName, Evidence, Order, Silence, SourceId, SourceStatus
from core.recording.compare import Decision, decisions
from core.recording.lines import Head, LineError, read
from core.recording.replay import Replay, Replayed
from core.recording.tape import Tape
from core.settings import Settings
from core.shared import Document, Peers
from core.state import RouterTold, Tick
from core.step import Input
from core.world import build
from tests.scenarios import timeline
from tests.scenarios.runner import Run
from tests.scenarios.timeline import run_file

FILES = Path(__file__).parents[1] / "scenarios" / "files"
# A replay begins once, and keeps to its settings.
ALONE = re.compile(r"^\d\S* (restart|reload|without)", re.MULTILINE)
SCENARIOS = sorted(path for path in FILES.glob("*.txt") if not ALONE.search(path.read_text()))


class Recorded(Run):
    """A scenario with a tape in it, as the engine has one."""

    newest: Recorded
    tape: Tape | None = None

    def boot(self) -> None:
        super().boot()
        Recorded.newest = self
        self.tape = Tape(self.state, self.heard, self.now)
        self.lines = [self.tape.head("a test", self.saved)]
        self.depth = 0
        self.before: dict[SourceId, float] = {}

    def feed(self, given: Input) -> None:
        assert self.tape
        if self.depth == 0:
            match given:
                case Evidence() | Silence():
                    self.tape.result(given, self.now)
                case Tick():
                    self._tick(self.heard)
                case SourceStatus() | RouterTold() | Peers() | Document():
                    self.tape.given(given, self.now)
        self.depth += 1
        told = len(self.history)
        super().feed(given)
        self.depth -= 1
        if isinstance(given, Order) and self.reply and not self.reply.refused:
            self.tape.given(given, self.now)
        if self.depth == 0:
            for event in self.history[told:]:
                self.tape.event(event)

    def _tick(self, heard: Mapping[SourceId, float]) -> None:
        assert self.tape
        for source, at in heard.items():
            if self.before.get(source) != at:
                self.tape.heard(source)
        self.before = dict(heard)
        self.tape.tick(self.now, self.listened, heard)


def recorded(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[bytes, dict[str, Any]]:
    """The recording of a scenario, and its settings."""
    monkeypatch.setattr(timeline, "Run", Recorded)
    run_file(FILES / name)
    run = Recorded.newest
    assert run.tape
    return b"".join([*run.lines, *run.tape._lines]), run.raw


def replayed(recording: bytes, raw: dict[str, Any]) -> Replayed:
    lines = read("tape", recording.splitlines(keepends=True))
    head = next(lines)
    assert isinstance(head, Head)
    return Replay("tape", build(Settings(**raw)), head).run(lines)


def compared(recording: bytes, raw: dict[str, Any]) -> list[Decision]:
    found = replayed(recording, raw)
    return decisions(found.then, found.now)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_with_the_same_settings_every_decision_falls_as_then(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    found = compared(*recorded(monkeypatch, path.name))
    assert {decision.said for decision in found} <= {"as then"}, found


def test_enough_scenarios_are_replayed() -> None:
    assert len(SCENARIOS) > 60


def changed(raw: dict[str, Any], section: str, **values: object) -> dict[str, Any]:
    return {**raw, section: {**raw.get(section, {}), **values}}


def said(found: list[Decision], name: EventName, cluster: str = "") -> list[str]:
    return [
        d.said
        for d in found
        if d.event.name is name and d.event.cluster == cluster and d.event.app in {"", "svc1.net."}
    ]


def test_a_check_that_must_fail_more_often_erases_later(monkeypatch: pytest.MonkeyPatch) -> None:
    recording, raw = recorded(monkeypatch, "S29_quick_down_slow_up.txt")
    [first, *_] = said(compared(recording, changed(raw, "detection", fall=2)), EventName.ADDRESS_ERASED, "a")
    assert re.fullmatch(r"\d\.\d+ s later", first)


def test_a_longer_hold_brings_back_later_and_none_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    recording, raw = recorded(monkeypatch, "S29_quick_down_slow_up.txt")
    hold = raw["recovery"]["hold"]
    longer = compared(recording, changed(raw, "recovery", hold=hold + 1))
    assert said(longer, EventName.ADDRESS_ERASED, "a")[0] == "as then"
    assert said(longer, EventName.ADDRESS_RESTORED, "a")[0] == "1.000 s later"
    none = compared(recording, changed(raw, "recovery", hold=0))
    assert said(none, EventName.ADDRESS_RESTORED, "a")[0] == f"{hold:.3f} s earlier"


def test_silence_that_does_not_count_erases_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    recording, raw = recorded(monkeypatch, "S25_policy_abnormal_takes_one_silent_node.txt")
    raw = changed(raw, "detection", silence={"policy": "ignore"})
    assert {*said(compared(recording, raw), EventName.ADDRESS_ERASED, "a")} == {"not at all"}


def test_silence_that_counts_erases_only_now(monkeypatch: pytest.MonkeyPatch) -> None:
    recording, raw = recorded(monkeypatch, "S25_policy_ignore_leaves_silence_alone.txt")
    raw = changed(raw, "detection", silence={"policy": "abnormal"})
    assert {*said(compared(recording, raw), EventName.ADDRESS_ERASED, "a")} == {"only now"}


def test_in_shadow_mode_the_orders_to_switch_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    recording, raw = recorded(monkeypatch, "S29_quick_down_slow_up.txt")
    found = compared(recording, changed(raw, "safety", shadow=True))
    assert said(found, EventName.SWITCH_ORDERED, "a")[0] == "as then"
    assert not said(found, EventName.ADDRESS_ERASED, "a")


def test_how_often_was_asked_then_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    recording, raw = recorded(monkeypatch, "S29_quick_down_slow_up.txt")
    [note] = replayed(recording, changed(raw, "detection", interval=0.125)).notes
    assert note.startswith("detection.interval was ")


def at(*instants: float) -> list[Event]:
    return [Event(EventName.ADDRESS_ERASED, instant, "a") for instant in instants]


def test_a_decision_that_was_not_made_shifts_none_of_those_after_it() -> None:
    assert [d.said for d in decisions(at(10, 50, 90), at(52, 90))] == ["not at all", "2.000 s later", "as then"]
    assert [d.said for d in decisions(at(50), at(10, 49))] == ["only now", "1.000 s earlier"]


HEAD = b'{"line":"pointsman recording","format":2,"version":"1","at":1000.0,"asked":{},"saved":{}}\n'
TICK = b'{"line":"tick","now":1.0,"listened":1.0}\n'


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ([], "tape: is empty"),
        ([b"hello\n", TICK], "tape:1: not a line of a recording: "),
        ([TICK], "tape:1: begins without a head"),
        ([HEAD, TICK, HEAD], "tape:3: a second head"),
        ([HEAD.replace(b":2,", b":1,")], "tape:1: format 1, and this pointsman reads 2"),
        ([HEAD, b'{"line":"tick","now":"soon"}\n', TICK], r"tape:2: not a line of a recording: .* - at `\$\.now`"),
        ([HEAD, b"\xff\xfe\n", TICK], "tape:2: not a line of a recording: "),
        ([HEAD, TICK, TICK.replace(b'"now":1', b'"now":0')], "tape:3: goes back in time"),
        ([HEAD, b'{"line":"tick","now":1.0,"listened":1.0,"heard":[3,1]}\n'], "tape:2: no source has the number 3"),
        ([HEAD, b'{"line":"tick","now":1.0,"listened":1.0,"heard":[3]}\n'], "tape:2: "),
        ([HEAD, b'{"line":"result","now":1.0,"check":-1,"at":1.0,"took":0}\n'], "tape:2: no check has the number -1"),
    ],
)
def test_a_wrong_line_is_named(lines: list[bytes], wrong: str) -> None:
    def run() -> None:
        found = read("tape", lines)
        head = next(found)
        assert isinstance(head, Head)
        Replay("tape", build(Settings()), head).run(found)

    with pytest.raises(LineError, match=f"^{wrong}") as caught:
        run()
    assert "\n" not in str(caught.value)


def test_a_last_line_that_was_cut_short_is_left_out() -> None:
    assert len(list(read("tape", [HEAD, TICK, TICK[:20]]))) == 2


def test_a_reader_that_is_too_slow_ends_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.recording.tape.WAITING", 1000)
    tape = Tape(Run(Settings()).state, {}, 0.0)
    for number in range(100):
        tape.tick(number, number, {})
    assert tape.full
    assert len(b"".join(tape._lines)) < 1100
