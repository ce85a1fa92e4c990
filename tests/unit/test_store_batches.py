"""What the store keeps, in which order, and how much of it (spec S24)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core import store as store_module
from core.errors import StartError
from core.model import Event, EventName
from core.store import Batch, Store, StoreError


@asynccontextmanager
async def opened(directory: Path, keep_events: int = 1000) -> AsyncIterator[Store]:
    store = await Store.open(directory, keep_events)
    try:
        yield store
    finally:
        await store.close()


def event(number: int, cluster: str = "a", name: EventName = EventName.FAULT_SEEN) -> Event:
    return Event(name, at=100.0 + number, cluster=cluster, evidence="línea \x1b 'quoted'", id=number)


async def test_what_was_written_is_there_after_a_new_start(tmp_path: Path) -> None:
    first = event(1)
    async with opened(tmp_path) as store:
        assert await store.load() == {}
        assert await store.last_event_id() == 0
        await store.write(Batch({"x": b'{"a":1}', "y": b"2"}, events=(first,)))
        await store.write(Batch({"y": b"3"}, frozenset({"x"}), durable=True))
    async with opened(tmp_path) as store:
        assert await store.load() == {"y": b"3"}
        assert await store.events() == [first]
        assert await store.last_event_id() == 1


async def test_events_are_the_newest_that_match_oldest_first(tmp_path: Path) -> None:
    names = (EventName.FAULT_SEEN, EventName.RAMP_STEP)
    history = [event(n, "ab"[n % 2], names[n // 2 % 2]) for n in range(1, 21)]
    async with opened(tmp_path) as store:
        await store.write(Batch(events=tuple(history)))

        async def ids(**wanted: object) -> list[int]:
            return [e.id for e in await store.events(**wanted)]  # type: ignore[arg-type]  # one helper for all filters

        assert await ids(limit=3) == [18, 19, 20]
        assert await ids(after=18) == [19, 20]
        assert await ids(since=119.0) == [19, 20]
        assert await ids(cluster="a", limit=2) == [18, 20]
        assert await ids(cluster="a", name="ramp_step", limit=2) == [14, 18]
        assert await ids(cluster="'; DROP TABLE events; --") == []


async def test_a_person_reads_the_state_with_sqlite3(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.write(Batch({"override.a": b'{"who":"ann"}'}, events=(event(1),)))
        with sqlite3.connect(tmp_path / "state.db") as other:
            assert other.execute("SELECT value ->> 'who' FROM state").fetchall() == [("ann",)]
            assert other.execute("SELECT body ->> 'name' FROM events").fetchall() == [("fault_seen",)]
        other.close()


async def test_history_stays_within_its_limit(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_events=1000) as store:
        for start in range(1, 3001, 100):
            await store.write(Batch(events=tuple(event(n) for n in range(start, start + 100))))
        assert [e.id for e in await store.events(limit=5000)] == list(range(2001, 3001))


async def test_a_lowered_limit_is_reached_in_small_steps(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_events=5000) as store:
        await store.write(Batch(events=tuple(event(n) for n in range(1, 2001))))
    async with opened(tmp_path, keep_events=1000) as store:
        sizes = []
        for n in range(2001, 2011):
            await store.write(Batch(events=(event(n),)))
            sizes.append(len(await store.events(limit=5000)))
    assert max(a - b for a, b in zip([2000, *sizes], sizes, strict=False)) <= store_module._TRIM_AT_ONCE
    assert sizes[-1] == 1000


async def test_a_batch_that_fails_leaves_nothing_and_the_store_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(StoreError, match="state in"):
            await store.write(Batch({"x": b"1"}, events=(event(1), event(0))))
        assert await store.load() == {}
        await store.write(Batch({"x": b"2"}, durable=True))
        assert await store.load() == {"x": b"2"}
        assert await store.events() == []


async def test_an_abandoned_write_never_leaks_into_the_next(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for steps in range(12):  # given up after so many turns of the loop
            task = asyncio.create_task(store.write(Batch({"x": b"1", "y": b"1"}, events=(event(steps + 1),))))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await store.write(Batch({"z": b"2"}, frozenset({"x"})))
            assert await store.load() in ({"z": b"2"}, {"y": b"1", "z": b"2"})
            whole = len(await store.events()) == 1
            assert ("y" in await store.load()) is whole
            await store.write(Batch(delete=frozenset({"y"})))
            if whole:
                return


async def test_a_repeated_batch_is_harmless(tmp_path: Path) -> None:
    batch = Batch({"x": b"1"}, events=(event(1), event(2)))
    async with opened(tmp_path) as store:
        await store.write(batch)
        await store.write(batch)
        assert [e.id for e in await store.events()] == [1, 2]


async def test_an_event_of_another_version_is_passed_over(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.write(Batch(events=(event(1), event(2))))
    with sqlite3.connect(tmp_path / "state.db") as other:
        other.execute("UPDATE events SET body = json_set(body, '$.name', 'no_such_event') WHERE id = 1")
    other.close()
    async with opened(tmp_path) as store:
        assert [e.id for e in await store.events()] == [2]


async def test_an_older_schema_is_brought_forward_in_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        await store.write(Batch({"x": b"1"}))
    monkeypatch.setattr(store_module, "MIGRATIONS", (*store_module.MIGRATIONS, ("CREATE TABLE more (a)", "nonsense")))
    with pytest.raises(StartError, match="syntax error"):
        await Store.open(tmp_path, 1000)
    with sqlite3.connect(tmp_path / "state.db") as other:
        assert other.execute("SELECT count(*) FROM sqlite_master WHERE name = 'more'").fetchone() == (0,)
    other.close()
    monkeypatch.setattr(
        store_module, "MIGRATIONS", (*store_module.MIGRATIONS[:-1], ("UPDATE state SET value = '5' WHERE key = 'x'",))
    )
    async with opened(tmp_path) as store:
        assert await store.load() == {"x": b"5"}


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "state.db") as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(StartError, match=r"newer pointsman \(schema 99"):
        await Store.open(tmp_path, 1000)
    assert other.execute("PRAGMA user_version").fetchone() == (99,)
    other.close()


async def test_the_log_starts_anew_also_when_writes_never_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_LONG_LOG", 100)
    log = tmp_path / "state.db-wal"

    def generation() -> bytes:
        with log.open("rb") as file:
            return file.read(24)[16:]  # the salts of its header, new with each start

    async with opened(tmp_path) as store:
        await store.write(Batch({"x": b"0"}))
        first, n = generation(), 0
        async with asyncio.timeout(60):
            while generation() == first:
                n += 1
                await store.write(Batch({"x": b'"%d"' % n}, events=(event(n),)))
        assert n >= store_module._CHECKPOINT_EVERY - 1


async def test_state_is_for_this_user_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "deep" / "state") as store:
        await store.write(Batch({"x": b"1"}))
        modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "deep" / "state").iterdir()}
    assert (tmp_path / "deep" / "state").stat().st_mode & 0o777 == 0o700
    assert set(modes) >= {"state.db", "state.db-wal", "lock"}
    assert set(modes.values()) == {0o600}


async def test_a_durable_batch_is_synced_also_after_an_abandoned_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for _ in range(2):
            await store.write(Batch({"x": b"1"}, durable=True))
            task = asyncio.create_task(store.write(Batch({"y": b"1"})))  # goes back to not syncing
            for _ in range(2):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await store.write(Batch({"x": b"2"}, durable=True))
        assert list(await store._writer.execute_fetchall("PRAGMA synchronous")) == [(2,)]
