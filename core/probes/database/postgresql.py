"""PostgreSQL, asked through asyncpg over one held connection (spec S9). Called by :mod:`core.probes.database`."""

from __future__ import annotations

import asyncio
from typing import Any

from core.probes.database.judging import driver, full, judge
from core.probes.rounds import Answer, HeldTarget, NoAnswer, judge_error
from core.settings import Database

# An ordinary user sees of others only that they are there: no backend_type, but the database they are in. What
# ordinary users can have is less than max_connections; reserved_connections exists since version 16.
QUESTION = """
SELECT (SELECT count(*) FROM pg_stat_activity
        WHERE coalesce(backend_type = 'client backend', datid IS NOT NULL)) AS used,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true)::int, 0) AS available
"""
FULL = frozenset({"53300"})
STARTING_OR_STOPPING = frozenset({"57P01", "57P02", "57P03"})


class PostgresTarget(HeldTarget):
    def __init__(self, database: Database, dsn: str) -> None:
        self._database, self._dsn = database, dsn
        self._connection: Any = None
        self._lost = asyncio.Event()

    @property
    def held(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def open(self) -> None:
        asyncpg = driver("asyncpg")
        lost = self._lost = asyncio.Event()
        try:
            # Behind pgbouncer prepared statements may not outlive a transaction; the round's own deadline holds.
            self._connection = await asyncpg.connect(
                self._dsn, timeout=None, statement_cache_size=0, server_settings={"application_name": "pointsman"}
            )
        except asyncpg.ClientConfigurationError as error:
            raise NoAnswer(f"dsn: {error}") from error
        self._connection.add_termination_listener(lambda _: lost.set())

    async def query(self) -> Answer:
        used, available = await self._connection.fetchrow(QUESTION)
        return judge(self._database, used, available)

    def judge_error(self, error: Exception) -> Answer:
        code = getattr(error, "sqlstate", None)
        if code in FULL:
            return full(str(error))
        if code in STARTING_OR_STOPPING:
            return Answer(False, str(error))
        if code == "08003":  # asyncpg's own word for a connection that ended in the middle
            return Answer(False, "connection closed without an answer")
        if code:
            raise NoAnswer(str(error))
        return judge_error(error)

    async def until_lost(self) -> None:
        await self._lost.wait()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
            self._lost = asyncio.Event()
