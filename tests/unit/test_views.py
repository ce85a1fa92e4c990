"""What an operator sees of a state: one word for a cluster, and the reason in words (spec S22, S25, S31)."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from core import views
from core.model import Action, Order, Verdict
from core.preview import preview
from core.settings import Settings
from core.snapshot import ClusterState, ClusterView
from core.world import build
from tests.scenarios.runner import Run

BASE = tomllib.loads((Path(__file__).parents[1] / "scenarios" / "files" / "base.toml").read_text())


@pytest.fixture
def run() -> Run:
    run = Run(Settings(**BASE, safety={"velocity_window": 0}))
    run.advance(run.now + 0.5)
    return run


def seen(run: Run, name: str) -> ClusterView:
    return next(view for view in views.Views().clusters(run.state, views.Heard()) if view.name == name)


def test_a_well_cluster_is_ok_and_in_dns(run: Run) -> None:
    view = seen(run, "a")
    assert (view.state, view.internal, view.external) == (ClusterState.OK, Verdict.OK, Verdict.OK)
    assert all(member.in_dns and member.why == "serving" for member in view.memberships)
    assert view.internal_bad == 0
    assert view.safe_at is None


def test_an_erased_cluster_says_which_check_said_what_and_how_fast(run: Run) -> None:
    run.changed(run.check("a/n2/routes"), "bad", "no rules listed by nft list ruleset")
    view = seen(run, "a")
    assert view.state is ClusterState.ERASED
    assert "a/n2/routes: no rules listed by nft list ruleset" in view.cause
    assert [step.stage for step in view.why] == ["check", "verdict", "decision", "record", "answer", "return"]
    assert all(step.at >= view.why[0].at and step.since_fault_ms is not None for step in view.why[:-1])
    assert view.safe_at == pytest.approx(run.now + 5)


def test_a_view_that_is_made_between_others_is_of_its_own_state(run: Run) -> None:
    """Many clusters are made in pieces, and two who read them at once share what is kept."""
    kept, before = views.Views(), run.state
    list(kept.clusters(before, views.Heard()))
    run.changed(run.check("a/n2/routes"), "bad", "no rules listed")
    after = run.state
    first, second = kept.clusters(before, views.Heard()), kept.clusters(after, views.Heard())
    made = list(zip(first, second, strict=True))
    for number, state in enumerate((before, after)):
        assert [pair[number] for pair in made] == list(views.Views().clusters(state, views.Heard()))
    assert made[0][0] != made[0][1]


def test_a_silent_node_is_unknown_and_never_the_last_good_state(run: Run) -> None:
    run.muted.add("a/n1")
    run.advance(run.now + 3)
    view = seen(run, "a")
    assert view.state is ClusterState.DEGRADED
    node = next(source for source in view.sources if source.name == "n1")
    assert node.verdict is Verdict.UNKNOWN
    assert {check.verdict for check in node.checks} == {Verdict.UNKNOWN}
    assert "n1" in view.cause


def test_what_is_frozen_and_would_be_out_is_called_abnormal(run: Run) -> None:
    run.feed(Order(Action.FREEZE, who="alice", why="storm"))
    run.changed(run.check("a/n1/routes"), "bad", "no rules")
    view = seen(run, "a")
    assert view.state is ClusterState.ABNORMAL
    assert view.memberships[0].why == "frozen, would be out: no rules"


def test_an_override_names_who_and_why(run: Run) -> None:
    run.feed(Order(Action.DRAIN, ("a",), "alice", "new kernel"))
    view = seen(run, "a")
    assert view.state is ClusterState.DRAINED
    assert view.cause == "drain by alice: new kernel"
    assert view.safe_at == pytest.approx(run.now + 5)


def test_a_preview_is_what_the_order_then_does(run: Run) -> None:
    order = Order(Action.DRAIN, ("a", "b"), "alice")
    seen_before = preview(run.state, order, run.now)
    assert seen_before.grave, "several targets"
    assert seen_before.expected == (("a", 0), ("b", 0))
    run.feed(order)
    after = {domain: app.addresses for domain, app in run.state.table.apps.items()}
    assert {change.domain: change.after for change in seen_before.changes} == after
    assert any("1 healthy cluster left" in warning for warning in seen_before.warnings)


def test_a_preview_of_the_last_one_is_refused_and_grave(run: Run) -> None:
    run.feed(Order(Action.DRAIN, ("a", "b"), "alice"))
    last = preview(run.state, Order(Action.DRAIN, ("c",), "alice"), run.now)
    assert "without a healthy cluster" in last.refused
    assert last.grave


def test_restoring_a_cluster_that_still_fails_is_said_before(run: Run) -> None:
    run.changed(run.check("a/n1/routes"), "bad", "no rules")
    warned = preview(run.state, Order(Action.RESTORE, ("a",), "alice"), run.now)
    assert any("still fails" in warning and "no rules" in warning for warning in warned.warnings)


def test_a_cluster_that_is_down_and_answered_all_the_same_is_abnormal(run: Run) -> None:
    for name in ("a", "b", "c"):
        run.changed(run.check(f"{name}/n1/routes"), "bad", "no rules")
    assert all(seen(run, name).state is ClusterState.ABNORMAL for name in ("a", "b", "c"))
    assert "fail-open" in seen(run, "a").memberships[0].why


def test_the_cause_keeps_the_words_of_the_failure_until_it_is_over(run: Run) -> None:
    run.changed(run.check("a/n1/routes"), "bad", "no rules")
    run.changed(run.check("a/n1/routes"), "good", "12 rules")
    assert seen(run, "a").cause == "a/n1/routes: no rules"
    assert seen(run, "a").state is ClusterState.ERASED


def test_the_chain_of_a_cluster_held_by_hand_is_its_override(run: Run) -> None:
    run.changed(run.check("a/n1/routes"), "bad", "no rules")
    run.feed(Order(Action.ERASE, ("a",), "alice", "look at it"))
    assert seen(run, "a").why[0].said == "erase by alice: look at it"


def test_a_cluster_is_safe_when_what_resolvers_hold_has_expired_not_when_it_was_erased(run: Run) -> None:
    """Fail-open went on answering it long after it was erased."""
    for name in "abc":
        run.changed(run.check(f"{name}/n1/routes"), "bad", "no rules")
    assert seen(run, "a").safe_at is None, "it is answered: all are down"
    run.advance(run.now + 60)
    run.changed(run.check("b/n1/routes"), "good", "")
    run.advance(run.now + 5)
    left = next(e.at for e in run.history if e.name == "fail_open_ended")
    assert left > run.now - 5
    assert seen(run, "a").safe_at == pytest.approx(left + 5)


def test_a_lower_ttl_does_not_shorten_what_was_answered_before(run: Run) -> None:
    run.reload(Settings(**{**BASE, "dns": {"ttl": 300}}))
    run.advance(run.now + 10)
    run.reload(Settings(**{**BASE, "dns": {"ttl": 5}}))
    lowered = run.now
    run.advance(run.now + 10)
    order = Order(Action.DRAIN, ("a",), "alice", "new kernel")
    assert preview(run.state, order, run.now).safe_in == pytest.approx(290)
    run.feed(order)
    assert seen(run, "a").safe_at == pytest.approx(lowered + 300)
    run.boot()
    assert seen(run, "a").safe_at == pytest.approx(lowered + 300), "also after a restart"


def test_a_ttl_that_fell_while_it_was_down_counts_from_the_start(run: Run) -> None:
    run.feed(Order(Action.DRAIN, ("b",), "alice", ""))
    run.world = build(Settings(**{**BASE, "dns": {"ttl": 1}}))
    run.advance(run.now + 100)
    run.boot()
    run.feed(Order(Action.DRAIN, ("a",), "alice", ""))
    assert seen(run, "a").safe_at == pytest.approx(run.now + 5)
    assert seen(run, "b").safe_at == pytest.approx(run.now - 95)
