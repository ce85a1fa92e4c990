"""kill -9 at random instants under changing overrides (spec S30, S34): what was acknowledged is there after the start.

POINTSMAN_KILLS sets how often (default 8); POINTSMAN_SEED the instants.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import dns.asyncquery
import dns.message
import pytest

from core.control.remote import RemoteClient
from core.errors import CommandRefused, PointsmanError
from core.lab.demo import running
from core.model import Action, Order, Verdict
from core.settings.load import load
from core.snapshot import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.slow]
KILLS = int(os.environ.get("POINTSMAN_KILLS", "8"))
SEED = int(os.environ.get("POINTSMAN_SEED", "1"))
CLUSTERS = ("tokyo", "osaka", "fukuoka")


class Process:
    """One life of a headless pointsman."""

    def __init__(self, config: Path, log: Path) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", "run", "--headless", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == b"ready\n", log.read_text()[-2000:]

    def kill(self, number: int = signal.SIGKILL) -> int:
        self._process.send_signal(number)
        code = self._process.wait(10)
        self._log.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


async def answers(port: int, domain: str) -> set[str]:
    query = dns.message.make_query(domain, "A")
    reply = await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=5)
    return {str(record) for rrset in reply.answer for record in rrset}


def overrides(snapshot: Snapshot) -> dict[str, tuple[Action, str, str]]:
    return {
        view.name: (view.override.action, view.override.who, view.override.why)
        for view in snapshot.clusters
        if view.override
    }


async def give_orders(
    client: RemoteClient, acknowledged: dict[str, Order], under_way: list[Order], dice: random.Random
) -> None:
    """Change overrides without a pause, noting each acknowledgement the moment it comes."""
    number = 0
    while True:
        number += 1
        action = dice.choice([Action.DRAIN, Action.ERASE, Action.RESTORE])
        order = Order(action, (dice.choice(CLUSTERS),), "alice", f"order {number} {dice.random()}")
        under_way[:] = [order]
        try:
            await client.order(order)
        except CommandRefused:
            continue
        except PointsmanError:
            return
        acknowledged[order.clusters[0]] = order
        under_way.clear()
        await asyncio.sleep(dice.random() * 0.02)


@pytest.fixture
async def settled(tmp_path: Path) -> AsyncIterator[Path]:
    """A lab with one broken cluster, so that there are verdicts to keep beside the overrides."""
    with running(tmp_path / "lab", dns_port=0) as config:
        yield config


@pytest.mark.timeout(60 + 15 * KILLS)
async def test_a_kill_at_any_instant_loses_nothing_acknowledged(settled: Path, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    socket = load(settled).control_socket
    acknowledged: dict[str, Order] = {}
    verdicts: dict[str, Verdict] = {}
    before: dict[str, set[str]] = {}
    for life in range(KILLS):
        process = Process(settled, tmp_path / "log")
        client = RemoteClient(socket)
        snapshot = await client.snapshot()
        port = int(snapshot.listen[0].rsplit(":", 1)[1])
        if life:
            check_overrides(overrides(snapshot), acknowledged, under_way)
            if not under_way:
                for domain, addresses in before.items():
                    assert await answers(port, domain) == addresses, f"life {life}: the answers of {domain} changed"
        under_way: list[Order] = []
        task = asyncio.create_task(give_orders(client, acknowledged, under_way, dice))
        await asyncio.sleep(dice.random() * 0.6)
        if life % 2:
            task.cancel()
            await asyncio.wait({task})
            await asyncio.sleep(0.1)
            before = {domain: await answers(port, domain) for domain in ("svc1.net.", "svc2.net.")}
            if under_way:
                before = {}
        else:
            before = {}
        process.kill()
        await asyncio.wait({task})
        await client.close()
    assert acknowledged, "no order was acknowledged: nothing was tested"
    assert not verdicts


def check_overrides(
    found: dict[str, tuple[Action, str, str]], acknowledged: dict[str, Order], under_way: list[Order]
) -> None:
    """Each cluster stands as its last acknowledged order says, or as the one that was under way at the kill."""
    for cluster in CLUSTERS:
        allowed = []
        last = acknowledged.get(cluster)
        for order in [last, *(order for order in under_way if order.clusters == (cluster,))]:
            set_by_hand = order is not None and order.action is not Action.RESTORE
            allowed.append((order.action, order.who, order.why) if order is not None and set_by_hand else None)
        assert found.get(cluster) in allowed, f"{cluster}: {found.get(cluster)}, allowed {allowed}"
