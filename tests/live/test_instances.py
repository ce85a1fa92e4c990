"""Several instances share orders through a real etcd: in force everywhere at once, and told when another was first."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model import Action
from tests.live.app_program import eventually
from tests.live.etcd_servers import Member, etcd, wire
from tests.live.instance_cases import CASES, Case
from tests.live.instances import config, instance, instances

pytestmark = pytest.mark.live


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    with etcd(tmp_path) as [found]:
        yield found


def test_an_order_is_in_force_at_the_others_and_outlives_who_gave_it(tmp_path: Path, member: Member) -> None:
    configs = [config(tmp_path, name, [member.endpoint]) for name in ("tokyo", "osaka")]
    with instances(configs) as [tokyo, osaka]:
        done = tokyo.give(Action.DRAIN, "a", "new kernel")
        assert done.said == ("a is drained: no new clients",)
        eventually(lambda: osaka.addresses() == {"192.0.2.2"})
        override = osaka.cluster("a").override
        assert override
        assert (override.action, override.who, override.why) == (Action.DRAIN, "operator-tokyo at tokyo", "new kernel")
        tokyo.close()
        eventually(lambda: osaka.heard == set())
        assert osaka.addresses() == {"192.0.2.2"}
        with instance(config(tmp_path, "fukuoka", [member.endpoint])) as fukuoka:  # one that was not there then
            eventually(lambda: fukuoka.addresses() == {"192.0.2.2"})
        osaka.give(Action.RESTORE, "a", "done")
        assert osaka.addresses() == {"192.0.2.1", "192.0.2.2"}
        with instance(configs[0]) as again:  # it was dead meanwhile, and has the drain on its disk
            eventually(lambda: again.addresses() == {"192.0.2.1", "192.0.2.2"})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_each_serves_while_something_is_broken_between_them(tmp_path: Path, case: Case) -> None:
    assert case(tmp_path)


def test_two_operators_at_once_the_later_is_told(tmp_path: Path, member: Member) -> None:
    """Both give their order before either can know of the other's: what held osaka's back is a wire that is cut for that moment."""
    with wire(member.port) as way:
        configs = [config(tmp_path, "tokyo", [member.endpoint]), config(tmp_path, "osaka", [way.endpoint])]
        with instances(configs) as [tokyo, osaka]:
            way.cut()
            tokyo.give(Action.DRAIN, "a", "work")
            threading.Timer(0.3, way.mend).start()
            said = osaka.refused(Action.ERASE, "a")
            assert said == "overruled: operator-tokyo at tokyo has ordered drain of a first: look again, then decide"
            eventually(lambda: osaka.peers.unshared == ())
            override = osaka.cluster("a").override
            assert override
            assert (override.action, override.who) == (Action.DRAIN, "operator-tokyo at tokyo")
            assert "has changed since you looked" in osaka.refused_at(Action.RESTORE, "a", 0)


def test_a_name_is_given_once(tmp_path: Path, member: Member) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    with instances([config(tmp_path, name, [member.endpoint]) for name in ("tokyo", "osaka")]) as [tokyo, osaka]:
        with instance(config(other, "tokyo", [member.endpoint])) as double:
            eventually(lambda: any("another instance is called tokyo" in line for line in double.snapshot().trouble))
            assert not double.peers.reachable
        assert tokyo.heard == {"osaka"}
        assert osaka.heard == {"tokyo"}
        assert osaka.events("peer_lost") == []


def test_an_instance_that_ends_in_order_is_missed_at_once_and_one_that_is_killed_takes_its_place_again(
    tmp_path: Path, member: Member
) -> None:
    configs = [config(tmp_path, name, [member.endpoint]) for name in ("tokyo", "osaka")]
    with instances(configs) as [tokyo, osaka]:
        tokyo.process.kill()
        with instance(configs[0]) as again:
            eventually(lambda: again.heard == {"osaka"})
            eventually(lambda: osaka.heard == {"tokyo"})
            again.end()
            assert not [key for key in member.keys("/pointsman/instance/") if key.endswith("/tokyo")]


def test_what_etcd_has_lost_is_written_again(tmp_path: Path, member: Member) -> None:
    configs = [config(tmp_path, name, [member.endpoint]) for name in ("tokyo", "osaka")]
    with instances(configs) as [tokyo, osaka]:
        tokyo.give(Action.DRAIN, "a", "work")
        eventually(lambda: osaka.addresses() == {"192.0.2.2"})
        member.kill()
        shutil.rmtree(member.directory)
        member.start()
        eventually(lambda: tokyo.heard == {"osaka"} and osaka.heard == {"tokyo"})
        eventually(lambda: member.has("/pointsman/orders"))
        assert tokyo.addresses() == osaka.addresses() == {"192.0.2.2"}
        osaka.give(Action.RESTORE, "a")
        eventually(lambda: len(tokyo.addresses()) == 2)


@pytest.mark.parametrize("value", ["nonsense", '{"a": 7}', '{"zzz": {"action": "drain", "who": "x", "why": "", "by": "y", "at": 1}}'])  # fmt: skip
def test_nonsense_in_etcd_ends_nothing(tmp_path: Path, member: Member, value: str) -> None:
    with instances([config(tmp_path, name, [member.endpoint]) for name in ("tokyo", "osaka")]) as [tokyo, _]:
        member.put("/pointsman/orders", value)
        member.put("/pointsman/instance/nobody", value)
        if "zzz" in value:  # a cluster that only others know stays in the document
            tokyo.give(Action.DRAIN, "a", "work")
            assert "zzz" in member.value("/pointsman/orders")
        else:
            eventually(lambda: not tokyo.peers.reachable)
            assert "the orders of all instances (orders) cannot be read" in " ".join(tokyo.snapshot().trouble)
        assert tokyo.addresses()
        assert tokyo.command("status").code == 0
