"""Several instances share orders through a real etcd: in force everywhere at once, and told when another was first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model import Action
from tests.live.app_program import eventually
from tests.live.etcd_servers import Member, etcd
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
