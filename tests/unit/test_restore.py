"""What was saved, and what a start makes of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from core.model import Phase
from core.restore import encode, restore
from core.settings import Settings
from core.switching.standing import Standing
from core.world import build

BASE = tomllib.loads((Path(__file__).parents[1] / "scenarios" / "files" / "base.toml").read_text())


def test_a_clock_that_was_wrong_before_the_start_holds_nobody_out_for_years() -> None:
    world, now = build(Settings(**BASE)), 1_790_000_000.0
    late = Standing(Phase.RECOVERING, since=now + 1e8, due=now + 1e8, flaps=1, returned_at=now + 1e8)
    state = restore(world, {"standing/svc1.net./a": encode(late)}, now)
    standing = state.standings["svc1.net.", "a"]
    assert standing.due == now + 20, "the hold of one flap"
    assert max(standing.since, standing.returned_at) <= now
    assert state.due == standing.due


def test_a_start_passes_over_serials_that_were_answered_and_not_saved() -> None:
    """A secondary that has one of them would take what comes next for what it has (spec S32)."""
    world, now = build(Settings(**BASE)), 1_790_000_000.0
    first = restore(world, {}, now).table
    assert first.serial >= now, "it grows also where the state was lost"
    soon = restore(world, {"table": encode(first)}, now + 1).table
    assert soon.serial > first.serial + 500
    assert soon.apps == first.apps
    late = restore(world, {"table": encode(first)}, now + 1e6).table
    assert late.serial >= now + 1e6
