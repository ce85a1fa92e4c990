"""Killed in the very call that writes, syncs or replies (spec S30, S34): chosen instants beside the random ones of test_kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import PointsmanError
from core.model import Action
from tests.conftest import require
from tests.live.app_program import Program, environment, program, written
from tests.live.strace_tools import injected

pytestmark = [pytest.mark.live, pytest.mark.slow]
PLACES = {"a": "192.0.2.1", "b": "192.0.2.2"}
INSTANTS = [
    ("pwrite64", 1),  # the write-ahead log is about to get its first page
    ("pwrite64", 2),
    ("pwrite64", 5),
    ("fdatasync,fsync", 1),  # written, not synced, not published
    ("fdatasync,fsync", 2),
    ("write,writev,sendmsg,sendto", 1),  # a log line, a wake-up, a reply: decided, perhaps answered, not acknowledged
    ("write,writev,sendmsg,sendto", 4),
    ("write,writev,sendmsg,sendto", 9),
]


def _drained_until_dead(running: Program) -> int:
    """Drain a, each time with another reason, until the process is gone; how often that was acknowledged."""
    for number in range(1, 100):
        try:
            running.order(Action.DRAIN, "a", why=f"order {number}")
        except PointsmanError:
            return number - 1
    raise AssertionError("it was not killed")


@pytest.mark.parametrize(("calls", "when"), INSTANTS)
def test_a_kill_in_a_write_a_sync_or_a_reply_loses_nothing_acknowledged(tmp_path: Path, calls: str, when: int) -> None:
    config = written(tmp_path)
    with program(config) as running:
        serial = running.snapshot().serial
        with injected(running.process.pid, tmp_path / "strace", calls, f"signal=KILL:when={when}"):
            acknowledged = _drained_until_dead(running)
        assert running.process.wait(10) == -9
    with program(config) as again:
        snapshot = again.snapshot()
        override = next(view.override for view in snapshot.clusters if view.name == "a")
        reasons = {f"order {acknowledged}" if acknowledged else None, f"order {acknowledged + 1}"}
        assert (override.why if override else None) in reasons, (
            "neither the last acknowledged order nor the one under way"
        )
        assert again.addresses() == {PLACES["b"]} | ({PLACES["a"]} if override is None else set())
        assert snapshot.serial > serial


@pytest.mark.parametrize("when", [1, 2, 4, 7, 11, 16])
def test_a_kill_while_the_store_is_made_leaves_one_that_can_be_used(tmp_path: Path, when: int) -> None:
    """The schema is brought to its version in the first start, as after an upgrade."""
    config = written(tmp_path)
    traced = [require("strace"), "-f", "-o", str(tmp_path / "strace")]
    traced += ["-e", "trace=pwrite64", "-e", f"inject=pwrite64:signal=KILL:when={when}"]
    words = [sys.executable, "-m", "core.cli", "run", "--headless", "--config", str(config)]
    done = subprocess.run(
        [*traced, *words], env=environment(tmp_path), cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert done.returncode in {-9, 137}, done.stderr
    with program(config) as running:
        running.order(Action.DRAIN, "a")
        assert running.addresses() == {PLACES["b"]}
