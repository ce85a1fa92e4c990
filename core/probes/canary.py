"""Canaries (spec S28): addresses that belong to no cluster, asked all the time, to tell our own silence from theirs.

One worker for each of ``safety.canaries``, started by :mod:`core.probes.supervisor`. Any answer will do, a refusal too:
what counts is that packets go out and come back. No result is told, only that it was heard.
"""

from __future__ import annotations

from core.clock import Clock
from core.model import CheckId, Kind, Result, SourceId, SourceKind, SourceStatus
from core.probes.confirm.packets import IcmpTarget, TcpTarget
from core.probes.hedged import Hedged
from core.probes.rounds import Pace, Target, ask_forever
from core.probes.sink import ProbeSink
from core.settings.base import is_address, listen_address

_INTERVAL = 0.1
_TIMEOUT = 0.5


async def worker(canary: str, sink: ProbeSink, clock: Clock) -> None:
    """Ask ``ADDRESS`` by ICMP, ``ADDRESS:PORT`` by TCP, until cancelled."""
    source = SourceId("", canary, SourceKind.CANARY)
    target = Hedged(lambda: _target(canary), _TIMEOUT)
    await ask_forever(target, Pace(CheckId(source, Kind.WATCH), _INTERVAL, _TIMEOUT), _Heard(sink), clock)


def _target(canary: str) -> Target:
    return IcmpTarget(canary) if is_address(canary) else TcpTarget(*listen_address(canary))


class _Heard:
    """A sink that only passes on who was heard: silence of a canary that never spoke means nothing."""

    def __init__(self, sink: ProbeSink) -> None:
        self.heard = sink.heard

    def result(self, result: Result) -> None:
        """Nobody judges a canary."""

    def status(self, status: SourceStatus) -> None:
        """Nobody looks at one."""
