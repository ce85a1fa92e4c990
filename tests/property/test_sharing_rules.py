"""The rules of several instances, over random timelines: silence and its quorum (spec S25), and orders that all come to agree on (spec S34)."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.detection.external import SILENCE
from core.detection.peers import PEER
from core.model import Action, EventName, Order
from core.settings import Settings
from core.shared import Document, Objection, Peers, Sight
from core.step import Input
from tests.property.test_safety_rules import BASE, CLUSTERS
from tests.scenarios.runner import Run

QUORUM = 2
NAMES = ("tokyo", "osaka", "fukuoka")
_patient = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _settings(name: str, **more: Any) -> Settings:
    peers = {"etcd": ["http://192.0.2.9:2379"], "name": name, "instances": NAMES, "silent_quorum": QUORUM, **more}
    return Settings(**{**BASE, "peers": peers})


class Watched(Run):
    """One instance, each of whose erases is held against what it had heard of the others by then."""

    def feed(self, given: Input) -> None:
        if isinstance(given, Peers):
            self.sights = dict(given.sights)
        seen = len(self.history)
        super().feed(given)
        for event in self.history[seen:]:
            if event.name is EventName.SWITCH_ORDERED:
                self.judge(event.cluster, event.cause)

    def judge(self, cluster: str, cause: str) -> None:
        seeing = [sight for sight in self.sights.values() if not sight.blind]
        votes = sum(cluster in sight.silent for sight in seeing)
        if cause == SILENCE:
            assert votes + 1 >= min(QUORUM, len(seeing) + 1), "erased on the silence of too few"
        if cause == PEER:
            told = any(each.cluster == cluster for sight in self.sights.values() for each in sight.against)
            assert told or votes >= QUORUM, "erased on the word of nobody"


sight = st.builds(
    Sight,
    st.frozensets(st.sampled_from(CLUSTERS)),
    st.sampled_from([(), (), (Objection(CLUSTERS[0], "", "internal_anomaly", "n1", "no rules"),)]),
    st.sampled_from([False, False, True]),
)
others = st.dictionaries(st.sampled_from(NAMES[1:]), sight)
what = st.one_of(
    st.tuples(st.sampled_from(["mute", "mute", "unmute"]), st.sampled_from(CLUSTERS)),
    st.tuples(st.just("peers"), others),
    st.tuples(st.sampled_from(["gone", "restart"]), st.none()),
)
timeline = st.lists(st.tuples(st.sampled_from([0.05, 0.7, 2.6, 6.0]), what), max_size=14)


@_patient
@given(timeline)
def test_nothing_is_erased_on_the_silence_of_too_few_who_can_be_heard(
    events: list[tuple[float, tuple[str, Any]]],
) -> None:
    run = Watched(_settings("tokyo"))
    run.feed(Peers(True))
    run.advance(run.now + 0.5)
    for wait, (word, value) in events:
        if word == "mute":
            run.muted.add(value)
        elif word == "unmute":
            run.muted.discard(value)
        elif word == "restart":
            run.boot()
            run.sights = {}
        else:
            run.feed(Peers(word == "peers", value or {}))
        run.advance(run.now + wait)
        for app in run.state.table.apps.values():
            assert app.records, "an automatic step left a domain without an address"


class Etcd:
    """What stands in the document; each instance reads and writes by itself, as late as the timeline has it."""

    def __init__(self) -> None:
        self.document = Document(0)

    def read(self, run: Run) -> None:
        run.feed(self.document)

    def write(self, run: Run) -> None:
        wanted = run.state.sharing.wanted
        if wanted and wanted.revision == self.document.revision:
            self.document = Document(wanted.revision + 1, wanted.orders)
        self.read(run)


order = st.tuples(st.sampled_from(["drain", "erase", "restore", "force"]), st.sampled_from(CLUSTERS))
deed = st.one_of(
    st.tuples(st.just("order"), order),
    st.tuples(st.sampled_from(["read", "write", "write", "restart", "lost"]), st.none()),
)
deeds = st.lists(st.tuples(st.integers(0, 1), deed), max_size=24)


@_patient
@given(deeds)
def test_all_instances_come_to_agree_and_nobodys_order_is_lost_untold(
    deeds: list[tuple[int, tuple[str, Any]]],
) -> None:
    etcd, runs = Etcd(), [Run(_settings(name)) for name in NAMES[:2]]
    for run in runs:
        run.advance(run.now + 0.5)
    forced = False
    for who, (word, value) in deeds:
        run = runs[who]
        run.now += 1.0
        if word == "order":
            verb, cluster = value
            action = Action.ERASE if verb == "force" else Action(verb)
            run.reply = None
            run.feed(Order(action, (cluster,), "alice", force=verb == "force"))
            forced |= verb == "force"
        elif word == "restart":
            run.boot()
        elif word == "lost":
            etcd.document = Document(0)
        else:
            getattr(etcd, word)(run)
    for _ in range(4):
        for run in runs:
            etcd.write(run)
    standing = [{name: override.action for name, override in run.state.overrides.items()} for run in runs]
    assert standing[0] == standing[1], "two instances disagree on what operators have ordered"
    for run in runs:
        assert not run.state.sharing.unshared, "an order was never shared"
        for app in run.state.table.apps.values():
            assert forced or app.records, "two operators together left a domain without an address"
        _each_order_holds_or_was_told(run)


def _each_order_holds_or_was_told(run: Run) -> None:
    """The newest line of the history about each cluster says how it stands."""
    for cluster in CLUSTERS:
        names = [e.name for e in run.history if e.cluster == cluster and e.name in _TELLS]
        if not names:
            continue
        out = cluster in run.state.overrides
        assert out == (names[-1] is EventName.OVERRIDE_SET) or names[-1] is EventName.OVERRIDE_OVERRULED, names


_TELLS = {EventName.OVERRIDE_SET, EventName.OVERRIDE_ENDED, EventName.OVERRIDE_EXPIRED, EventName.OVERRIDE_OVERRULED}
