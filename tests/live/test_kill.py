"""kill -9 at random instants under changing overrides (spec S30, S34): what was acknowledged is there after the start.

POINTSMAN_KILLS sets how often (default 8); POINTSMAN_SEED the instants.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import dns.asyncquery
import dns.message
import pytest

from core.control.remote import RemoteClient
from core.errors import CommandRefused, PointsmanError
from core.lab.client import LabClient
from core.lab.demo import running
from core.model import Action, Kind, Order, Verdict
from core.settings.load import load
from core.snapshot import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.slow]
KILLS = int(os.environ.get("POINTSMAN_KILLS", "8"))
SEED = int(os.environ.get("POINTSMAN_SEED", "1"))
Override: TypeAlias = tuple[Action, str]
CLUSTERS = ("tokyo", "osaka", "fukuoka")


class Process:
    """One life of a headless pointsman."""

    def __init__(self, config: Path, log: Path) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", "run", "--headless", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={
                **os.environ,
                "POINTSMAN_RECOVERY__RAMP": "[100]",
            },  # else an answer holds a returning cluster by chance
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == b"ready\n", log.read_text()[-2000:]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._log.close()
        assert self._process.stdout is not None
        self._process.stdout.close()


@asynccontextmanager
async def life_of(config: Path, log: Path) -> AsyncIterator[tuple[Process, RemoteClient]]:
    """A life that ends by kill -9, whatever the test makes of it."""
    process = Process(config, log)
    client = RemoteClient(load(config).control_socket)
    try:
        yield process, client
    finally:
        process.kill()
        await client.close()


async def answers(port: int, domain: str) -> set[str]:
    query = dns.message.make_query(domain, "A")
    reply = await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=5)
    return {str(record) for rrset in reply.answer for record in rrset}


def overrides(snapshot: Snapshot) -> dict[str, Override]:
    return {view.name: (view.override.action, view.override.why) for view in snapshot.clusters if view.override}


def vswitch(snapshot: Snapshot, cluster: str) -> set[Verdict]:
    view = next(view for view in snapshot.clusters if view.name == cluster)
    return {check.verdict for source in view.sources for check in source.checks if check.kind is Kind.VSWITCH}


class Orders:
    """What a client knows of its own orders: by cluster, the last one acknowledged, and the one under way."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._number = 0
        self.standing: dict[str, Override] = {}
        self.acknowledged = 0
        self.under_way: Order | None = None
        self.enough = False

    async def give(self, client: RemoteClient) -> None:
        """Change overrides without a pause until the engine is gone, noting each acknowledgement the moment it comes."""
        self.enough = False
        while not self.enough:
            self._number += 1
            action = self._dice.choice([Action.DRAIN, Action.ERASE, Action.RESTORE])
            order = Order(action, (self._dice.choice(CLUSTERS),), "alice", f"order {self._number}")
            self.under_way = order
            try:
                await client.order(order)
            except CommandRefused:
                self.under_way = None
                continue
            except PointsmanError:
                return
            self._set(order)
            self.acknowledged += 1
            self.under_way = None
            await asyncio.sleep(self._dice.random() * 0.02)

    def _set(self, order: Order) -> None:
        [cluster] = order.clusters
        if order.action is Action.RESTORE:
            self.standing.pop(cluster, None)
        else:
            self.standing[cluster] = (order.action, order.why)

    def check(self, found: dict[str, Override]) -> None:
        """Each cluster stands as its last acknowledged order says; the one under way at the kill was carried out or not."""
        if self.under_way and found != self.standing:
            self._set(self.under_way)
        self.under_way = None
        assert found == self.standing


@pytest.mark.timeout(60 + 15 * KILLS)
async def test_a_kill_at_any_instant_loses_nothing_acknowledged(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    orders = Orders(dice)
    before: dict[str, set[str]] = {}
    with running(tmp_path / "lab", dns_port=0) as config:
        for life in range(KILLS + 1):
            async with life_of(config, tmp_path / "log") as (process, client):
                snapshot = await client.snapshot()
                port = int(snapshot.listen[0].rsplit(":", 1)[1])
                orders.check(overrides(snapshot))
                for domain, addresses in before.items():
                    assert await answers(port, domain) == addresses, f"life {life}: the answers of {domain} changed"
                if life == 0:
                    await LabClient(tmp_path / "lab").break_("osaka", "vswitch")
                    others = {view.addresses[0] for view in snapshot.clusters if view.name != "osaka"}
                    async with asyncio.timeout(30):
                        while await answers(port, "svc1.net.") != others:
                            await asyncio.sleep(0.05)
                else:
                    assert vswitch(snapshot, "osaka") == {Verdict.FAIL, Verdict.OK}, "the last verdicts are there"
                giving = asyncio.create_task(orders.give(client))
                await asyncio.sleep(dice.random() * 0.6)
                if life % 2:  # nothing under way at the kill: then the answers have to be the same as well
                    orders.enough = True
                    await giving
                    assert orders.under_way is None
                    before = {domain: await answers(port, domain) for domain in ("svc1.net.", "svc2.net.")}
                else:
                    before = {}
                process.kill()
                await asyncio.wait({giving})
    assert orders.acknowledged > KILLS, "hardly an order was acknowledged: hardly anything was tested"
