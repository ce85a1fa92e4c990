"""The rules that must hold whatever happens, over random timelines (spec S14, S27, S30, S32, S34, S35)."""

from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.model import Action, Order, Phase
from core.settings import Settings
from tests.scenarios.runner import Run
from tests.scenarios.timeline import WORDS

BASE = tomllib.loads((Path(__file__).parents[1] / "scenarios" / "files" / "base.toml").read_text())
CLUSTERS = ("a", "b", "c")
KINDS = ("n1/routes", "n2/runtime", "n1/vswitch", "metal/machine", "db/database", "router/confirm")

happening = st.one_of(
    st.tuples(st.sampled_from(["bad", "good", "silent"]), st.sampled_from(CLUSTERS), st.sampled_from(KINDS)),
    st.tuples(st.sampled_from(["mute", "unmute"]), st.sampled_from(CLUSTERS), st.just("")),
    st.tuples(st.sampled_from(["drain", "erase", "restore", "force"]), st.sampled_from(CLUSTERS), st.just("")),
    st.tuples(st.sampled_from(["freeze", "thaw", "restart", "reload"]), st.just(""), st.just("")),
    st.tuples(st.just("for a while"), st.sampled_from(CLUSTERS), st.just("")),
    st.tuples(
        st.just("pod"), st.sampled_from(CLUSTERS), st.sampled_from(["n1 default/svc1-1 dead", "n1 default/svc1-1 gone"])
    ),
    st.tuples(st.just("pod"), st.sampled_from(CLUSTERS), st.just("n1 default/svc1-1 running")),
    st.tuples(st.just("pod"), st.sampled_from(CLUSTERS), st.sampled_from(["n2 default/svc1-2 gone"])),
)
timeline = st.lists(st.tuples(st.sampled_from([0.05, 0.3, 2.1, 12.0]), happening), max_size=25)


def play(run: Run, what: str, cluster: str, where: str) -> None:
    if what in {"bad", "good", "silent"}:
        run.changed(run.check(f"{cluster}/{where}"), what, what)
    elif what == "mute":
        run.muted.add(cluster)
    elif what == "unmute":
        run.muted.discard(cluster)
    elif what == "restart":
        run.boot()
    elif what == "reload":
        run.reload(run.settings)
    elif what == "pod":
        WORDS["pod"](run, f"{cluster}/{where}")
    elif what == "for a while":
        run.feed(Order(Action.DRAIN, (cluster,), "alice", until=run.now + 5))
    elif what in {"freeze", "thaw"}:
        run.feed(Order(Action(what), who="alice"))
    else:
        action = Action.ERASE if what == "force" else Action(what)
        run.feed(Order(action, (cluster,), "alice", force=what == "force"))


def _new_run(*, together: bool = False) -> Run:
    run = Run(Settings(**BASE), together=together)
    run.advance(run.now + 0.5)
    return run


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(timeline)
def test_the_rules_hold_over_any_timeline(events: list[tuple[float, tuple[str, str, str]]]) -> None:
    run = _new_run()
    for wait, (what, cluster, where) in events:
        before, overrides, frozen = run.state.table, dict(run.state.overrides), run.state.frozen
        play(run, what, cluster, where)
        run.advance(run.now + wait)
        table = run.state.table
        assert table.serial >= before.serial, "a serial went back"
        if dict(table.apps) != dict(before.apps):
            assert table.serial > before.serial, "a change without a new serial"
        for app in table.apps.values():
            served = {record.cluster for record in app.records}
            assert not served & run.state.overrides.keys(), "a cluster that a person took out is answered"
            if len(run.state.overrides) < len(CLUSTERS):
                assert served, "an automatic step left a domain without an address"
            if not app.fail_open:
                phases = {name: run.state.standings.get((app.domain, name)) for name in served}
                assert all(s is None or s.phase in {Phase.SERVING, Phase.RAMPING} for s in phases.values())
        if what not in {"drain", "erase", "restore", "force", "for a while"}:
            lasting = {name: override for name, override in overrides.items() if override.until is None}
            assert lasting.items() <= run.state.overrides.items(), "an override was lost"
            assert run.state.overrides.items() <= overrides.items(), "an override was made by nobody"
        _the_table_follows_from_what_is_known(run)
        if what == "restart":
            assert dict(before.apps).keys() == dict(table.apps).keys()
        if frozen and what not in {"drain", "erase", "restore", "force", "for a while", "thaw"}:
            assert dict(table.apps) == dict(before.apps), "the answers changed by themselves while frozen"


def _the_table_follows_from_what_is_known(run: Run) -> None:
    """The two failures that nobody forgives: a dead cluster answered, and a healthy one taken out."""
    state = run.state
    if state.frozen or not state.round_over:
        return
    for domain, app in state.table.apps.items():
        for name in CLUSTERS:
            cause = state.assessments[name].against(domain)
            served = any(record.cluster == name for record in app.records)
            if cause and cause.rule != "silence" and served:
                held = (
                    run.now
                    < state.held.get((domain, name), 0.0)
                    <= run.now + state.world.settings.safety.velocity_window
                )
                assert app.fail_open or held, f"{name} is answered for {domain} against {cause}"
            standing = state.standings.get((domain, name))
            if standing and standing.phase is Phase.ERASED and not cause:
                assert state.clusters[name].waiting, f"{name} is out of {domain} for nothing"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(timeline)
def test_a_restart_at_any_point_changes_no_answer(events: list[tuple[float, tuple[str, str, str]]]) -> None:
    run = _new_run()
    for wait, (what, cluster, where) in events:
        play(run, what, cluster, where)
        run.advance(run.now + wait)
        table, overrides, frozen = run.state.table, run.state.overrides, run.state.frozen
        run.boot()
        assert dict(run.state.table.apps) == dict(table.apps)
        assert run.state.table.serial > table.serial
        assert run.state.overrides == overrides
        assert run.state.frozen == frozen


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(timeline)
def test_what_is_kept_together_decides_as_each_result_by_itself(
    events: list[tuple[float, tuple[str, str, str]]],
) -> None:
    runs = [_new_run(), _new_run(together=True)]
    for wait, (what, cluster, where) in events:
        for run in runs:
            play(run, what, cluster, where)
            run.advance(run.now + wait)
        one, other = (run.state for run in runs)
        assert dict(one.table.apps) == dict(other.table.apps)
        assert one.standings == other.standings
        assert one.assessments == other.assessments
        told = [[(event.name, event.at, event.cluster, event.evidence) for event in run.history] for run in runs]
        assert told[0] == told[1]
