"""The store against real deaths, full disks, damaged files and a second process (spec S30)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import StartError
from core.model import Event, EventName
from core.store import Batch, Store, StoreError

pytestmark = pytest.mark.live

WRITER = """
import asyncio, sys
from pathlib import Path
from core.model import Event, EventName
from core.store import Batch, Store

async def main():
    store = await Store.open(Path(sys.argv[1]), 1000)
    n = await store.last_event_id()
    while True:
        n += 1
        both = b"%d" % n
        await store.write(Batch({"left": both, "right": both},
            events=(Event(EventName.OVERRIDE_SET, at=float(n), id=n),), durable=n % 3 == 0))
        print(n, flush=True)

asyncio.run(main())
"""


def writer(directory: Path, program: str = WRITER) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE, text=True)


async def test_a_kill_at_any_instant_loses_nothing_acknowledged_and_tears_nothing(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    instants = random.Random(seed)
    acknowledged = 0
    for _ in range(20):
        process = writer(tmp_path)
        assert process.stdout is not None
        acknowledged = int(process.stdout.readline())
        time.sleep(instants.uniform(0.0, 0.05))
        process.kill()
        rest = process.stdout.read().split("\n")[:-1]  # the last line may be torn
        process.wait()
        process.stdout.close()
        acknowledged = int(rest[-1]) if rest else acknowledged

        store = await Store.open(tmp_path, 1000)
        try:
            state = await store.load()
            newest = await store.last_event_id()
            ids = [e.id for e in await store.events(limit=10_000)]
        finally:
            await store.close()
        assert state["left"] == state["right"] == b"%d" % newest, f"seed {seed}"
        assert acknowledged <= newest <= acknowledged + 1, f"seed {seed}"
        assert ids == list(range(ids[0], newest + 1)), f"seed {seed}"


async def test_two_processes_never_share_a_store_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    process = writer(tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        with pytest.raises(StartError, match=f"in use by the pointsman with pid {process.pid}; use `pointsman attach`"):
            await Store.open(tmp_path, 1000)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    await (await Store.open(tmp_path, 1000)).close()


@pytest.mark.parametrize("what", ["not a database", "damaged", "cut"])
async def test_a_damaged_file_is_one_line_that_says_what_to_do(tmp_path: Path, what: str) -> None:
    file = tmp_path / "state.db"
    if what == "not a database":
        file.write_bytes(b"these are not the octets of a database" * 300)
    else:
        store = await Store.open(tmp_path, 1000)
        await store.write(
            Batch(events=tuple(Event(EventName.STARTED, at=1.0, evidence="x" * 300, id=n + 1) for n in range(500)))
        )
        await store.close()
        octets = file.read_bytes()
        file.write_bytes(octets[:20_000] + (b"" if what == "cut" else b"\xa5" * 20_000 + octets[40_000:]))
    before = file.read_bytes()
    with pytest.raises(StartError, match=r"state\.db is damaged .* move it away") as caught:
        await Store.open(tmp_path, 1000)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    where = tmp_path / "disk"
    where.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", where], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


async def test_a_full_disk_is_told_and_outlived(small_disk: Path) -> None:
    store = await Store.open(small_disk, 1000)
    try:
        await store.write(Batch({"kept": b"1"}))
        with pytest.raises(StoreError, match="the disk is full; make room"):
            for n in range(100):
                await store.write(Batch({f"big{n}": b'"%s"' % (b"x" * 60_000)}, durable=True))
        (small_disk / "state.db").stat()
        assert (await store.load())["kept"] == b"1"
        subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
        await store.write(Batch({"kept": b"2"}, durable=True))
        assert (await store.load())["kept"] == b"2"
    finally:
        await store.close()


@pytest.mark.parametrize("existing", [False, True])
async def test_a_start_on_a_full_disk_is_one_line(small_disk: Path, existing: bool) -> None:
    if existing:
        await (await Store.open(small_disk, 1000)).close()
    with pytest.raises(OSError, match="No space"), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    with pytest.raises(StartError, match="the disk is full; make room"):
        await Store.open(small_disk, 1000)


async def test_a_file_size_limit_is_told_and_leaves_the_store_usable(tmp_path: Path) -> None:
    program = """
import asyncio, resource, signal, sys
from pathlib import Path
from core.store import Batch, Store, StoreError

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = await Store.open(Path(sys.argv[1]), 1000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    try:
        for n in range(100):
            await store.write(Batch({f"{n}": b'"%s"' % (b"x" * 50_000)}))
    except StoreError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.write(Batch({"after": b"1"}))
    print(sorted(await store.load())[-1])
    await store.close()

asyncio.run(main())
"""
    process = writer(tmp_path, program)
    said, _ = process.communicate(timeout=60)
    assert [line.partition(": ")[0] or line for line in said.splitlines()] == [f"state in {tmp_path}", "after"]


async def test_a_read_only_directory_is_one_line(tmp_path: Path) -> None:
    if os.getuid():
        tmp_path.chmod(0o500)
    elif subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "none", tmp_path], check=False).returncode:
        pytest.skip("root ignores permissions, and no read-only file system can be mounted here")
    try:
        with pytest.raises(StartError, match=f"state directory {tmp_path}: cannot be written") as caught:
            await Store.open(tmp_path, 1000)
        assert "\n" not in str(caught.value)
    finally:
        if os.getuid():
            tmp_path.chmod(0o700)
        else:
            subprocess.run(["umount", "-l", tmp_path], check=True)


async def test_a_place_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="Not a directory"):
        await Store.open(tmp_path / "file" / "state", 1000)


async def test_a_hung_database_does_not_keep_the_process(tmp_path: Path) -> None:
    program = """
import asyncio, sqlite3, sys
from pathlib import Path
from core.store import Batch, Store

async def main():
    store = await Store.open(Path(sys.argv[1]), 1000)
    hang = asyncio.create_task(store._reader._execute(__import__("time").sleep, 3600))
    await asyncio.sleep(0.1)
    try:
        async with asyncio.timeout(0.5):
            await store.close()
    except TimeoutError:
        print("gave up", flush=True)
    hang.cancel()

asyncio.run(main())
"""
    process = writer(tmp_path, program)
    said, _ = await asyncio.to_thread(process.communicate, timeout=30)
    assert (said, process.returncode) == ("gave up\n", 0)
