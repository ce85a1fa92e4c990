"""Results that say what is known are kept for a while, cluster by cluster."""

from __future__ import annotations

from core.model import CheckId, Evidence, Kind, SourceId
from core.renewals import RENEW_EVERY, Renewals


def found(cluster: str, node: str, at: float) -> Evidence:
    return Evidence(CheckId(SourceId(cluster, node), Kind.RUNTIME), True, "active", at)


def test_each_cluster_has_its_own_time_and_of_each_check_the_newest_counts() -> None:
    kept = Renewals()
    kept.put(found("a", "n1", 1.0), 1.0)
    kept.put(found("b", "n1", 1.2), 1.2)
    kept.put(found("a", "n1", 1.3), 1.3)
    kept.put(found("a", "n2", 1.3), 1.3)
    assert kept.due(1.0 + RENEW_EVERY - 0.01) == ()
    assert kept.due(1.0 + RENEW_EVERY) == (found("a", "n1", 1.3), found("a", "n2", 1.3))
    assert kept.due(1.2 + RENEW_EVERY) == (found("b", "n1", 1.2),)
    assert kept.due(9.0) == ()


def test_what_is_known_better_meanwhile_is_dropped() -> None:
    kept = Renewals()
    kept.put(found("a", "n1", 1.0), 1.0)
    kept.put(found("a", "n2", 1.0), 1.0)
    kept.drop(found("a", "n1", 1.0).check)
    kept.drop(found("z", "n1", 1.0).check)
    assert kept.due(2.0) == (found("a", "n2", 1.0),)
