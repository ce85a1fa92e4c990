"""Redis, asked through redis.asyncio over one held connection (spec S9). Called by :mod:`core.probes.database`."""

from __future__ import annotations

import contextlib
from typing import Any

from core.probes.database.judging import driver, full, judge
from core.probes.rounds import Answer, HeldTarget, NoAnswer, judge_error
from core.settings import Database


class RedisTarget(HeldTarget):
    def __init__(self, database: Database, dsn: str) -> None:
        self._database, self._dsn = database, dsn
        self._connection: Any = None

    @property
    def held(self) -> bool:
        return self._connection is not None

    async def open(self) -> None:
        redis = driver("redis", ".asyncio")
        retry = driver("redis", ".asyncio.retry").Retry(driver("redis", ".backoff").NoBackoff(), 0)
        try:
            pool = redis.ConnectionPool.from_url(
                self._dsn, retry=retry, socket_timeout=None, socket_connect_timeout=None, decode_responses=True
            )
        except ValueError as error:
            raise NoAnswer(f"dsn: {error}") from error
        self._connection = pool.make_connection()
        await self._connection.connect()

    async def query(self) -> Answer:
        await self._ask("PING")
        told = dict(line.split(":", 1) for line in (await self._ask("INFO", "clients")).splitlines() if ":" in line)
        available = told.get("maxclients")  # since 7.0
        if available is None:
            with contextlib.suppress(driver("redis", ".exceptions").ResponseError):
                reply = await self._ask("CONFIG", "GET", "maxclients")
                available = reply["maxclients"] if isinstance(reply, dict) else reply[1]
        return judge(self._database, int(told["connected_clients"]), int(available) if available else None)

    async def _ask(self, *words: str) -> Any:
        await self._connection.send_command(*words)
        return await self._connection.read_response()

    def judge_error(self, error: Exception) -> Answer:
        known = driver("redis", ".exceptions")
        if "max number of clients" in str(error):
            return full(str(error))
        if isinstance(error, known.BusyLoadingError):
            return Answer(False, f"is loading its data: {error}")
        if isinstance(error, known.AuthenticationError | known.ResponseError):
            raise NoAnswer(str(error))
        if isinstance(error, known.ConnectionError) and not isinstance(error.__context__, OSError):
            return Answer(False, "connection closed without an answer")
        return judge_error(error)

    async def until_lost(self) -> None:
        if self._connection is None:
            await super().until_lost()
        # While nothing is asked nothing comes but the connection's end.
        with contextlib.suppress(driver("redis", ".exceptions").RedisError, OSError):
            await self._connection.read_response(disconnect_on_error=False)

    def close(self) -> None:
        if self._connection is not None:
            # What its __del__ does; the public disconnect() is a coroutine, and there is no time to wait for one.
            self._connection._close()
            self._connection = None
