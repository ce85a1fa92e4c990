"""The databases outside a cluster that its containers use (spec S9): each answers, and is below its connection limit.

Owns one worker for each database. Called by the engine, where ``detection.checks`` has "database". The drivers are
extras of the package and imported when they are first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.clock import Clock
from core.model import CheckId, Kind, SourceId, SourceKind
from core.probes.database.command import CommandTarget
from core.probes.database.judging import mask
from core.probes.database.mysql import MysqlTarget
from core.probes.database.postgresql import PostgresTarget
from core.probes.database.redis import RedisTarget
from core.probes.rounds import Answer, HeldTarget, NoAnswer, Pace, Target, ask_forever
from core.probes.sink import ProbeSink
from core.settings import Cluster, Database, Settings

TARGETS: dict[str, Callable[[Database, str], HeldTarget]] = {
    "postgresql": PostgresTarget,
    "mysql": MysqlTarget,
    "redis": RedisTarget,
}


async def worker(settings: Settings, cluster: Cluster, database: Database, sink: ProbeSink, clock: Clock) -> None:
    """Ask one database at ``database.interval`` until cancelled."""
    check = CheckId(SourceId(cluster.name, database.name, SourceKind.DATABASE), Kind.DATABASE)
    target = CommandTarget(database) if database.kind == "command" else Guarded(database)
    await ask_forever(target, Pace(check, database.interval, database.timeout), sink, clock)


def read_dsn(database: Database) -> str:
    """The dsn of the settings or of its file. NoAnswer where there is none that can be read."""
    if not database.dsn_file:
        if not database.dsn.get_secret_value():
            raise NoAnswer("no dsn and no dsn_file")
        return database.dsn.get_secret_value()
    try:
        return Path(database.dsn_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NoAnswer(f"dsn_file {database.dsn_file}: {getattr(error, 'strerror', None) or 'not text'}") from error


class Guarded(Target):
    """A database behind its driver. Whatever the driver says leaves here without the password.

    The dsn is read again for each new connection to a database that did not answer: a password can be changed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._target: HeldTarget | None = None
        self._dsn = ""

    async def ask(self) -> Answer:
        if self._target is None:
            self._dsn = read_dsn(self._database)
            self._target = TARGETS[self._database.kind](self._database, self._dsn)
        try:
            answer = await self._target.ask()
        except Exception as error:
            reason = str(error) if isinstance(error, NoAnswer) else f"{type(error).__name__}: {error}"
            self.close()
            raise NoAnswer(mask(reason, self._dsn)) from None
        return Answer(answer.healthy, mask(answer.said, self._dsn))

    @property
    def held(self) -> bool:
        return self._target is not None and self._target.held

    async def until_lost(self) -> None:
        await (self._target.until_lost() if self._target else super().until_lost())

    def close(self) -> None:
        if self._target is not None:
            self._target.close()
            self._target = None
