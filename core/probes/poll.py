"""Polling: each check by a command of its own, for sources that allow nothing else (forced commands).

Called by :mod:`core.probes.session` where the watch script does not greet. No sentinels, no events, no heartbeat but answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from core.clock import Clock
from core.model import Result
from core.probes.check import Check
from core.probes.command import OUTPUT_LIMIT
from core.probes.results import Judge
from core.probes.transport import Collector, Transport, Unreachable


class Poll:
    """Runs every check each ``interval`` seconds, a slow one beside the others (spec S36), none twice at once."""

    def __init__(
        self, checks: Sequence[Check], transport: Transport, report: Callable[[Result], None], clock: Clock
    ) -> None:
        self._judges = [Judge(check) for check in checks]
        self._transport, self._report, self._clock = transport, report, clock
        self._unanswered = {check.id for check in checks}

    @property
    def first_round_done(self) -> bool:
        return not self._unanswered

    async def run(self, interval: float) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for judge in self._judges:
                tasks.create_task(self._repeat(judge, interval))

    async def _repeat(self, judge: Judge, interval: float) -> None:
        while True:
            await self._once(judge)
            await asyncio.sleep(interval)

    async def _once(self, judge: Judge) -> None:
        check, asked = judge.check, self._clock.now()
        collector = Collector(OUTPUT_LIMIT)
        try:
            channel = await self._transport.open(check.command, collector)
        except Unreachable as error:
            self._tell(judge, judge.silent(str(error), self._clock.now()))
            return
        try:
            while not collector.done.done():
                await asyncio.wait((collector.done,), timeout=check.timeout)
                now = self._clock.now()
                if not collector.done.done():  # a command cannot be ended here; a second one would only pile up
                    self._tell(judge, judge.silent(f"no answer in {check.timeout:g} s", now, now - asked))
        finally:
            channel.close()
        output = judge.known(collector.output())
        if output.exit_code is None and not output.truncated:
            self._tell(judge, judge.silent("the command or its connection ended without an exit code", now))
        else:
            self._tell(judge, judge.answered(output, now, now - asked, None))

    def _tell(self, judge: Judge, results: Sequence[Result]) -> None:
        self._unanswered.discard(judge.check.id)
        for result in results:
            self._report(result)
