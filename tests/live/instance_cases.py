"""What each of several instances serves while something is broken between them: each case plays one fault with real pointsmans and a real etcd,
asserts what must be so, and gives its rows of the table in the operator's guide. Run by the tests, and by ``make bench-instances``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from core.model import Action
from tests.live import paths as ways
from tests.live.app_program import eventually
from tests.live.etcd_servers import Member, etcd, wire
from tests.live.instances import Instance, config, instance, instances
from tests.live.strace_tools import injected

BOTH, ONLY_A, ONLY_B = {"192.0.2.1", "192.0.2.2"}, {"192.0.2.1"}, {"192.0.2.2"}
WORDS = {frozenset(BOTH): "a and b", frozenset(ONLY_A): "a", frozenset(ONLY_B): "b"}
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@dataclass(frozen=True)
class Row:
    """What one instance served at one point of a case, and how it said so."""

    case: str
    when: str
    instance: str
    served: str
    told: str = ""


class Table:
    """Rows of one case. :meth:`waits` until the instances serve what they are to serve, and notes it."""

    def __init__(self, case: str) -> None:
        self.case = case
        self.rows: list[Row] = []

    def waits(self, when: str, served: dict[Instance, set[str]]) -> None:
        for each, wanted in served.items():
            eventually(lambda each=each, wanted=wanted: each.addresses() == wanted)  # type: ignore[misc]
            eventually(lambda each=each: not (each.peers.reachable and each.peers.unshared))  # type: ignore[misc]
            self.rows.append(Row(self.case, when, each.name, WORDS[frozenset(each.addresses())], _told(each)))


def _told(found: Instance) -> str:
    peers = found.peers
    words = "" if peers.reachable else "alone"
    return ", ".join(filter(None, (words, "not shared: " + " ".join(peers.unshared) if peers.unshared else "")))


def _same(member: Member) -> dict[str, list[str]]:
    return {name: [member.endpoint] for name in ("tokyo", "osaka")}


@contextmanager
def _two(directory: Path, endpoints: dict[str, list[str]], **more: int) -> Iterator[list[Instance]]:
    names = tuple(endpoints)
    configs = [config(directory, name, endpoints[name], names=names, confirm=more.get(name, 0)) for name in names]
    with instances(configs) as found:
        yield found


def partition(directory: Path) -> list[Row]:
    """One instance is cut off from etcd; both get orders meanwhile."""
    table = Table("tokyo is cut off from etcd")
    with etcd(directory) as [member], wire(member.port) as way:
        places = {"tokyo": [way.endpoint], "osaka": [member.endpoint]}
        with _two(directory, places) as [tokyo, osaka]:
            way.cut()
            osaka.give(Action.DRAIN, "a", "work")
            table.waits("osaka drains a", {tokyo: BOTH, osaka: ONLY_B})
            eventually(lambda: not tokyo.peers.reachable)
            eventually(lambda: osaka.heard == set())
            assert any("no other instance is heard" in line for line in tokyo.snapshot().trouble)
            done = tokyo.give(Action.DRAIN, "b", "work")  # the last one of the two, and neither knows
            assert "do not have this yet" in done.said[-1], done
            table.waits("tokyo drains b", {tokyo: ONLY_A, osaka: ONLY_B})
            way.mend()
            eventually(lambda: tokyo.peers.reachable)
            table.waits("mended: osaka's was first", {tokyo: ONLY_B, osaka: ONLY_B})
            eventually(lambda: tokyo.peers.unshared == ())
            [event] = tokyo.events("override_overruled")
            assert event.who == "operator-tokyo"
            assert "operator-osaka at osaka" in event.cause
            osaka.give(Action.RESTORE, "a")
            table.waits("osaka restores a", {tokyo: BOTH, osaka: BOTH})
            assert len(tokyo.events("peers_lost")) == len(tokyo.events("peers_back")) == 1
    return table.rows


def leader_lost(directory: Path) -> list[Row]:
    """Of three members the leader is killed, then another: what is left is no majority."""
    table = Table("etcd loses its leader, then its majority")
    with etcd(directory, 3) as members:
        places = [each.endpoint for each in members]
        with _two(directory, {"tokyo": places, "osaka": places[::-1]}) as [tokyo, osaka]:
            tokyo.give(Action.DRAIN, "a", "work")
            table.waits("tokyo drains a", {tokyo: ONLY_B, osaka: ONLY_B})
            first = next(each for each in members if each.leads)
            first.kill()
            rest = [each for each in members if each is not first]
            eventually(lambda: any(_leads(each) for each in rest))
            osaka.give(Action.RESTORE, "a")
            table.waits("the leader is killed; osaka restores a", {tokyo: BOTH, osaka: BOTH})
            rest[0].kill()
            eventually(lambda: not tokyo.peers.reachable and not osaka.peers.reachable)
            osaka.give(Action.DRAIN, "b", "work")
            table.waits("another is killed; osaka drains b", {tokyo: BOTH, osaka: ONLY_A})
            first.start()
            rest[0].start()
            table.waits("both are back", {tokyo: ONLY_A, osaka: ONLY_A})
            eventually(lambda: osaka.peers.unshared == ())
    return table.rows


def _leads(member: Member) -> bool:
    try:
        return member.leads
    except OSError:
        return False


def hung(directory: Path) -> list[Row]:
    """Etcd hangs with its connections open; an erase is given in the very moment."""
    table = Table("etcd hangs (SIGSTOP)")
    with etcd(directory) as [member], _two(directory, _same(member)) as both:
        tokyo, osaka = both
        with member.stopped():
            began = time.monotonic()
            with ThreadedOrder(tokyo) as order:
                while tokyo.addresses() != ONLY_B:
                    pass
                took = time.monotonic() - began
                assert not order.done, "the order was answered first: nothing is known of who waits for whom"
            table.rows.append(
                Row(table.case, f"tokyo erases a: answered without it after {took * 1000:.0f} ms", "tokyo", "b")
            )
            assert "do not have this yet" in order.said[-1]
            eventually(lambda: not tokyo.peers.reachable and not osaka.peers.reachable)
            table.waits("the lease is over", {tokyo: ONLY_B, osaka: BOTH})
        eventually(lambda: tokyo.peers.reachable and osaka.peers.reachable)
        table.waits("it goes on", {tokyo: ONLY_B, osaka: ONLY_B})
        eventually(lambda: tokyo.peers.unshared == ())
    return table.rows


def slow_disk(directory: Path) -> list[Row]:
    """Every sync of etcd's disk takes 300 ms."""
    table = Table("etcd's disk takes 300 ms for each write")
    with etcd(directory) as [member], _two(directory, _same(member)) as both:
        tokyo, osaka = both
        assert member.process is not None
        with injected(member.process.pid, directory / "strace", "fdatasync,fsync", "delay_enter=300000"):
            tokyo.give(Action.ERASE, "a", "work")
            assert tokyo.addresses() == ONLY_B
            table.waits("tokyo erases a", {tokyo: ONLY_B, osaka: ONLY_B})
            osaka.give(Action.RESTORE, "a")
            table.waits("osaka restores a", {tokyo: BOTH, osaka: BOTH})
    return table.rows


def clock_skew(directory: Path) -> list[Row]:
    """One instance's clock is a day ahead; an override that ends by itself ends for both."""
    table = Table("tokyo's clock is a day ahead")
    faked = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+86400", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with etcd(directory) as [member], ExitStack() as stack:
        names = ("tokyo", "osaka")
        configs = [config(directory, name, [member.endpoint], names=names) for name in names]
        tokyo = stack.enter_context(instance(configs[0], **faked))
        osaka = stack.enter_context(instance(configs[1]))
        eventually(lambda: tokyo.heard == {"osaka"} and osaka.heard == {"tokyo"})
        eventually(lambda: 86000 < osaka.peers.instances[0].ahead < 87000)
        tokyo.give(Action.DRAIN, "a", "work", tokyo.snapshot().at + 4)
        table.waits("tokyo drains a for 4 s", {tokyo: ONLY_B, osaka: ONLY_B})
        override = osaka.cluster("a").override
        assert override
        assert override.until is not None
        assert override.until - osaka.snapshot().at < 10  # by osaka's clock
        table.waits("4 s later", {tokyo: BOTH, osaka: BOTH})
        assert len(osaka.events("override_expired")) == len(tokyo.events("override_expired")) == 1
    return table.rows


def silence(directory: Path) -> list[Row]:
    """The way to a cluster is cut for one instance, then for both; then it answers one of them that it is ill."""
    table = Table("the way to a")
    with etcd(directory) as [member], ways.paths(2) as [first, second]:
        places = _same(member)
        with _two(directory, places, tokyo=first.port, osaka=second.port) as [tokyo, osaka]:
            eventually(lambda: not tokyo.snapshot().starting and not osaka.snapshot().starting)
            first.open.clear()
            eventually(lambda: tokyo.events("silence_outvoted"))
            table.waits("cut for tokyo", {tokyo: BOTH, osaka: BOTH})
            second.open.clear()
            table.waits("cut for both", {tokyo: ONLY_B, osaka: ONLY_B})
            second.open.set()
            table.waits("osaka hears a again", {tokyo: BOTH, osaka: BOTH})
            second.well = False
            table.waits("a answers osaka that it is ill", {tokyo: ONLY_B, osaka: ONLY_B})
            assert any("osaka" in event.evidence for event in tokyo.events("address_erased"))
            osaka.close()
            table.waits("osaka is killed", {tokyo: ONLY_B})  # alone, and the way to a is cut for it
            first.open.set()
            table.waits("tokyo hears a again", {tokyo: BOTH})
    return table.rows


class ThreadedOrder:
    """An erase of a, given by another thread."""

    def __init__(self, instance: Instance) -> None:
        self.said: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._give, args=(instance,))

    def _give(self, instance: Instance) -> None:
        self.said = instance.give(Action.ERASE, "a", "broken").said

    @property
    def done(self) -> bool:
        return bool(self.said)

    def __enter__(self) -> ThreadedOrder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)


Case: TypeAlias = Callable[[Path], list[Row]]
CASES: dict[str, Case] = {
    "partition": partition,
    "leader_lost": leader_lost,
    "hung": hung,
    "slow_disk": slow_disk,
    "clock_skew": clock_skew,
    "silence": silence,
}
