"""How many must see a cluster as silent, whose evidence counts, and which serials an instance uses."""

from __future__ import annotations

import pytest

from core.detection.external import SILENCE, Assessment
from core.detection.peers import PEER, hear, needed, outvoted_by, with_peers
from core.errors import PointsmanError
from core.model import Action, Cause
from core.settings import Peers as Rules
from core.settings import Settings
from core.shared import ALONE, Document, Objection, Peers, SharedOrder, Sight
from core.sharing.form import Told, read_orders, read_sight, write_orders, write_sight
from core.switching.serials import FARTHEST, following

NAMES = ("tokyo", "osaka", "fukuoka")
SILENT = Assessment(causes=(Cause(SILENCE, "a", "router and 2 of 2 nodes silent", 10.0),))


def rules(**more: object) -> Rules:
    return Rules.model_validate({"etcd": ("http://192.0.2.1:2379",), "name": "tokyo", "instances": NAMES, **more})


def judged(own: Assessment, *sights: Sight, blind: bool = False, **more: object) -> Assessment:
    sharing, _ = hear(ALONE, Peers(True, dict(zip(NAMES[1:], sights, strict=False))), 20.0)
    return with_peers(own, "a", sharing, rules(**more), blind=blind)


WELL, DEAD, BLIND = Sight(), Sight(frozenset({"a"})), Sight(frozenset({"a"}), blind=True)


@pytest.mark.parametrize(
    ("quorum", "seeing", "alone", "wanted"),
    [(2, 1, "judge", 1), (2, 2, "judge", 2), (2, 3, "judge", 2), (3, 2, "judge", 2), (3, 3, "hold", 3), (1, 3, "judge", 1)],
)  # fmt: skip
def test_it_takes_the_quorum_or_all_who_can_see(quorum: int, seeing: int, alone: str, wanted: int) -> None:
    assert needed(rules(silent_quorum=quorum, alone=alone), seeing) == wanted


def test_alone_on_hold_no_number_is_enough() -> None:
    assert needed(rules(alone="hold"), 1) == 2
    assert judged(SILENT, alone="hold").causes == ()


@pytest.mark.parametrize(
    ("sights", "counts"),
    [((), True), ((WELL,), False), ((DEAD,), True), ((WELL, DEAD), True), ((WELL, WELL), False), ((BLIND,), True), ((BLIND, WELL), False)],
)  # fmt: skip
def test_our_silence_counts_when_enough_of_those_who_can_see_agree(sights: tuple[Sight, ...], counts: bool) -> None:
    found = judged(SILENT, *sights)
    assert bool(found.causes) is counts
    assert bool(found.outvoted) is not counts


def test_evidence_beside_a_silence_that_is_outvoted_stays() -> None:
    evidence = Cause("internal_anomaly", "a/n1/routes", "no rules", 9.0)
    found = judged(Assessment(causes=(*SILENT.causes, evidence)), WELL)
    assert found.causes == (evidence,)
    assert found.outvoted == SILENT.causes


def test_who_is_blind_is_not_outvoted_for_its_silence_is_no_vote() -> None:
    found = judged(SILENT, WELL, blind=True)
    assert (found.causes, found.outvoted) == (SILENT.causes, ())


@pytest.mark.parametrize(("sights", "erased"), [((DEAD,), False), ((DEAD, DEAD), True), ((DEAD, BLIND), False)])
def test_what_we_hear_is_erased_only_by_a_whole_quorum_of_others(sights: tuple[Sight, ...], erased: bool) -> None:
    found = judged(Assessment(), *sights)
    assert (found.against("svc1.net.") is not None) is erased


def test_evidence_of_others_speaks_for_the_app_it_names_since_it_was_first_heard() -> None:
    against = (Objection("a", "svc1.net.", "min_healthy", "a", "1 of 4 pods"), Objection("b", "", "x", "b", "no"))
    first, changed = hear(ALONE, Peers(True, {"osaka": Sight(against=against)}), 20.0)
    then, same = hear(first, Peers(True, {"osaka": Sight(against=against, serial=7)}), 30.0)
    assert changed == {"a", "b"}
    assert not same
    found = with_peers(Assessment(), "a", then, rules(), blind=False)
    assert found.against("svc1.net.") == Cause(PEER, "osaka: a", "1 of 4 pods", 20.0)
    assert found.against("svc2.net.") is None


def test_without_etcd_nobody_is_asked() -> None:
    assert with_peers(SILENT, "a", ALONE, Rules(), blind=False) is SILENT


def test_a_silence_that_does_not_count_says_how_many_see_it() -> None:
    sharing, _ = hear(ALONE, Peers(True, {"osaka": WELL, "fukuoka": DEAD}), 20.0)
    assert outvoted_by("a", sharing, rules(silent_quorum=3)) == "silent here, and for 2 of 3 instances; it takes 3"


def settings(name: str) -> Settings:
    return Settings(peers=rules(name=name))


def test_no_two_instances_use_one_serial_and_each_passes_what_it_heard() -> None:
    used = {name: set[int]() for name in NAMES}
    serial = dict.fromkeys(NAMES, 1000)
    for turn in range(300):
        name = NAMES[turn * 7 % 3]
        highest = max(serial.values())
        serial[name] = following(settings(name), serial[name], highest)
        assert serial[name] > highest
        used[name].add(serial[name])
    assert not (used["tokyo"] & used["osaka"]) | (used["osaka"] & used["fukuoka"]) | (used["tokyo"] & used["fukuoka"])


def test_alone_a_serial_is_the_next_one_and_a_clock_that_is_far_ahead_is_not_followed() -> None:
    assert following(Settings(), 41) == 42
    assert following(settings("tokyo"), 1000, 1000 + FARTHEST) < 1010


def test_what_is_written_is_read_again() -> None:
    sight = Sight(frozenset({"a"}), (Objection("b", "", "internal_anomaly", "b/n1/routes", "no rules"),), True, 7)
    told = Told("host:/state", 3, 5.5, sight)
    assert read_sight(write_sight(told)) == told
    order = SharedOrder(Action.DRAIN, "alice", "why", "tokyo", 1.5, True, 60.0, timer=17, left=12.0)
    read = read_orders(write_orders(Document(3, {"a": order})), 9)
    assert read == Document(9, {"a": order})
    assert (read.orders["a"].timer, read.orders["a"].left) == (17, None)


@pytest.mark.parametrize("value", [b"", b"[]", b"\xff", b'{"a":{"action":"freeze-all"}}', b'{"a":7}', b"{" * 10_000])
def test_nonsense_in_etcd_is_an_error_of_ours(value: bytes) -> None:
    with pytest.raises(PointsmanError):
        read_orders(value, 1)
    with pytest.raises(PointsmanError):
        read_sight(value)
