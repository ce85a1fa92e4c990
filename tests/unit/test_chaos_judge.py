"""The chaos soak's judge finds what is wrong, and nothing else: a checker that cannot fail proves nothing."""

from __future__ import annotations

import pytest

from bench.chaos.truth import FRESH, GONE, LIMIT, RETURN, WHOLE, Answer, Judge, Sort

APP = "svc1.net."
ALL = frozenset({"a", "b", "c"})


class Watched:
    """A judge and a clock: answers come every 10 ms."""

    def __init__(self) -> None:
        self.judge = Judge([APP, "svc2.net."], sorted(ALL))
        self.now = 1000.0

    def answered(self, held: frozenset[str], times: int = 1) -> None:
        for _ in range(times):
            self.now += 0.01
            self.judge.answer(Answer(APP, self.now, self.now + 0.001, held))

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def broken(self, cluster: str, sort: Sort = Sort.ERASE, apps: frozenset[str] | None = None) -> None:
        self.judge.fault_begun(self.now, cluster, "k", sort, "routes")
        self.judge.fault_there(self.now + 0.001, cluster, "k", sort, "routes", apps)

    def mended(self, cluster: str) -> None:
        self.judge.mend_begun(self.now, cluster, "k")
        self.judge.mended(self.now + 0.001, cluster, "k")

    def ordered(self, cluster: str, out: bool) -> None:
        self.judge.order_begun(self.now, cluster)
        self.judge.order_done(self.now + 0.001, cluster, out)

    @property
    def rules(self) -> list[str]:
        return [wrong.rule for wrong in self.judge.wrongs]


@pytest.fixture
def watched() -> Watched:
    found = Watched()
    found.answered(ALL)
    return found


def test_an_address_that_was_ordered_out_is_never_answered_again(watched: Watched) -> None:
    watched.ordered("a", out=True)
    watched.answered(ALL - {"a"}, 5)
    assert watched.rules == []
    watched.answered(ALL)
    assert watched.rules == ["stale_order"]


def test_what_was_asked_before_the_acknowledgement_may_hold_it(watched: Watched) -> None:
    asked = watched.now
    watched.judge.order_begun(asked + 0.001, "a")
    watched.judge.order_done(asked + 0.002, "a", out=True)
    watched.judge.answer(Answer(APP, asked, asked + 0.003, ALL))
    assert watched.rules == []


def test_a_broken_cluster_has_a_limit(watched: Watched) -> None:
    watched.broken("a")
    watched.wait(LIMIT - 1)
    watched.answered(ALL)
    assert watched.rules == []
    watched.wait(10)
    watched.answered(ALL)
    assert watched.rules == ["stale_fault"]


def test_what_is_gone_comes_back_only_when_it_is_mended(watched: Watched) -> None:
    watched.broken("a")
    watched.answered(ALL - {"a"}, GONE)
    watched.judge.down(watched.now)
    watched.judge.up(watched.now + 1)  # a kill changes nothing
    watched.wait(2)
    watched.answered(ALL)
    assert watched.rules == ["returned_broken"]


def test_a_well_cluster_is_never_missed(watched: Watched) -> None:
    watched.answered(ALL - {"b"})
    assert watched.rules == ["wrong_erase"]


@pytest.mark.parametrize("lie", ["one silent node", "uplink"])
def test_silence_that_is_no_outage_takes_nobody_out(watched: Watched, lie: str) -> None:
    if lie == "uplink":
        watched.judge.uplink(watched.now, True)
    else:
        watched.broken("a", Sort.NOTHING)
    watched.answered(ALL, 3)
    assert watched.rules == []
    watched.answered(ALL - {"a"})
    assert watched.rules == ["wrong_erase"]


def test_a_fault_of_one_app_is_none_of_the_other(watched: Watched) -> None:
    watched.broken("a", apps=frozenset({"svc2.net."}))
    watched.answered(ALL, 3)
    assert watched.rules == []
    watched.answered(ALL - {"a"})
    assert watched.rules == ["wrong_erase"]


def test_a_mended_cluster_has_to_come_back(watched: Watched) -> None:
    watched.broken("a")
    watched.answered(ALL - {"a"}, GONE)
    watched.mended("a")
    watched.answered(ALL - {"a"}, 3)
    watched.answered(ALL, 3)
    watched.answered(ALL - {"a"}, 3)  # a ramp
    assert watched.rules == []
    watched.wait(RETURN + 1)
    watched.answered(ALL - {"a"})
    assert watched.rules == ["missing"]


def test_once_wholly_back_it_stays(watched: Watched) -> None:
    watched.broken("a")
    watched.answered(ALL - {"a"}, GONE)
    watched.mended("a")
    watched.wait(FRESH)
    watched.answered(ALL, WHOLE)
    watched.answered(ALL - {"a"})
    assert watched.rules == ["wrong_erase"]


def test_an_erase_right_after_the_mend_goes_by_what_was_seen_before_it(watched: Watched) -> None:
    watched.broken("a")
    watched.answered(ALL, WHOLE)  # held back by the velocity budget
    watched.mended("a")
    watched.answered(ALL, 2)
    watched.answered(ALL - {"a"}, 50)
    watched.answered(ALL, WHOLE)
    assert watched.rules == []


def test_while_frozen_a_broken_cluster_stays_in(watched: Watched) -> None:
    watched.judge.freeze(watched.now, "begun")
    watched.judge.freeze(watched.now + 0.001, "done")
    watched.wait(1)
    watched.broken("a")
    watched.wait(LIMIT * 2)
    watched.answered(ALL)
    assert watched.rules == []
    watched.answered(ALL - {"a"})
    assert watched.rules == ["wrong_erase"]


def test_after_the_thaw_it_has_to_go(watched: Watched) -> None:
    watched.judge.freeze(watched.now, "done")
    watched.broken("a")
    watched.wait(1)
    watched.judge.freeze(watched.now, "thaw_begun")
    watched.judge.freeze(watched.now, "thawed")
    watched.wait(1)
    watched.answered(ALL)
    assert watched.rules == []
    watched.wait(LIMIT)
    watched.answered(ALL)
    assert watched.rules == ["stale_fault"]


def test_at_the_thaw_it_may_go_by_what_it_saw_while_frozen(watched: Watched) -> None:
    watched.judge.freeze(watched.now, "done")
    watched.broken("a")
    watched.wait(1)
    watched.mended("a")
    watched.wait(1)
    watched.judge.freeze(watched.now, "thaw_begun")
    watched.answered(ALL, WHOLE * 2)
    watched.judge.freeze(watched.now, "thawed")
    watched.answered(ALL - {"a"}, 3)
    assert watched.rules == []
    watched.wait(RETURN + 1)
    watched.answered(ALL - {"a"})
    assert watched.rules == ["missing"]


def test_when_nobody_is_well_the_broken_ones_may_be_answered_but_never_nobody(watched: Watched) -> None:
    for cluster in ALL:
        watched.broken(cluster)
    watched.wait(LIMIT * 2)
    watched.answered(ALL)
    assert watched.rules == []
    watched.answered(frozenset())
    assert watched.rules == ["empty"]


def test_only_a_process_that_is_down_owes_no_answer(watched: Watched) -> None:
    watched.judge.down(watched.now)
    watched.judge.up(watched.now + 1)
    watched.judge.answer(Answer(APP, watched.now + 0.5, watched.now + 1.5, None))
    assert watched.rules == []
    watched.judge.answer(Answer(APP, watched.now + 1.1, watched.now + 2.1, None))
    assert watched.rules == ["unanswered"]
    assert watched.judge.excused == 1


def test_the_time_to_a_clean_answer_counts_from_the_fault(watched: Watched) -> None:
    at = watched.now
    watched.broken("a")
    watched.wait(0.5)
    watched.answered(ALL - {"a"})
    [took] = watched.judge.clean["routes"]
    assert took == pytest.approx(watched.now - at)


def test_an_erase_of_a_router_that_did_not_answer_anybody_is_told_apart(watched: Watched) -> None:
    watched.judge.router_slow(watched.now, "a", watched.now + 1)
    watched.wait(2)
    watched.answered(ALL - {"a"})
    assert (watched.rules, watched.judge.starved) == ([], 1)
