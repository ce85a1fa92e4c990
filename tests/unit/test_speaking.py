"""Whether a cluster still speaks while another is silent (spec S28): the longer that one is, the longer ago may it have been."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from core.detection.internal import ClusterState
from core.detection.silence import has_spoken
from core.settings import Settings
from core.world import build

BASE = Path(__file__).parents[1] / "scenarios" / "files" / "base.toml"
WORLD = build(Settings.model_validate(tomllib.loads(BASE.read_text())))
PLAN = WORLD.clusters["b"]
TICK = WORLD.settings.detection.tick


@pytest.mark.parametrize(
    ("ages", "within", "speaks"),
    [
        ((1.0, 1.0), 3.0, True),
        ((1.9, 1.0), 3.0, False),  # it was heard later than the other one, and has stopped as well
        ((1.9, 1.9), 3.0, False),
        ((5.0, 5.0), 3.0, False),
        ((6.0, 1.0), 20.0, True),  # in bursts, and the other one has been silent for long
    ],
)
def test_more_than_half_of_its_nodes_speak_now(ages: tuple[float, float], within: float, speaks: bool) -> None:
    gaps = {node: age * TICK for node, age in zip(PLAN.nodes, ages, strict=True)}
    assert has_spoken(WORLD, PLAN, ClusterState(), gaps, within * TICK, 1000.0) is speaks


def test_a_cluster_that_nobody_has_heard_says_nothing() -> None:
    assert has_spoken(WORLD, PLAN, ClusterState(), {}, 1.0, 1000.0) is None
