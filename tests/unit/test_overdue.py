"""When the answer of a router that is silent alone is overdue (spec S25): the farther away it is, the later."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from core.detection.hysteresis import CheckState, absorb, renewed
from core.detection.internal import ClusterState, take
from core.detection.silence import MET, listen
from core.model import CheckId, Evidence, Kind, Silence, SourceId, SourceKind
from core.settings import Settings
from core.world import build

BASE = Path(__file__).parents[1] / "scenarios" / "files" / "base.toml"
WORLD = build(Settings.model_validate(tomllib.loads(BASE.read_text())))
PLAN = WORLD.clusters["b"]
NOW = 1000.0


def is_overdue(trip: float, gap: float) -> bool:
    """Whether it is after ``gap`` seconds, one question of a router whose answers take ``trip`` seconds having failed."""
    assert PLAN.router
    assert PLAN.cluster.confirm
    timeout = PLAN.cluster.confirm.timeout
    check = CheckId(PLAN.router, Kind.CONFIRM)
    state = take(WORLD, ClusterState(), Evidence(check, True, "status 200", NOW - gap, trip))
    state = replace(take(WORLD, state, Silence(check, "no answer", NOW, timeout)), met=NOW - 2 * MET)
    return listen(WORLD, PLAN, state, dict.fromkeys(PLAN.nodes, 0.01) | {PLAN.router: gap}, NOW).overdue


@pytest.mark.parametrize(
    ("trip", "soonest"),
    [
        (0.001, 0.186),  # its question fails later than that, after 0.48 s
        (0.08, 0.66),  # one that was lost, and then another over a new connection, with TLS
        (0.3, 1.18),  # the page is slow, and not the way: as much as another question has
    ],
)
def test_it_is_overdue_after_another_question_over_a_new_connection(trip: float, soonest: float) -> None:
    assert not is_overdue(trip, soonest - 0.01)
    assert is_overdue(trip, soonest + 0.01)


def test_one_slow_answer_does_not_make_a_router_far_away() -> None:
    check = CheckId(SourceId("b", "router", SourceKind.ROUTER), Kind.CONFIRM)
    state = CheckState()
    for took in (0.002, 0.3, 0.002):
        state = absorb(state, Evidence(check, True, "status 200", NOW, took), 1, 1)
    assert 0.03 < state.trip < 0.04
    silent = absorb(state, Silence(check, "no answer", NOW, 0.4), 1, 1)
    assert silent.trip == state.trip
    assert renewed(state, Evidence(check, True, "status 200", NOW, 0.002)).trip < state.trip
