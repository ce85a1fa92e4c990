"""What a hand's confirmation is worth telling: each address that an internal DNS answers no longer, once (spec S15, S17)."""

from __future__ import annotations

from collections.abc import Mapping

from core.hands.asking import Server
from core.hands.hand import Target
from core.hands.internal_dns import InternalDns
from core.hands.tellers import Flush
from core.hands.telling import events
from core.model import EventName
from core.records import RecordTable
from core.settings import App, Cluster, Settings
from core.state import State
from core.world import build

SETTINGS = Settings(
    cluster=(
        Cluster(name="a", addresses=("192.0.2.1",)),
        Cluster(name="b", addresses=("192.0.2.2", "2001:db8::2")),
    ),
    app=(App(domain="svc1.net", clusters=("a", "b")), App(domain="svc2.net", clusters=("a", "b"))),
)
STATE = State(build(SETTINGS), RecordTable(7))


def hand(*domains: str) -> InternalDns:
    return InternalDns("dns", "a", Server("192.0.2.53", 53, 1.0), domains, Flush(("true",), ("", ""), 1.0))


def target(**erased: str) -> Target:
    places: Mapping[str, frozenset[str]] = {
        f"{app}.net.": frozenset(filter(None, text.split())) for app, text in erased.items()
    }
    return Target(RecordTable(7), places)


def test_each_cluster_whose_address_is_gone_is_told_under_each_name() -> None:
    found = list(events(hand(), target(svc1=""), target(svc1="192.0.2.2 2001:db8::2", svc2="192.0.2.1"), STATE, 5.0))
    assert [(e.name, e.app, e.cluster, e.serial) for e in found] == [
        (EventName.INTERNAL_DNS_ERASED, "svc1.net.", "b", 7),
        (EventName.INTERNAL_DNS_ERASED, "svc2.net.", "a", 7),
    ]
    assert found[0].evidence == "dns at 192.0.2.53:53 answers without 192.0.2.2, 2001:db8::2"


def test_what_was_confirmed_before_and_names_that_it_is_not_told_of_are_not_told_again() -> None:
    assert not list(events(hand(), target(svc1="192.0.2.1"), target(svc1="192.0.2.1"), STATE, 5.0))
    assert not list(events(hand(), target(svc1="192.0.2.1"), target(svc1=""), STATE, 5.0))
    assert not list(events(hand("svc1.net."), target(), target(svc2="192.0.2.1"), STATE, 5.0))
