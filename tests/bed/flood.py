"""Takes connections of a database and holds them until standard input closes; says when it has them.

``python -m tests.bed.flood DSN NUMBER``. Those that the server refuses, being full, are not missed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

from core.probes.database.judging import driver
from core.probes.database.mysql import arguments


async def _one(dsn: str) -> object:
    if dsn.startswith("postgresql:"):
        return await driver("asyncpg").connect(dsn)
    if dsn.startswith("mysql:"):
        return await driver("aiomysql").connect(**arguments(dsn))
    url = urlsplit(dsn)
    return await asyncio.open_connection(url.hostname, url.port)  # Redis counts whoever is connected


async def main(dsn: str, number: int) -> None:
    held = await asyncio.gather(*(_one(dsn) for _ in range(number)), return_exceptions=True)
    print(time.time(), sum(not isinstance(one, Exception) for one in held), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
