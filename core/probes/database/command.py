"""Any other database, asked by a command of the operator's on this machine (spec S9).

Called by :mod:`core.probes.database`. The command gets a process group of its own, which ends with the question.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal

from core.probes.check import Output
from core.probes.database.judging import judge
from core.probes.kinds.text import clean, complaint, refusal
from core.probes.rounds import Answer, NoAnswer, Target
from core.settings import Database

OUTPUT_LIMIT = 65_536


class CommandTarget(Target):
    """Exit code 0 is well. A number on the first line is the number of connections; without the server's own limit
    a share of it says nothing, and only a number in ``max_connections`` is kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self) -> Answer:
        output = await _run(self._database.command)
        if reason := refusal(output):
            raise NoAnswer(reason)
        if output.exit_code:
            return Answer(False, f"exit code {output.exit_code}: {complaint(output)}")
        first = re.match(r"\s*(\d{1,9})\s*$", clean(output.stdout).partition("\n")[0])
        return judge(self._database, int(first[1]), None) if first else Answer(True, "exit code 0")

    def close(self) -> None:
        pass


async def _run(command: str) -> Output:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_shell(
        command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        stdout, stderr, code = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr), process.wait())
    finally:
        # Also what the command left behind in its group; the deadline arrives here as a cancellation.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return Output(code, stdout, stderr)


async def _bounded(stream: asyncio.StreamReader) -> str:
    """The first octets of a stream; the rest is read and dropped, so that the command does not wait for a reader."""
    kept = b""
    while data := await stream.read(OUTPUT_LIMIT):
        kept += data[: OUTPUT_LIMIT - len(kept)]
    return kept.decode(errors="replace")
