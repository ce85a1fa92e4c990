"""Databases asked by a command of the operator's own (spec S9)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from core.model import Result
from core.probes.database import worker
from core.settings import Cluster, Database, Settings
from tests.live.rounds_recorder import bad, running, silent, well, words

pytestmark = pytest.mark.live


def watch(command: str, **changes: Any) -> Any:
    values: dict[str, Any] = {"name": "db", "kind": "command", "command": command, "interval": 0.1, "timeout": 10.0}
    database = Database(**{**values, **changes})
    cluster = Cluster(name="tokyo", addresses=("192.0.2.1",))
    return running(lambda sink, clock: worker(Settings(), cluster, database, sink, clock))


async def first(command: str, **changes: Any) -> Result:
    async with watch(command, **changes) as recorder:
        return await recorder.until(lambda _: True)


async def test_exit_code_0_is_well_and_another_a_fail() -> None:
    assert well(await first("true"))
    result = await first("echo 'it broke' >&2; exit 3")
    assert bad(result)
    assert words(result) == "exit code 3: it broke"


async def test_a_number_on_the_first_line_is_the_number_of_connections() -> None:
    assert words(await first("echo 12; echo rest", max_connections=12)) == "12 connections, limit 12"
    assert bad(await first("echo 13", max_connections=12))
    assert well(await first("echo 13 or so", max_connections=12))


async def test_a_command_that_is_not_there_is_silence() -> None:
    assert silent(await first("/nowhere/at-all"))


async def test_a_command_that_talks_without_end_is_bounded() -> None:
    assert well(await first("head -c 3000000 /dev/zero"))


async def test_at_the_deadline_the_whole_group_of_the_command_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = f"sleep 1000 & echo $! $$ > {pids}; wait"
    async with watch(command, timeout=1.0, interval=60.0) as recorder:
        result = await recorder.until(silent)
    assert words(result) == "no answer within 1 s"
    assert await asyncio.to_thread(_all_dead, [int(pid) for pid in pids.read_text().split()])


async def test_at_the_end_of_the_worker_the_command_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with watch(f"echo $$ > {pids}.new; mv {pids}.new {pids}; sleep 1000", timeout=1000.0):
        for _ in range(3000):
            if pids.exists():
                break
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(_all_dead, [int(pids.read_text())])


def _all_dead(pids: list[int]) -> bool:
    """A process that nobody has reaped yet is dead too."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not any(_alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
