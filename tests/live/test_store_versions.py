"""The store across versions, and a damaged one that is salvaged: nothing that decides is lost, and there is a way back (spec S30)."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from core import store as store_module
from core.errors import StartError
from core.model import Action, Event, EventName
from core.store import Batch, Store
from tests.conftest import require
from tests.live.app_program import environment, pointsman, program, written

pytestmark = pytest.mark.live
OLDER, PRESENT = store_module.MIGRATIONS[:1], store_module.MIGRATIONS


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of a pointsman whose state is of the first schema, with a drained cluster and one event."""
    config = written(tmp_path)
    with program(config) as it:
        it.order(Action.DRAIN, "a", why="before the upgrade")
        it.end()
    with closing(sqlite3.connect(tmp_path / "state" / "state.db")) as database:
        database.execute("DROP TABLE past")
        database.execute(f"PRAGMA user_version = {len(OLDER)}")
        database.commit()
    return config


def schema(file: Path) -> int:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        [(version,)] = database.execute("PRAGMA user_version")
        return int(version)


async def kept(directory: Path) -> tuple[dict[str, bytes], list[Event]]:
    store = await Store.open(directory, 1000)
    try:
        return await store.load(), await store.events()
    finally:
        await store.close()


def test_an_older_store_is_brought_forward_and_a_copy_stays(tmp_path: Path, older: Path) -> None:
    copy = tmp_path / "state" / "state.db.schema-1"
    with program(older) as it:
        assert it.addresses() == {"192.0.2.2"}
        assert [view.override.why for view in it.snapshot().clusters if view.override] == ["before the upgrade"]
        it.end()
    assert (schema(copy), schema(tmp_path / "state" / "state.db")) == (1, len(PRESENT))
    assert copy.stat().st_mode & 0o777 == 0o600
    assert not copy.with_name("state.db.schema-1.part").exists()


def test_the_way_back_is_named_and_leads_to_what_was_before_the_upgrade(
    tmp_path: Path, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with program(older) as it:
        it.order(Action.RESTORE, "a")
        it.end()
    state = tmp_path / "state"
    monkeypatch.setattr(store_module, "MIGRATIONS", OLDER)
    with pytest.raises(
        StartError, match=r"newer pointsman \(schema 2, this one knows 1\); .* put state\.db\.schema-1 in its place"
    ):
        asyncio.run(Store.open(state, 1000))
    for name in ("state.db-wal", "state.db-shm"):
        (state / name).unlink(missing_ok=True)
    (state / "state.db.schema-1").replace(state / "state.db")
    values, events = asyncio.run(kept(state))
    assert b"before the upgrade" in values["override/a"]
    assert EventName.OVERRIDE_SET in {event.name for event in events}


@pytest.mark.slow
@pytest.mark.parametrize("when", [1, 2, 3, 5, 8, 13])
def test_a_kill_at_any_write_of_a_migration_leaves_one_that_goes_on(tmp_path: Path, older: Path, when: int) -> None:
    traced = [require("strace"), "-f", "-o", str(tmp_path / "strace")]
    traced += [
        "-e",
        "trace=pwrite64,fsync,fdatasync,rename",
        "-e",
        f"inject=pwrite64,fsync,fdatasync,rename:signal=KILL:when={when}",
    ]
    words = [sys.executable, "-m", "core.cli", "run", "--headless", "--config", str(older)]
    done = subprocess.run(
        [*traced, *words], env=environment(tmp_path), cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert done.returncode in {-9, 137}, done.stderr
    with program(older) as it:
        assert it.addresses() == {"192.0.2.2"}
        it.end()
    assert schema(tmp_path / "state" / "state.db") == len(PRESENT)
    copy = tmp_path / "state" / "state.db.schema-1"
    assert not copy.exists() or schema(copy) == 1, "a copy is whole or not there"


def damaged(directory: Path, *, from_page: int) -> None:
    """Nonsense over the pages from there on; those of the state come first."""
    file = directory / "state.db"
    octets = bytearray(file.read_bytes())
    assert len(octets) > (from_page + 8) * 4096
    octets[from_page * 4096 : (from_page + 8) * 4096] = b"\xa5" * 8 * 4096
    file.write_bytes(octets)


async def filled(directory: Path) -> None:
    store = await Store.open(directory, 1000)
    events = tuple(Event(EventName.STARTED, at=1.0, evidence="x" * 300, id=n + 1000) for n in range(500))
    await store.write(Batch(events=events))
    await store.close()


def test_a_damaged_history_is_salvaged_when_told_to_and_the_overrides_are_there(tmp_path: Path) -> None:
    config = written(tmp_path)
    with program(config) as it:
        it.order(Action.DRAIN, "a", why="new disk")
        it.end()
    asyncio.run(filled(tmp_path / "state"))
    damaged(tmp_path / "state", from_page=12)
    refused = pointsman(tmp_path, "run", "--headless", "--config", str(config))
    assert refused.code == 1
    assert "state.db is damaged" in refused.refusal
    assert "POINTSMAN_STORE__DAMAGED=salvage" in refused.refusal
    with program(config, POINTSMAN_STORE__DAMAGED="salvage") as it:
        assert it.addresses() == {"192.0.2.2"}
        assert "all that decides is there" in it.command("events").out
        it.order(Action.RESTORE, "a")
        it.end()
    assert len([*(tmp_path / "state").glob("state.db.damaged-*")]) == 1
    with program(config) as it:
        assert it.addresses() == {"192.0.2.1", "192.0.2.2"}


def test_what_is_no_database_cannot_be_salvaged_and_stays(tmp_path: Path) -> None:
    config = written(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.db").write_bytes(b"no database" * 1000)
    refused = pointsman(tmp_path, "run", "--headless", "--config", str(config), POINTSMAN_STORE__DAMAGED="salvage")
    assert (refused.code, refused.refusal.count("nothing can be read from it")) == (1, 1)
    assert (tmp_path / "state" / "state.db").read_bytes() == b"no database" * 1000
