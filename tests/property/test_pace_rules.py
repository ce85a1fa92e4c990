"""The rules about pace and weight, looked at after every single step of random timelines (spec S29, S35)."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.model import Phase
from core.records import AppRecords
from core.settings import Settings
from core.step import Input
from core.switching.standing import Standing
from tests.property.test_safety_rules import BASE, CLUSTERS, KINDS, play, timeline
from tests.scenarios.runner import Run

HOLD, WINDOW = 4.0, 5.0
_patient = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])

outages = st.lists(
    st.tuples(
        st.sampled_from([0.05, 0.7, 2.6, 5.5]),
        st.tuples(st.sampled_from(["bad", "bad", "good"]), st.sampled_from(CLUSTERS), st.sampled_from(KINDS)),
    ),
    max_size=10,
)
one_voice = st.lists(
    st.tuples(
        st.sampled_from([0.05, 0.7, 2.6]),
        st.tuples(st.sampled_from(["bad", "bad", "good"]), st.sampled_from(CLUSTERS), st.just("n1/routes")),
    ),
    max_size=10,
)


class Watched(Run):
    """A run whose answers are looked at after each input."""

    def __init__(self, *, one_voice: bool = False) -> None:
        self.one_voice = one_voice
        self.against: dict[tuple[str, str], float] = {}
        self.gone: dict[tuple[str, str], float] = {}
        super().__init__(Settings(**{**BASE, "recovery": {"hold": HOLD, "ramp": [100]}}))
        self.advance(self.now + 0.5)

    def feed(self, given: Input) -> None:
        before = self.state.table
        super().feed(given)
        for domain, app in self.state.table.apps.items():
            for name in CLUSTERS:
                assessment = self.state.assessments.get(name)
                if assessment and assessment.against(domain):
                    self.against[domain, name] = self.now
                was = before.apps.get(domain)
                if was and was is not app:
                    self.moved(domain, name, was, app)

    def moved(self, domain: str, name: str, was: AppRecords, app: AppRecords) -> None:
        if _served(was, name) and not _served(app, name):
            self.left(domain, name, was, app)
            self.gone[domain, name] = self.now
        if not _served(was, name) and _served(app, name):
            stayed = {record.cluster for record in was.records} & {record.cluster for record in app.records}
            alone = app.fail_open or was.fail_open or not stayed
            well = self.now - self.against.get((domain, name), 0.0)
            assert alone or well >= HOLD - 1e-6, f"{name} is back in {domain} after {well:.3f} s"

    def left(self, domain: str, name: str, was: AppRecords, app: AppRecords) -> None:
        if self.one_voice and not was.fail_open and not app.fail_open:
            for other in {*CLUSTERS} - {name}:
                standing = self.state.standings.get((domain, other), Standing())
                if standing.since > self.gone.get((domain, other), self.now):
                    continue  # it was well in between, and fell ill again before it was back: that takes nobody out
                ago = self.now - standing.since
                assert standing.phase is not Phase.ERASED or ago >= WINDOW - 1e-6, f"{other}, {name} in {ago:.3f} s"


def _served(app: AppRecords, name: str) -> bool:
    return any(record.cluster == name for record in app.records)


@_patient
@given(outages)
def test_nobody_comes_back_before_it_was_well_for_the_hold(events: list[tuple[float, tuple[str, str, str]]]) -> None:
    run = Watched()
    for wait, happening in events:
        play(run, *happening)
        run.advance(run.now + wait)


@_patient
@given(one_voice)
def test_one_voice_against_each_takes_out_one_cluster_in_a_window(
    events: list[tuple[float, tuple[str, str, str]]],
) -> None:
    run = Watched(one_voice=True)
    for wait, happening in events:
        play(run, *happening)
        run.advance(run.now + wait)


@_patient
@given(timeline)
def test_weight_0_is_answered_in_fail_open_alone(events: list[tuple[float, tuple[str, str, str]]]) -> None:
    apps = [{**app, "policy": "weighted", "weights": {"a": 0}} for app in BASE["app"]]
    run = Run(Settings(**{**BASE, "app": apps}))
    for wait, happening in events:
        play(run, *happening)
        run.advance(run.now + wait)
        for app in run.state.table.apps.values():
            assert app.fail_open or not _served(app, "a"), f"weight 0 is answered for {app.domain}"
