"""A damaged store read as far as it goes, when told to (``store.damaged``): a new one begins with what was found.

Called by :class:`core.store.Store` before it opens the file, under its lock. The damaged files stay beside the new one.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from core.errors import StartError

_FILES = ("state.db", "state.db-wal", "state.db-shm")


def salvage(directory: Path, migrations: Sequence[Sequence[str]]) -> str:
    """What was done, in one line; nothing where the store is whole. Raises StartError when nothing can be read."""
    file = directory / "state.db"
    with closing(sqlite3.connect(file)) as database:
        try:
            [(checked,)] = database.execute("PRAGMA quick_check(1)")
            [(version,)] = database.execute("PRAGMA user_version")
            if checked == "ok" or version > len(migrations):
                return ""
        except sqlite3.DatabaseError:
            pass
        values, whole = _read(database, "SELECT key, value FROM state ORDER BY key")
        events, _ = _read(database, "SELECT id, at, name, cluster, body FROM events ORDER BY id")
    if not values:
        raise StartError(
            f"state directory {directory}: state.db is damaged, and nothing can be read from it; restore a copy, or move it"
            " away to start without overrides and history"
        )
    mark = time.strftime("damaged-%Y%m%dT%H%M%SZ", time.gmtime())
    fresh = directory / "state.db.salvaged"
    fresh.unlink(missing_ok=True)
    with closing(sqlite3.connect(fresh)) as database, database:
        for migration in migrations:
            for statement in migration:
                database.execute(statement)
        database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values)
        database.executemany("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)", events)
        database.execute(f"PRAGMA user_version = {len(migrations)}")
    fresh.chmod(0o600)
    for name in _FILES:
        with suppress(FileNotFoundError):
            (directory / name).rename(directory / f"{name}.{mark}")
    fresh.rename(file)
    rest = "all that decides is there" if whole else "THE REST OF THE STATE IS LOST: look at the overrides"
    return f"state.db was damaged and is kept as state.db.{mark}; {len(values)} values and {len(events)} events were read: {rest}"


def _read(database: sqlite3.Connection, question: str) -> tuple[list[tuple[object, ...]], bool]:
    """The rows from either end up to where the damage is, and whether there is none between."""
    found: dict[object, tuple[object, ...]] = {}
    for each in (question, f"{question} DESC"):
        try:
            for row in database.execute(each):
                found[row[0]] = row
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            continue
        return [*found.values()], True
    return [*found.values()], False
