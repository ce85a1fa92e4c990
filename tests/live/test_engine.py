"""The engine with the real store and the real DNS server: what is decided is saved, answered and told, in this order."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from core.clock import Clock
from core.engine import Engine
from core.errors import CommandRefused
from core.model import Action, CheckId, Event, EventName, Evidence, Kind, Order, Silence
from core.restore import restore
from core.saver import Saver
from core.selfcheck import SelfCheck
from core.settings import Settings
from core.store import Batch, Store, StoreError
from core.world import build
from dnsserver.server import DnsServer

pytestmark = pytest.mark.live
BASE = tomllib.loads((Path(__file__).parents[1] / "scenarios" / "files" / "base.toml").read_text())


class Running:
    """An engine with everything around it but probes; the test is the probes."""

    def __init__(self, engine: Engine, dns: DnsServer, store: Store, clock: Clock, told: list[Event]) -> None:
        self.engine, self.dns, self.store, self.clock, self.told = engine, dns, store, clock, told
        self.mute = ""

    def beat(self) -> None:
        for plan in self.engine.state.world.clusters.values():
            for source in plan.sources:
                if self.mute not in {source.cluster, str(source)}:
                    self.engine.heard(source, self.clock.now())

    def say(self, healthy: bool, only: str = "") -> None:
        for plan in self.engine.state.world.clusters.values():
            for source, kinds in plan.expected.items():
                for kind in kinds:
                    check = CheckId(source, kind)
                    if only in str(check) and "containers" not in str(check):
                        self.engine.result(Evidence(check, healthy, "as the test says", self.clock.now()))
                    elif not only:
                        self.engine.result(Silence(check, "not asked in this test", self.clock.now()))

    def answered(self, domain: str = "svc1.net.") -> set[str]:
        return {line.split()[-1] for line in self.dns.ask(domain, "A").answer}

    async def told_of(self, name: EventName, within: float = 5.0) -> Event:
        async with asyncio.timeout(within):
            while True:
                for event in self.told:
                    if event.name is name:
                        return event
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Running]:
    settings = Settings(**BASE, dns={"listen": ["127.0.0.1:0"]})
    clock = Clock()
    told: list[Event] = []
    store = await Store.open(directory, 1000)
    state = restore(build(settings), await store.load(), clock.now())
    dns = DnsServer(settings, state.table, lambda error: None)
    dns.start()
    engine = Engine(
        state,
        Saver(store, clock),
        await store.last_event_id(),
        dns,
        lambda target: None,
        SelfCheck(dns.addresses[0]).clean,
        clock,
        told.append,
    )
    found = Running(engine, dns, store, clock, told)
    beating = asyncio.create_task(_beat(found))
    task = asyncio.create_task(engine.run())
    try:
        found.say(True)
        yield found
    finally:
        for job in (task, beating):
            job.cancel()
            with suppress(asyncio.CancelledError):
                await job
        dns.stop()
        await store.close()


async def _beat(found: Running) -> None:
    while True:
        found.beat()
        await asyncio.sleep(0.02)


async def test_a_fault_leaves_dns_and_each_step_is_told_in_order(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        assert it.answered() == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
        it.say(False, only="a/n1/routes")
        clean = await it.told_of(EventName.FIRST_CLEAN_ANSWER)
        assert clean.cluster == "a"
        assert it.answered() == {"192.0.2.2", "192.0.2.3"}
        order = [event.name for event in it.told if event.cluster == "a" and event.app in {"", clean.app}]
        wanted = [
            "fault_seen",
            "internal_anomaly",
            "external_anomaly",
            "switch_ordered",
            "address_erased",
            "first_clean_answer",
        ]
        assert [name for name in order if name in wanted] == wanted
        kept = await it.store.events(cluster="a")
        assert [event.id for event in kept] == sorted(event.id for event in kept)


async def test_an_acknowledged_order_is_answered_and_saved(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        result = await it.engine.order(Order(Action.DRAIN, ("b",), "alice", "work"))
        assert it.answered() == {"192.0.2.1", "192.0.2.3"}
        assert result.serial == it.engine.state.table.serial
        assert "override/b" in await it.store.load()
        with pytest.raises(CommandRefused, match="changed since"):
            await it.engine.order(Order(Action.RESTORE, ("b",), "bob", expected=(("b", 0),)))
    async with running(tmp_path) as it:
        assert it.answered() == {"192.0.2.1", "192.0.2.3"}, "the override outlives the restart"


async def test_an_address_leaves_dns_although_nothing_can_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as it:
        await it.told_of(EventName.STARTED)
        await asyncio.sleep(0.2)

        async def full(batch: Batch) -> None:
            raise StoreError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(it.store, "write", full)
            it.say(False, only="a/n1/routes")
            await it.told_of(EventName.FIRST_CLEAN_ANSWER)
            assert it.answered() == {"192.0.2.2", "192.0.2.3"}
            assert "the disk is full" in it.engine.saver.trouble
            with pytest.raises(CommandRefused, match="lost at a restart"):
                await it.engine.order(Order(Action.DRAIN, ("b",), "alice"))
        async with asyncio.timeout(5):
            while it.engine.saver.trouble:
                await asyncio.sleep(0.05)
        assert {"override/b", "standing/svc1.net./a"} <= (await it.store.load()).keys(), (
            "what could not be saved is saved later"
        )


async def test_a_step_that_fails_is_told_and_the_next_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as it:
        await it.told_of(EventName.STARTED)
        with monkeypatch.context() as patch:
            patch.setattr("core.engine.step", _broken)
            it.say(False, only="a/n1/routes")
            with pytest.raises(CommandRefused, match="defect"):
                await it.engine.order(Order(Action.DRAIN, ("b",), "alice"))
            assert it.answered() == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
        assert any("defect" in line for line in it.engine.trouble)
        it.say(False, only="a/n1/routes")
        await it.told_of(EventName.FIRST_CLEAN_ANSWER)
        assert it.answered() == {"192.0.2.2", "192.0.2.3"}


def _broken(*_: object) -> object:
    raise ZeroDivisionError("as the test says")


async def test_sessions_that_begin_anew_at_a_reload_are_nobodys_silence(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        await it.told_of(EventName.STARTED)
        await asyncio.sleep(0.2)
        it.mute = "a"
        it.engine.reload(it.engine.state.world)
        await asyncio.sleep(1.0)
        assert it.answered() == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}, "nothing is known yet of a"
        for source in it.engine.state.world.clusters["a"].sources:
            it.engine.result(Silence(CheckId(source, Kind.WATCH), "cannot connect", it.clock.now()))
        await it.told_of(EventName.FIRST_CLEAN_ANSWER)
        assert it.answered() == {"192.0.2.2", "192.0.2.3"}


async def test_a_monitor_that_has_no_results_any_more_says_so_until_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.engine.stale_after", lambda world: 1.0)
    async with running(tmp_path) as it:
        async with asyncio.timeout(10):
            while not any("the monitor has stopped" in line for line in it.engine.trouble):
                await asyncio.sleep(0.05)
        it.say(True)
        assert it.engine.trouble == ()
