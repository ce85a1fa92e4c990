"""Several pointsmans as processes, each with a directory, a name server and a store of its own, that share through etcd."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from core.errors import CommandRefused
from core.model import Action, Event, Order, OrderResult
from core.snapshot import PeersView
from tests.live.app_program import Program, eventually, program, written

NAMES = ("tokyo", "osaka", "fukuoka")
LEASE = 3.0
"""Seconds: the shortest that etcd's own election leaves room for."""
SETTINGS = """
[dns]
listen = ["127.0.0.1:0"]
ttl = 0
[store]
directory = "state"
[control]
socket = "control.sock"
[recovery]
hold = 0
ramp = [100]
[peers]
etcd = {etcd}
name = "{name}"
instances = {names}
lease = {lease}
timeout = 0.7
{more}
[[app]]
domain = "svc1.net."
clusters = ["a", "b"]
[[cluster]]
name = "a"
addresses = ["192.0.2.1"]
{a}
[[cluster]]
name = "b"
addresses = ["192.0.2.2"]
"""
CONFIRM = 'confirm = {{ kind = "http", target = "127.0.0.1:{port}/healthz", timeout = 0.3 }}'


class Instance(Program):
    """One of them; made by :func:`instance`."""

    name: str

    @property
    def peers(self) -> PeersView:
        found = self.snapshot().peers
        assert found is not None
        return found

    @property
    def heard(self) -> set[str]:
        return {each.name for each in self.peers.instances if each.heard}

    def give(self, action: Action, cluster: str, why: str = "", until: float | None = None) -> OrderResult:
        order = Order(action, (cluster,), f"operator-{self.name}", why, until)
        return self.ask(lambda client: client.order(order))

    def refused(self, action: Action, cluster: str) -> str:
        try:
            done = self.give(action, cluster)
        except CommandRefused as refusal:
            return str(refusal)
        raise AssertionError(f"was carried out: {done.said}")

    def refused_at(self, action: Action, cluster: str, revision: int) -> str:
        """Why an order is refused that was given by one who saw an older revision."""
        order = Order(action, (cluster,), "somebody", expected=((cluster, revision),))
        with pytest.raises(CommandRefused) as refusal:
            self.ask(lambda client: client.order(order))
        return str(refusal.value)

    def events(self, *names: str) -> list[Event]:
        found = self.ask(lambda client: client.events(limit=1000))
        return [event for event in found if event.name in names]


def config(
    directory: Path, name: str, etcd: Sequence[str], *, confirm: int = 0, more: str = "", names: Sequence[str] = NAMES
) -> Path:
    """The settings of one; ``confirm`` is the port that cluster a is asked at, 0: nobody checks it."""
    place = directory / name
    place.mkdir(exist_ok=True)
    a = CONFIRM.format(port=confirm) if confirm else ""
    quoted = [[*map(str, each)] for each in (etcd, names)]
    return written(
        place,
        SETTINGS.format(
            etcd=str(quoted[0]).replace("'", '"'),
            names=str(quoted[1]).replace("'", '"'),
            name=name,
            lease=LEASE,
            more=more,
            a=a,
        ),
    )


@contextmanager
def instance(config: Path, *, under: Sequence[str] = (), **env: str) -> Iterator[Instance]:
    with program(config, under=under, **env) as found:
        found.__class__ = Instance
        assert isinstance(found, Instance)
        found.name = config.parent.name
        yield found


@contextmanager
def instances(configs: Sequence[Path]) -> Iterator[list[Instance]]:
    """All of them, once each hears every other."""
    with ExitStack() as stack:
        found = [stack.enter_context(instance(each)) for each in configs]
        for each in found:
            eventually(lambda each=each: len(each.heard) == len(configs) - 1)  # type: ignore[misc]
        yield found
