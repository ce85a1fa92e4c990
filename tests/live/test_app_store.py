"""A store that fails under the running program: DNS answers go on, and the trouble is told until it is over (spec S30)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.errors import PointsmanError
from core.model import Action
from tests.live.app_program import Program, eventually, program, written
from tests.live.test_app_start import disk

pytestmark = pytest.mark.live


def trouble(it: Program) -> tuple[str, ...]:
    return it.snapshot().trouble


def test_a_full_disk_is_told_while_answers_go_on_and_what_came_meanwhile_is_saved_once_there_is_room(
    tmp_path: Path,
) -> None:
    config = written(tmp_path)
    with disk(tmp_path / "state", "size=256k"):
        with program(config) as it:
            it.order(Action.FREEZE, why="before")
            with pytest.raises(OSError, match="No space"), (it.directory / "state" / "filler").open("wb", 0) as filler:
                while True:
                    filler.write(b"x" * 4096)
            with pytest.raises(
                PointsmanError, match=r"carried out, but it will be lost at a restart: .*the disk is full"
            ):
                for number in range(50):
                    it.order(Action.DRAIN, "a", why=f"{number} " + "x" * 250)
            assert it.addresses() == {"192.0.2.2"}
            assert [line for line in it.command("status").out.splitlines() if line.startswith("TROUBLE: not saved: ")]
            eventually(lambda: "store_degraded" in it.said())
            (it.directory / "state" / "filler").unlink()
            eventually(lambda: not trouble(it))
            eventually(lambda: "recovered" in it.said())
            it.end()
        with program(config) as it:
            assert it.addresses() == {"192.0.2.2"}
            assert it.snapshot().frozen
            events = it.command("events").out
            assert "store_degraded" in events


def test_a_state_directory_that_is_removed_is_told_and_the_socket_made_again(tmp_path: Path) -> None:
    with program(written(tmp_path)) as it:
        shutil.rmtree(tmp_path / "state")
        it.socket.unlink()
        eventually(it.socket.is_socket)
        eventually(lambda: any("removed" in line for line in trouble(it)))
        with pytest.raises(PointsmanError, match=r"carried out, but it will be lost at a restart: .* removed"):
            it.order(Action.ERASE, "a")
        assert it.addresses() == {"192.0.2.2"}
        assert "TROUBLE" in it.command("status").out
        it.end()
