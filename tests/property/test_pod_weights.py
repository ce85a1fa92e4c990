"""The rules of pods' weights and of closed routers that must hold whatever happens (spec S16, S19, S20, S27, S30, S37)."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from core.hands.target import target
from core.model import Action, Verdict
from core.settings import Settings
from core.switching.pods import shares
from tests.property.test_safety_rules import BASE, CLUSTERS, play, timeline
from tests.scenarios.runner import Run

RAMP = (10, 25, 50, 100)


def _new_run() -> Run:
    clusters = [
        {**each, "router": {"kind": "haproxy", "address": "192.0.2.9:9999", "frontends": ["web"], "stop": stop}}
        for each, stop in zip(BASE["cluster"], ("automatic", "by-hand", "never"), strict=True)
    ]
    raw: dict[str, Any] = {**BASE, "cluster": clusters, "recovery": {"hold": 10, "ramp": list(RAMP), "ramp_step": 2}}
    run = Run(Settings(**raw), raw)
    run.advance(run.now + 0.5)
    return run


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(timeline)
def test_weights_and_stops_follow_the_rules_over_any_timeline(events: list[tuple[float, tuple[str, str, str]]]) -> None:
    run = _new_run()
    for wait, (what, cluster, where) in events:
        before = {name: shares(run.state, name) for name in CLUSTERS}
        fails = {name: dict(run.state.weights.get(name, {})) for name in CLUSTERS}
        play(run, what, cluster, where)
        if what == "restart":
            assert {name: shares(run.state, name) for name in CLUSTERS} == before, "a restart moved a weight"
        run.advance(run.now + wait)
        state = run.state
        told = target(state)
        for name in CLUSTERS:
            open_apps = [app for app in state.table.apps.values() if app.fail_open]
            for pod, share in shares(state, name).items():
                weight = state.weights.get(name, {}).get(pod)
                assert share in {0, *RAMP}
                assert told.weights[name][pod] == share
                if weight and share != weight.share:
                    assert open_apps, "a detached pod is served, and nothing fails open"
                listed = [p for p in state.clusters[name].pods.values() if p.pod == pod]
                bad = any(p.check.verdict is Verdict.FAIL and p.node not in state.clusters[name].quiet for p in listed)
                if bad and not state.frozen:
                    assert weight is not None
                    assert weight.share == 0, "a pod that is not well gets traffic"
                if (old := fails[name].get(pod)) and weight and wait < 2 and weight.share > old.share:
                    steps = (0, *RAMP)
                    assert steps.index(weight.share) - steps.index(old.share) == 1, "a ramp skipped a step"
            if name in state.stopped:
                override = state.overrides.get(name)
                assert name != "c", "a router was closed that is never to be"
                assert name == "a" or (override and override.action is Action.ERASE)
                assert all(record.cluster != name for app in state.table.apps.values() for record in app.records), (
                    "a router was closed whose cluster is answered"
                )
