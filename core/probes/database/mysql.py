"""MySQL and MariaDB, asked through aiomysql over one held connection (spec S9). Called by :mod:`core.probes.database`."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from core.probes.database.judging import driver, full, judge
from core.probes.rounds import Answer, HeldTarget, NoAnswer, chain, judge_error
from core.settings import Database

FULL = frozenset({1040})
"""ER_CON_COUNT_ERROR."""
STOPPING = frozenset({1053})
"""ER_SERVER_SHUTDOWN."""
CLOSED = frozenset({2006, 2013})
"""CR_SERVER_GONE_ERROR, CR_SERVER_LOST."""


def arguments(dsn: str) -> dict[str, Any]:
    """mysql://user:password@host:port/database?unix_socket=/path as aiomysql takes it. NoAnswer when it is not one."""
    try:
        url = urlsplit(dsn)
        port = url.port or 3306
    except ValueError:
        url, port = urlsplit(""), 0
    if url.scheme not in ("mysql", "mariadb"):
        raise NoAnswer("dsn is not a mysql:// URL")
    socket = parse_qs(url.query).get("unix_socket", [None])[0]
    return {
        "host": url.hostname or "localhost",
        "port": port,
        "user": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "db": unquote(url.path.lstrip("/")) or None,
        "unix_socket": socket,
    }


class MysqlTarget(HeldTarget):
    def __init__(self, database: Database, dsn: str) -> None:
        self._database, self._dsn = database, dsn
        self._connection: Any = None

    @property
    def held(self) -> bool:
        return self._connection is not None

    async def open(self) -> None:
        self._connection = driver("aiomysql").Connection(**arguments(self._dsn), autocommit=True)
        # What aiomysql.connect() awaits; only so is there something to close when the deadline comes meanwhile.
        await self._connection._connect()

    async def query(self) -> Answer:
        async with self._connection.cursor() as cursor:
            await cursor.execute("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
            _, used = await cursor.fetchone()
            await cursor.execute("SELECT @@max_connections")
            (available,) = await cursor.fetchone()
        return judge(self._database, int(used), int(available))

    def judge_error(self, error: Exception) -> Answer:
        for one in chain(error):
            code, message = (*one.args, None, None)[:2]
            if code in FULL:
                return full(str(message))
            if code in STOPPING:
                return Answer(False, str(message))
            if code in CLOSED:
                return Answer(False, "connection closed without an answer")
            if isinstance(code, int) and 1000 <= code < 2000 and not isinstance(one, OSError):  # the server's own words
                raise NoAnswer(str(message))
        return judge_error(error)

    async def until_lost(self) -> None:
        if self._connection is None:
            await super().until_lost()
        # aiomysql has no callback for the end of a connection. While nothing is asked nothing comes but its end, or
        # the server's last words before it.
        await self._connection._reader.read(1)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
