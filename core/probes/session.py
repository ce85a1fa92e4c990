"""One source's session: connects, starts the watch, falls back to polling, and begins again with growing pauses.

Called by :mod:`core.probes.supervisor`, one for each node and machine. What it finds goes to a ProbeSink; a session that
cannot be had is a Silence of ``Kind.WATCH`` with the reason (spec S25).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random

from core.clock import Clock
from core.model import CheckId, Evidence, Kind, Result, Silence, SourceId, SourceStatus
from core.probes.check import Check
from core.probes.link import Link, NoGreeting
from core.probes.poll import Poll
from core.probes.sink import ProbeSink
from core.probes.transport import Transport, Unreachable
from core.probes.turns import Turns
from core.settings import Detection, Ssh

_WATCH_AGAIN = 600.0  # seconds of polling until the watch is tried again: nothing is polled meanwhile
_SLOW_RETRY = 4  # times backoff_limit, where trying on helps nobody


class Session:
    """The worker of one source. ``connect`` gives a new transport or raises Unreachable. ``first_round`` is set when
    every check has had a result, or the source could not be reached.
    """

    def __init__(
        self,
        source: SourceId,
        checks: Sequence[Check],
        connect: Callable[[], Awaitable[Transport]],
        *,
        detection: Detection,
        ssh: Ssh,
        sink: ProbeSink,
        clock: Clock,
        random: Random,
        turns: Turns,
        first_round: asyncio.Event,
        local: bool = False,
    ) -> None:
        self._source, self._checks, self._connect = source, checks, connect
        self._detection, self._ssh = detection, ssh
        self._sink, self._clock, self._random = sink, clock, random
        self._turns = turns
        self._local = local
        self._told: SourceStatus | None = None
        self._well_told = False
        self._first_round = first_round

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            since, slow = None, False
            self._well_told = False
            await self._turns.wait()
            tried = self._clock.now()
            try:
                transport = await self._connect()
                since = self._clock.now()
                try:
                    reason = await self._hold(transport)
                finally:
                    await transport.close()
            except Unreachable as error:
                reason, slow = str(error), error.slow
            self._lost(reason, self._clock.now() - tried if since is None else 0.0)
            held = 0.0 if since is None else self._clock.now() - since
            failures = 1 if held > self._ssh.backoff_limit else failures + 1
            pause = min(self._ssh.backoff_limit, self._ssh.backoff * 2 ** min(failures - 1, 16))
            if slow:
                pause = self._ssh.backoff_limit * _SLOW_RETRY
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))

    async def _hold(self, transport: Transport) -> str:
        """Watches, or polls, over one connection; returns why that ended."""
        lost = asyncio.ensure_future(transport.lost())
        try:
            while not lost.done():
                try:
                    return await self._watch(transport, lost)
                except NoGreeting as error:
                    await self._poll(transport, lost, f"the watch does not start ({error}): single commands")
            return lost.result()
        finally:
            lost.cancel()

    async def _watch(self, transport: Transport, lost: asyncio.Future[str]) -> str:
        token = f"{self._random.getrandbits(48):012x}"
        link = Link(
            self._checks,
            self._detection,
            self._clock,
            token,
            heard=partial(self._sink.heard, self._source),
            report=self._sink.result,
            changed=lambda: self._watching(link),
        )
        try:
            await link.start(transport)
            self._well(f"the watch runs in {link.shell}")
            reason = await link.finished()
            await asyncio.wait((lost,), timeout=0.2)  # a lost connection ends the channel too, and says more
            return lost.result() if lost.done() else reason
        finally:
            link.close()

    async def _poll(self, transport: Transport, lost: asyncio.Future[str], why: str) -> None:
        """Until the connection is lost, or it is time to try the watch again."""
        periods = dict.fromkeys((check.id.kind for check in self._checks), self._detection.poll)
        self._tell(SourceStatus(self._source, "poll", True, why, periods=tuple(periods.items())))
        poll = Poll(self._checks, transport, lambda result: self._polled(poll, result), self._clock)
        polling = asyncio.ensure_future(poll.run(self._detection.poll))
        try:
            await asyncio.wait((lost, polling), timeout=_WATCH_AGAIN, return_when=asyncio.FIRST_COMPLETED)
            if polling.done():
                polling.result()
        finally:
            polling.cancel()
            await asyncio.wait((polling,))

    def _watching(self, link: Link) -> None:
        if link.first_round_done:
            self._first_round.set()
        self._tell(
            SourceStatus(
                self._source,
                "local" if self._local else link.shell,
                True,
                link.detail,
                link.event_driven(),
                tuple({check.id.kind: check.interval for check in self._checks}.items()),
                link.tick,
                link.late,
                link.cost,
            )
        )

    def _polled(self, poll: Poll, result: Result) -> None:
        if isinstance(result, Evidence):
            if not self._well_told:
                self._well("answers single commands")
            self._sink.heard(self._source, result.at)
        self._sink.result(result)
        if poll.first_round_done:
            self._first_round.set()

    def _well(self, said: str) -> None:
        self._well_told = True
        self._sink.result(Evidence(CheckId(self._source, Kind.WATCH), True, said, self._clock.now()))

    def _lost(self, reason: str, took: float) -> None:
        """``took``: the seconds of an attempt that failed; 0 for a session that was held."""
        self._tell(SourceStatus(self._source, "connecting", False, reason))
        self._sink.result(Silence(CheckId(self._source, Kind.WATCH), reason, self._clock.now(), took))
        self._first_round.set()

    def _tell(self, status: SourceStatus) -> None:
        if status != self._told:
            self._told = status
            self._sink.status(status)
