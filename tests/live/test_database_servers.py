"""Database workers against real redis-server, PostgreSQL and MariaDB (spec S9, S25)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomysql
import asyncpg
import pytest
import redis.asyncio
import uvloop

from core.model import Evidence, Kind, Result
from core.probes.database import worker
from core.settings import Cluster, Database, Settings
from tests.live import database_servers
from tests.live.database_servers import PASSWORD, QUOTED, Server
from tests.live.rounds_recorder import Recorder, bad, running, silent, well, words

pytestmark = pytest.mark.live
Close = Callable[[], Awaitable[object]]


async def _redis_client(port: int) -> Close:
    client = redis.asyncio.Redis(port=port, password=PASSWORD, single_connection_client=True)
    await client.ping()
    return client.aclose


async def _postgresql_client(port: int) -> Close:
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="owner", password=PASSWORD, database="postgres"
    )
    close: Close = connection.close
    return close


async def _mysql_client(port: int) -> Close:
    connection = await aiomysql.connect(host="127.0.0.1", port=port, user="watch", password=PASSWORD)
    close: Close = connection.ensure_closed
    return close


@dataclass(frozen=True)
class Product:
    kind: str
    make: Callable[[Path], Server]
    dsn: str
    client: Callable[[int], Awaitable[Close]]
    room: int
    """Connections that can be had beside none of ours."""
    full: str


PRODUCTS = (
    Product("redis", database_servers.redis, "redis://:{password}@127.0.0.1:{port}", _redis_client, 4, "max number"),
    Product(
        "postgresql",
        database_servers.postgresql,
        "postgresql://owner:{password}@127.0.0.1:{port}/postgres",
        _postgresql_client,
        6,  # "owner" is a superuser
        "too many clients",
    ),
    Product("mysql", database_servers.mariadb, "mysql://watch:{password}@127.0.0.1:{port}/", _mysql_client, 10, "many"),
)


@dataclass(frozen=True)
class Bench:
    product: Product
    server: Server

    def database(self, password: str = QUOTED, **changes: Any) -> Database:
        dsn = self.product.dsn.format(password=password, port=self.server.port)
        values: dict[str, Any] = {"name": "db", "kind": self.product.kind, "dsn": dsn, "interval": 0.1, "timeout": 2.0}
        return Database(**{**values, **changes})

    @asynccontextmanager
    async def clients(self, number: int) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for _ in range(number):
                stack.push_async_callback(await self.product.client(self.server.port))
            yield


@pytest.fixture(scope="module", params=PRODUCTS, ids=lambda product: product.kind)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    product: Product = request.param
    server = product.make(tmp_path_factory.mktemp(product.kind))
    server.start()
    try:
        yield Bench(product, server)
    finally:
        server.stop(signal.SIGINT if product.kind == "postgresql" else signal.SIGTERM)


CLUSTER = Cluster(name="tokyo", addresses=("192.0.2.1",))


def watch(database: Database) -> AbstractAsyncContextManager[Recorder]:
    return running(lambda sink, clock: worker(Settings(), CLUSTER, database, sink, clock))


async def first(database: Database) -> Result:
    async with watch(database) as recorder:
        return await recorder.until(lambda result: True)


async def test_a_database_below_its_limit_is_well(bench: Bench) -> None:
    async with watch(bench.database()) as recorder:
        result = await recorder.until(well)
    assert "connections, limit" in words(result)
    assert recorder.statuses[0].connected
    assert recorder.statuses[0].event_driven == (Kind.DATABASE,)
    assert recorder.heard_at[0] == (result.check.source, result.at)


async def test_questions_go_over_one_held_connection(bench: Bench) -> None:
    async with watch(bench.database(interval=0.02)) as recorder:
        for count in range(5):
            result = await recorder.until(well, count)
    assert words(result).startswith("1 of"), words(result)


async def test_more_connections_than_the_limit_are_a_fail(bench: Bench) -> None:
    async with watch(bench.database(max_connections=1)) as recorder:
        await recorder.until(well)
        async with bench.clients(1):
            assert "over the limit of 1" in words(await recorder.until(bad))
        await recorder.until(well, len(recorder.results))


async def test_the_limit_can_be_a_share_of_the_servers_own(bench: Bench) -> None:
    async with bench.clients(1):
        result = await first(bench.database(max_connections="34%"))
    own = {"redis": 4, "postgresql": 4, "mysql": 10}[bench.product.kind]  # PostgreSQL: 6, of which 2 are reserved
    assert words(result).startswith(f"2 of {own} connections"), words(result)
    assert bad(result) == (own * 34 // 100 < 2)


async def test_a_full_database_is_a_fail(bench: Bench) -> None:
    async with bench.clients(bench.product.room):
        result = await first(bench.database())
    assert bad(result), result
    assert "full" in words(result), words(result)
    assert bench.product.full in words(result).lower(), words(result)


async def test_a_wrong_password_is_silence_and_is_not_shown(bench: Bench) -> None:
    result = await first(bench.database(password="wr0ng-pass"))
    assert silent(result), result
    assert "wr0ng-pass" not in words(result)


async def test_a_stopped_process_is_silence_and_then_well_again(bench: Bench) -> None:
    async with watch(bench.database(timeout=0.5)) as recorder:
        await recorder.until(well)
        bench.server.send(signal.SIGSTOP)
        try:
            assert "no answer within" in words(await recorder.until(silent))
            # Also a new connection gets no answer: the kernel accepts it, and nobody speaks.
            count = len(recorder.results)
            assert silent(await recorder.until(lambda result: True, count))
        finally:
            bench.server.send(signal.SIGCONT)
        await recorder.until(well, len(recorder.results))


async def test_the_end_of_the_held_connection_asks_at_once(bench: Bench) -> None:
    async with watch(bench.database(interval=60.0)) as recorder:
        await recorder.until(well)
        async with stopped(bench):
            result = await recorder.until(bad)
            assert isinstance(result, Evidence)
            assert result.noticed_at is not None
            assert result.noticed_at <= result.at


@asynccontextmanager
async def stopped(bench: Bench) -> AsyncIterator[None]:
    number = signal.SIGINT if bench.product.kind == "postgresql" else signal.SIGTERM
    await asyncio.to_thread(bench.server.stop, number)
    try:
        yield
    finally:
        await asyncio.to_thread(bench.server.start)


async def test_a_stopped_server_is_a_fail_and_well_after_its_start(bench: Bench) -> None:
    async with watch(bench.database()) as recorder:
        await recorder.until(well)
        async with stopped(bench):
            await recorder.until(bad)
        await recorder.until(well, len(recorder.results))


async def test_a_killed_server_is_a_fail(bench: Bench) -> None:
    async with watch(bench.database()) as recorder:
        await recorder.until(well)
        bench.server.send(signal.SIGKILL)
        await asyncio.to_thread(bench.server.stop)
        try:
            assert "refused" in words(await recorder.until(bad, len(recorder.results)))
        finally:
            await asyncio.to_thread(bench.server.start)


async def test_a_dsn_comes_from_its_file_and_a_missing_file_says_so(bench: Bench, tmp_path: Path) -> None:
    dsn = bench.database().dsn.get_secret_value()
    file = tmp_path / "dsn"
    database = bench.database(dsn="", dsn_file=str(file))
    result = await first(database)
    assert silent(result)
    assert str(file) in words(result)
    file.write_text(dsn + "\n")
    assert well(await first(database))


@pytest.mark.parametrize(
    "rule",
    [
        test_a_full_database_is_a_fail,
        test_a_stopped_process_is_silence_and_then_well_again,
        test_the_end_of_the_held_connection_asks_at_once,
    ],
)
def test_a_rule_holds_on_uvloop(bench: Bench, rule: Callable[[Bench], Coroutine[object, object, None]]) -> None:
    uvloop.run(rule(bench))
