"""What the screens showed at an event, on a real store: written by the recorder, read by the service."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from core import past as past_module
from core import store as store_module
from core.errors import CommandRefused
from core.model import Event, EventName
from core.past import HEAD, moment, past
from core.snapshot import ClusterState, Snapshot
from core.store import Batch, Store
from tests.tui.scripted import NOW, cluster, snapshot

STARTED, ERASED = Event(EventName.STARTED, NOW, id=1), Event(EventName.ADDRESS_ERASED, NOW + 9, "tokyo", id=3)
WELL = snapshot(cluster("tokyo", number=10), cluster("osaka", number=11), at=NOW)
BROKEN = snapshot(cluster("tokyo", ClusterState.ERASED, number=10), cluster("osaka", number=11), at=NOW + 9.1)


async def told(directory: Path) -> Store:
    """A store with three events, and the two moments that belong to the first and the last."""
    store = await Store.open(directory, 1000)
    await store.write(Batch(events=(STARTED, Event(EventName.FAULT_SEEN, NOW + 9, "tokyo", id=2), ERASED)))
    await store.keep_past(1, dict(moment(WELL, [STARTED])))
    await store.keep_past(3, dict(moment(BROKEN, [ERASED])))
    return store


def states(seen: Snapshot) -> dict[str, str]:
    return {view.name: view.state.value for view in seen.clusters}


async def test_the_past_is_whole_though_only_what_changed_was_written(tmp_path: Path) -> None:
    store = await told(tmp_path)
    assert await past(store, 1) == WELL
    assert await past(store, 3) == BROKEN
    await store.close()


async def test_an_event_shows_the_moment_that_it_belongs_to(tmp_path: Path) -> None:
    store = await told(tmp_path)
    assert states(await past(store, 2)) == {"tokyo": "erased", "osaka": "ok"}
    await store.close()


async def test_only_what_the_events_are_about_is_written() -> None:
    assert {name for name, _ in moment(BROKEN, [ERASED])} == {HEAD, "cluster/tokyo", "app/svc1.net.", "app/svc2.net."}


async def test_what_was_not_kept_is_refused_and_never_guessed(tmp_path: Path) -> None:
    store = await told(tmp_path)
    late = dataclasses.replace(STARTED, at=NOW + 20, id=4)
    await store.write(Batch(events=(late,)))
    with pytest.raises(CommandRefused, match="event 4 was not kept"):
        await past(store, 4)
    with pytest.raises(CommandRefused, match="event 9 is not"):
        await past(store, 9)
    await store.keep_past(5, dict(moment(dataclasses.replace(BROKEN, at=NOW + 90), [late])))
    with pytest.raises(CommandRefused, match="event 4 was not kept"):
        await past(store, 4)
    await store.close()


async def test_the_first_moment_that_is_left_after_trimming_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await told(tmp_path)
    monkeypatch.setattr(store_module, "_PAST_KEPT", 8)
    for number in range(4, 20):
        event = Event(EventName.RAMP_STEP, NOW + number, "tokyo", id=number)
        await store.write(Batch(events=(event,)))
        await store.keep_past(number, dict(moment(dataclasses.replace(BROKEN, at=NOW + number), [event])))
    assert states(await past(store, 19)) == {"tokyo": "erased", "osaka": "ok"}
    assert states(await past(store, 18)) == {"tokyo": "erased", "osaka": "ok"}
    with pytest.raises(CommandRefused, match="was not kept"):
        await past(store, 2)
    await store.close()


class Engine:
    """As much of the engine as the recorder asks for."""

    def __init__(self) -> None:
        self.version, self.last_event_id = 0, 0
        self.recent: list[Event] = []
        self._news = asyncio.Event()

    def happen(self, *events: Event) -> None:
        self.recent += events
        self.last_event_id, self.version = events[-1].id, self.version + 1
        self._news.set()

    async def news(self, seen: int, within: float) -> int:
        if self.version == seen:
            await asyncio.wait_for(self._news.wait(), within)
        self._news.clear()
        return self.version


class Showing:
    def __init__(self, now: Snapshot) -> None:
        self.now = now

    async def snapshot(self) -> Snapshot:
        return self.now


async def test_the_recorder_writes_each_moment_once_and_goes_on_after_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_module, "GATHER", 0.01)
    store = await Store.open(tmp_path, 1000)
    engine, showing = Engine(), Showing(WELL)
    written: list[int] = []
    keep = store.keep_past

    async def noted(event: int, views: dict[str, bytes]) -> None:
        written.append(event)
        if len(written) == 1:
            raise store_module.StoreError("disk full")
        await keep(event, views)

    monkeypatch.setattr(store, "keep_past", noted)
    recording = asyncio.create_task(past_module.Recorder(engine, showing, store).run())  # type: ignore[arg-type] # a stand-in
    await asyncio.sleep(0)
    await store.write(Batch(events=(STARTED,)))
    engine.happen(STARTED)
    while not written:
        await asyncio.sleep(0.01)
    showing.now = BROKEN
    await store.write(Batch(events=(ERASED,)))
    engine.happen(ERASED)
    while len(written) < 2:
        await asyncio.sleep(0.01)
    recording.cancel()
    await asyncio.wait({recording})
    assert written == [1, 3]
    assert await past(store, 3) == BROKEN
    await store.close()
