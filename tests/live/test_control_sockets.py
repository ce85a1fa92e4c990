"""Who can reach the control API: the socket's mode, live and dead sockets, the token, and a bounded end."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.control.local import LocalClient
from core.control.remote import RemoteClient
from core.control.server import ControlServer
from core.errors import CommandRefused, NotRunning, StartError
from core.model import Action, Event, EventName, Order
from core.snapshot import Update
from tests.live.scripted_engine import NOW, ScriptedEngine, served, snapshot

pytestmark = pytest.mark.live


async def test_the_socket_is_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with served(tmp_path / "state", ScriptedEngine()):
            mode = (tmp_path / "state" / "control.sock").stat().st_mode
            assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_ISSOCK(mode)
    assert not (tmp_path / "state" / "control.sock").exists()


async def test_a_dead_process_leaves_no_obstacle_and_a_live_one_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    subprocess.run(
        [sys.executable, "-c", "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", path], check=True
    )
    assert path.is_socket()
    async with served(tmp_path, ScriptedEngine()) as (_, client):
        with pytest.raises(StartError, match="another pointsman answers there"):
            await ControlServer(ScriptedEngine(), path, lambda: True).start()
        assert (await client.snapshot()).serial == 42


async def test_a_file_in_the_socket_s_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("precious")
    with pytest.raises(StartError, match="not a socket"):
        await ControlServer(ScriptedEngine(), tmp_path / "control.sock", lambda: True).start()
    assert (tmp_path / "control.sock").read_text() == "precious"


async def test_a_path_that_cannot_be_a_socket_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"control socket .*too long"):
        await ControlServer(ScriptedEngine(), tmp_path / ("x" * 120), lambda: True).start()
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"Not a directory|File exists"):
        await ControlServer(ScriptedEngine(), tmp_path / "file" / "control.sock", lambda: True).start()


async def test_nothing_there_is_a_line_that_helps(tmp_path: Path) -> None:
    client = RemoteClient(tmp_path / "control.sock")
    for question in (client.snapshot(), client.order(Order(Action.FREEZE, key="k")), anext(aiter(client.stream()))):
        with pytest.raises(NotRunning, match=r"no pointsman answers on .*control\.sock; start one with"):
            await question
    await client.close()


async def test_the_end_is_bounded_with_streams_open_and_nobody_reading(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine) as (server, client):
        streams = [client.stream() for _ in range(5)]
        for stream in streams:
            await anext(stream)
        async with asyncio.timeout(10):
            await server.stop()
        assert engine.streams == 0
        with pytest.raises(NotRunning):
            await anext(streams[0])


# --- the local form ---------------------------------------------------------------------------------------------------


@contextmanager
def other_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def test_the_local_form_asks_an_engine_on_another_loop() -> None:
    with other_thread() as loop:
        engine = ScriptedEngine()
        client = LocalClient(engine, loop)
        assert await client.snapshot() == snapshot()
        assert await client.events() == engine.history
        await client.order(Order(Action.DRAIN, ("tokyo",)))
        assert engine.orders == [Order(Action.DRAIN, ("tokyo",))]
        engine.refused = "no"
        with pytest.raises(CommandRefused, match="no"):
            await client.reload()


async def test_a_busy_console_gets_the_newest_snapshot_and_the_last_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.control.local._EVENTS", 100)
    with other_thread() as loop:
        engine = ScriptedEngine()
        stream = LocalClient(engine, loop).stream()
        assert (await anext(stream)).snapshot == snapshot()

        def flood() -> None:
            for n in range(1, 1001):
                engine.updates.put_nowait(Update(engine.now, (Event(EventName.STARTED, NOW, id=n),)))

        loop.call_soon_threadsafe(flood)
        asyncio.run_coroutine_threadsafe(
            until_empty(engine), loop
        ).result()  # the console's loop stands still meanwhile
        update = await anext(stream)
        assert [e.id for e in update.events] == list(range(901, 1001))
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        asyncio.run_coroutine_threadsafe(until_left(engine), loop).result()


async def until_empty(engine: ScriptedEngine) -> None:
    await asyncio.sleep(0)
    while not engine.updates.empty():
        await asyncio.sleep(0.01)


async def until_left(engine: ScriptedEngine) -> None:
    async with asyncio.timeout(10):
        while engine.streams:
            await asyncio.sleep(0.01)


async def test_an_engine_that_has_gone_is_told_and_not_waited_for() -> None:
    with other_thread() as loop:
        engine = ScriptedEngine()
        client = LocalClient(engine, loop)
        stream = client.stream()
        await anext(stream)
        engine.failure = asyncio.CancelledError()  # type: ignore[assignment]  # what the end of its loop does to a call
        with pytest.raises(NotRunning, match="the engine has stopped"):
            await client.snapshot()
        loop.call_soon_threadsafe(engine.updates.put_nowait, NotRunning("the engine has stopped"))
        with pytest.raises(NotRunning, match="the engine has stopped"):
            await anext(stream)
    with pytest.raises(NotRunning, match="the engine has stopped"):
        await client.snapshot()
