"""A clock that was wrong before a restart, either way (spec S30): nothing is lost, and nobody is held out until it comes true."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from core.model import Action, Order, Phase
from core.settings import Settings
from tests.scenarios.runner import Run

BASE = tomllib.loads((Path(__file__).parents[1] / "scenarios" / "files" / "base.toml").read_text())
DAY = 86400.0


@pytest.mark.parametrize("jump", [-10 * DAY, -3600.0, 3600.0, 400 * DAY])
def test_a_jump_of_the_clock_over_a_restart_changes_no_answer(jump: float) -> None:
    run = Run(Settings(**BASE))
    run.advance(run.now + 0.5)
    run.feed(Order(Action.DRAIN, ("b",), "alice", "new kernel"))
    run.changed(run.check("a/n1/routes"), "bad", "no rules")
    run.advance(run.now + 6)
    run.changed(run.check("a/n1/routes"), "good", "2 rules")
    run.advance(run.now + 4)
    before = run.state
    assert before.standings["svc1.net.", "a"].phase is Phase.RECOVERING
    run.now += jump
    run.boot()
    assert dict(run.state.table.apps) == dict(before.table.apps)
    assert run.state.table.serial > before.table.serial
    assert run.state.overrides == before.overrides
    run.advance(run.now + 25)  # the round, and the hold of 10 s at the most once more
    assert {record.cluster for record in run.state.table.apps["svc1.net."].records} == {"a", "c"}
