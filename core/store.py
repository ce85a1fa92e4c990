"""State and history in SQLite (spec S24, S30): JSON values under keys, and the events.

Owns ``state.db`` and ``lock`` in the state directory. Called by the engine, which persists before it publishes, and by
the API through it. Knows nothing of what the values mean; must not import the engine, probes, DNS or control.

Durability: WAL with ``synchronous=NORMAL`` survives the death of the process at any instant; a durable batch is also
synced to the disk before :meth:`Store.write` returns. Writes and reads have a connection (a thread of aiosqlite) each,
so that a long read, or the copying of the log into the database, never stands in the way of a decision.
A caller may give up any wait by its own deadline: what an abandoned write left open is rolled back before the next.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiosqlite
import msgspec

from core.errors import PointsmanError, StartError
from core.model import Event
from core.salvage import salvage

# Entry i leads from schema version i to i + 1. Never edit one that was released; append.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE events (id INTEGER PRIMARY KEY CHECK (id > 0), at REAL NOT NULL, name TEXT NOT NULL,"
        " cluster TEXT NOT NULL, body TEXT NOT NULL)",
    ),
    (
        "CREATE TABLE past (event INTEGER NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (name, event))"
        " WITHOUT ROWID",
        "CREATE INDEX past_by_event ON past (event)",
    ),
)
_TRIM_AT_ONCE = 200  # events deleted beyond what a batch adds, so that a lowered limit never stalls a write
_PAST_KEPT = 20_000  # rows of `past`, of some kilobytes each
_CHECKPOINT_EVERY = 200  # writes
_LONG_LOG = 2000  # pages of 4 KiB
_BUSY_SECONDS = 1.0  # wait for a person's own sqlite3 session on the file


class StoreError(PointsmanError):
    """A batch was not written; the text says why. The store can be used again once the cause is gone."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction: JSON values to put and keys to delete, and events, which hold their ids already.

    ``durable``: on the disk before the write returns (orders of an operator).
    """

    put: Mapping[str, bytes] = field(default_factory=dict)
    delete: frozenset[str] = frozenset()
    events: tuple[Event, ...] = ()
    durable: bool = False


class Store:
    """The one open store of a process. Use :meth:`open`."""

    def __init__(
        self, directory: Path, lock: int, writer: aiosqlite.Connection, reader: aiosqlite.Connection, keep_events: int
    ) -> None:
        self._directory = directory
        self._lock = lock
        self._writer = writer
        self._reader = reader
        self._keep_events = keep_events
        self.salvaged = ""
        self._inode = (directory / "state.db").stat().st_ino
        self._turn = asyncio.Lock()
        self._unfinished = False
        self._synced = False
        self._writes = 0
        self._checkpoint_due = asyncio.Event()
        self._checkpoints = asyncio.create_task(self._checkpoint(), name="store checkpoints")

    @classmethod
    async def open(cls, directory: Path, keep_events: int, *, salvaging: bool = False) -> Store:
        """Open or create the store in ``directory`` (made with mode 0700); at least the newest ``keep_events`` stay.
        ``salvaging``: a damaged one is replaced by what can be read of it, and ``salvaged`` says so.

        Raises :class:`StartError` with one line: not writable, disk full, damaged, in use, or of a newer pointsman.
        """
        async with AsyncExitStack() as undo:
            try:
                lock = _take(directory)
                undo.callback(os.close, lock)
                salvaged = await asyncio.to_thread(salvage, directory, MIGRATIONS) if salvaging else ""
                writer = await undo.enter_async_context(_connection(directory))
                await _prepare(writer, directory)
                reader = await undo.enter_async_context(_connection(directory))
                await reader.execute("PRAGMA query_only = ON")
            except (OSError, sqlite3.Error) as error:
                raise StartError(f"state directory {directory}: {_reason(error, directory)}") from error
            undo.pop_all()
        store = cls(directory, lock, writer, reader, keep_events)
        store.salvaged = salvaged
        return store

    async def load(self) -> dict[str, bytes]:
        """Every key with its value."""
        rows = await self._read("SELECT key, value FROM state")
        return {key: value.encode() for key, value in rows}

    async def last_event_id(self) -> int:
        """The id of the newest event; 0 where there is none."""
        [(newest,)] = await self._read("SELECT coalesce(max(id), 0) FROM events")
        return int(newest)

    async def events(
        self,
        *,
        since: float = 0.0,
        after: int = 0,
        before: int = 0,
        cluster: str = "",
        name: str = "",
        limit: int = 500,
    ) -> list[Event]:
        """The newest ``limit`` events from ``since`` on with an id over ``after``, and under ``before`` unless it is 0,
        oldest first."""
        rows = await self._read(
            "SELECT body FROM events WHERE id > ? AND (? = 0 OR id < ?) AND at >= ? AND (? = '' OR cluster = ?)"
            " AND (? = '' OR name = ?) ORDER BY id DESC LIMIT ?",
            (after, before, before, since, cluster, cluster, name, name, limit),
        )
        found = []
        for (body,) in reversed(rows):
            with suppress(msgspec.ValidationError):  # an event that only another version knows
                found.append(msgspec.json.decode(body, type=Event))
        return found

    async def write(self, batch: Batch) -> None:
        """Write a batch in one transaction; raises :class:`StoreError` with the reason, and nothing of it is kept.

        Writing the same batch again is harmless, so one that timed out can be repeated.
        """
        async with self._writing():
            await self._transaction(batch)
        if not await asyncio.to_thread(self._is_there):
            raise StoreError(
                f"state in {self._directory}: state.db was removed or replaced under the running process;"
                " put it back, or restart to begin anew"
            )
        self._writes += 1
        if self._writes % _CHECKPOINT_EVERY == 0:
            self._checkpoint_due.set()

    async def keep_past(self, event: int, views: Mapping[str, bytes]) -> None:
        """Write what was seen once ``event`` had happened, by name. The oldest moments go, and the first that
        is left is still whole."""
        async with self._writing():
            await self._writer.executemany(
                "INSERT OR REPLACE INTO past VALUES (?, ?, ?)", [(event, name, body) for name, body in views.items()]
            )
            await self._writer.execute(
                "WITH edge AS (SELECT event FROM past ORDER BY event DESC LIMIT 1 OFFSET ?) DELETE FROM past"
                " WHERE event < (SELECT event FROM edge) AND EXISTS (SELECT 1 FROM past AS later WHERE later.name = past.name"
                " AND later.event > past.event AND later.event <= (SELECT event FROM edge))",
                (_PAST_KEPT,),
            )

    async def past(self, event: int, head: str) -> dict[str, bytes]:
        """The newest of each name at the first moment not before ``event`` at which ``head`` was written."""
        rows = await self._read(
            "SELECT name, body, max(event) FROM past WHERE event <="
            " (SELECT min(event) FROM past WHERE name = ? AND event >= ?) GROUP BY name",
            (head, event),
        )
        return {name: body for name, body, _ in rows}

    def _is_there(self) -> bool:
        """SQLite writes on into a file that has no name any more, and nobody would ever read it."""
        try:
            return (self._directory / "state.db").stat().st_ino == self._inode
        except OSError:
            return False

    async def close(self) -> None:
        """Close the files and give the directory free. Whatever was written is kept, also if this is given up."""
        self._checkpoints.cancel()
        stopped = [connection.stop() for connection in (self._reader, self._writer)]  # close() cannot be given up
        try:
            await asyncio.gather(*filter(None, stopped))
        finally:
            os.close(self._lock)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """A transaction of the writer's; raises :class:`StoreError`, and then nothing of it is kept."""
        async with self._turn:
            try:
                if self._unfinished:
                    await self._writer.rollback()
                self._unfinished = True
                yield
                await self._writer.commit()
                self._unfinished = False
            except sqlite3.Error as error:
                raise StoreError(f"state in {self._directory}: {_reason(error, self._directory)}") from error

    async def _transaction(self, batch: Batch) -> None:
        if batch.durable != self._synced:
            self._synced = False  # until it is certain: this may be given up before it is answered
            await self._writer.execute(f"PRAGMA synchronous = {'FULL' if batch.durable else 'NORMAL'}")
            self._synced = batch.durable
        if batch.put:
            await self._writer.executemany(
                "INSERT OR REPLACE INTO state VALUES (?, ?)",
                [(key, value.decode()) for key, value in batch.put.items()],
            )
        if batch.delete:
            await self._writer.executemany("DELETE FROM state WHERE key = ?", [(key,) for key in batch.delete])
        if batch.events:
            await self._writer.executemany(
                "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)",
                [(e.id, e.at, e.name, e.cluster, msgspec.json.encode(e).decode()) for e in batch.events],
            )
            await self._writer.execute(
                "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id <= ? ORDER BY id LIMIT ?)",
                (batch.events[-1].id - self._keep_events, len(batch.events) + _TRIM_AT_ONCE),
            )

    async def _read(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        try:
            return list(await self._reader.execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            raise StoreError(f"state in {self._directory}: {_reason(error, self._directory)}") from error

    async def _checkpoint(self) -> None:
        """Copy the log into the database beside the writes, so that no commit has to do it and wait for the disk."""
        while True:
            await self._checkpoint_due.wait()
            self._checkpoint_due.clear()
            with suppress(sqlite3.Error):  # the next write tells, if it matters
                [(_, pages, _)] = await self._reader.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
                if pages > _LONG_LOG:  # writes without a pause: the log starts anew only when all is copied
                    async with self._turn:
                        await self._reader.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")


def _take(directory: Path) -> int:
    """Make the directory and its files for this user alone, and hold its lock until the process ends."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(directory / "state.db", os.O_RDWR | os.O_CREAT, 0o600))  # -wal and -shm follow its mode
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    except BlockingIOError:
        owner = os.read(lock, 20).decode(errors="replace") or "?"
        os.close(lock)
        raise StartError(
            f"state directory {directory}: in use by the pointsman with pid {owner};"
            " use `pointsman attach`, or another store.directory"
        ) from None
    except OSError:
        os.close(lock)
        raise
    return lock


def _connection(directory: Path) -> aiosqlite.Connection:
    connection = aiosqlite.connect(directory / "state.db", isolation_level="IMMEDIATE", timeout=_BUSY_SECONDS)
    connection._thread.daemon = True  # no public way: a thread that waits for a dead disk must not keep the process
    return connection


async def _prepare(writer: aiosqlite.Connection, directory: Path) -> None:
    """WAL, no commit that stops to copy it, an undamaged file, and the schema of this version; of an older one a copy stays."""
    await writer.execute_fetchall("PRAGMA journal_mode = WAL")
    await writer.execute("PRAGMA synchronous = NORMAL")
    await writer.execute("PRAGMA wal_autocheckpoint = 0")
    [(checked,)] = await writer.execute_fetchall("PRAGMA quick_check(1)")
    if checked != "ok":
        raise sqlite3.DatabaseError(checked.splitlines()[-1])
    [(version,)] = await writer.execute_fetchall("PRAGMA user_version")
    if version > len(MIGRATIONS):
        raise sqlite3.NotSupportedError(version)
    if 0 < version < len(MIGRATIONS):
        await _keep_copy(writer, directory / f"state.db.schema-{version}")
    await writer.execute("BEGIN IMMEDIATE")
    for migration in MIGRATIONS[version:]:
        for statement in migration:
            await writer.execute(statement)
    # Written even where nothing changed: a disk that takes no more is found here and not at the first failure.
    await writer.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    await writer.commit()


async def _keep_copy(writer: aiosqlite.Connection, copy: Path) -> None:
    """The store as the older pointsman left it: put in the place of state.db, that one can be started again."""
    part = copy.with_name(f"{copy.name}.part")  # a kill leaves a part and never half a copy
    part.unlink(missing_ok=True)
    await writer.execute("VACUUM INTO ?", (str(part),))
    part.chmod(0o600)
    await asyncio.to_thread(_sync, part)
    part.replace(copy)
    await asyncio.to_thread(_sync, copy.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _reason(error: OSError | sqlite3.Error, directory: Path) -> str:
    """One line that says what is wrong and what to do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    if full or code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and not _free(directory)):
        return "the disk is full; make room"
    if isinstance(error, OSError):
        return f"cannot be written ({error.strerror}); choose another store.directory or give this user the right"
    if isinstance(error, sqlite3.NotSupportedError):
        return (
            f"written by a newer pointsman (schema {error}, this one knows {len(MIGRATIONS)}); start that one,"
            f" put {_copies(directory) or 'a copy from before the upgrade'} in its place, or choose another store.directory"
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return (
            f"state.db is damaged ({error}); restore a copy, start once with POINTSMAN_STORE__DAMAGED=salvage to go on with"
            " what can be read of it, or move it away to start without overrides and history"
        )
    return f"{error}"


def _copies(directory: Path) -> str:
    """The newest copy that this version can read."""
    copies = [f"state.db.schema-{number}" for number in range(len(MIGRATIONS), 0, -1)]
    return next((name for name in copies if (directory / name).exists()), "")


def _free(directory: Path) -> int:
    try:
        return os.statvfs(directory).f_bavail
    except OSError:
        return 0
