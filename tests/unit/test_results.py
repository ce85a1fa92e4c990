"""From outputs to results: what a reader with a defect does to its own check, and to nothing else (spec S25, S36)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from core.model import Evidence, Silence, Verdict
from core.probes.check import Judgement, Output, Sentinel
from core.probes.kinds.base import Base, Schedule
from core.probes.results import Judge
from tests.unit.kinds_common import checks

KNOWN = checks()["routes:nftables"]


class Broken(Base):
    """Reads well until a word comes; then each of its readers fails."""

    def judge(self, output: Output) -> Sequence[Judgement]:
        return self.say(Verdict.OK, self._word(output))

    def pids_command(self, output: Output) -> str:
        return self._word(output)

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]:
        return (Sentinel(1, self._word(output)),)

    def _word(self, output: Output) -> str:
        return output.stdout.split()[0]


@pytest.fixture
def judge() -> Judge:
    return Judge(Broken(KNOWN.id, Schedule("true", 1.0, 1.0)))


def test_a_reader_that_fails_is_silence_of_its_check_and_is_told(judge: Judge) -> None:
    with capture_logs() as lines:
        [said] = judge.answered(Output(0, ""), 10.0, 0.1, None)
    assert said == Silence(KNOWN.id, "a defect in reading its output, see the log", 10.0, 0.1)
    assert [(line["event"], line["check"]) for line in lines] == [("check_not_read", str(KNOWN.id))]


def test_the_next_output_that_can_be_read_is_evidence_again(judge: Judge) -> None:
    judge.answered(Output(0, ""), 10.0, 0.1, None)
    [said] = judge.answered(Output(0, "well"), 11.0, 0.1, None)
    assert said == Evidence(KNOWN.id, True, "well", 11.0, 0.1)


def test_without_its_processes_it_goes_on_without_sentinels(judge: Judge) -> None:
    assert judge.pids_command(Output(0, "ps")) == "ps"
    assert judge.pids_command(Output(0, "")) == ""
    assert judge.sentinels(Output(0, "x"), None) == (Sentinel(1, "x"),)
    assert judge.sentinels(Output(0, ""), None) == ()
