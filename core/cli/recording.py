"""The commands ``record`` and ``replay``: what came into the engine, and what other thresholds would have made of it."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

from core.cli.output import Json, Socket, ask, say, say_json, table
from core.cli.process import Config, loaded
from core.cli.render import lasting
from core.cli.times import duration
from core.errors import PointsmanError
from core.text import utc

if TYPE_CHECKING:
    from core.control.remote import RemoteClient
    from core.recording.compare import Decision
    from core.recording.replay import Replayed

_File = Annotated[Path, typer.Argument(help="The recording; compressed where its name ends in .gz.", metavar="FILE")]
_MIB = 1 << 20


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (record, replay):
        app.command()(command)


def record(
    file: _File,
    for_: Annotated[str, typer.Option("--for", help="Ends after this time: 30m, 2h.", metavar="TIME")] = "",
    size: Annotated[
        float, typer.Option("--max-size", min=0.01, help="MiB of lines, before they are compressed.")
    ] = 1024,
    rotate: Annotated[bool, typer.Option("--rotate", help="Then FILE becomes FILE.1, and a new one begins.")] = False,
    socket: Socket = None,
) -> None:
    """Write what comes into the engine to a new file, until interrupted, the time is over, or it is full."""
    within = duration(for_, "--for")

    async def recording(client: RemoteClient) -> None:
        task = asyncio.current_task()
        assert task
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(within):
                while True:
                    with _new(file, rotate) as out:
                        written = 0
                        async for text in client.record():
                            written += out.write(text.encode())
                            out.flush()  # a kill loses half a second
                            if written >= size * _MIB:
                                break
                    if not rotate:
                        say(f"{file}: full, {size:g} MiB")
                        return
        say(f"{file}: recorded")

    ask(socket, recording)


def replay(file: _File, config: Config = None, as_json: Json = False) -> None:
    """What would have been decided with these settings: a recording's decisions, then and now."""
    from core.recording import compare, lines, replay  # noqa: PLC0415  # as all that is slow to import
    from core.world import build  # noqa: PLC0415

    world = build(loaded(config))
    with _lines(file) as octets:
        read = lines.read(str(file), octets)
        head = next(read)
        assert isinstance(head, lines.Head)
        found = replay.Replay(str(file), world, head).run(read)
    decisions = compare.decisions(found.then, found.now)
    if as_json:
        say_json(
            {
                "from": found.began,
                "until": found.until,
                "inputs": found.inputs,
                "decisions": [_built(decision) for decision in decisions],
                "notes": found.notes,
            }
        )
    else:
        say(*_told(found, decisions))


def _told(found: Replayed, decisions: list[Decision]) -> Iterator[str]:
    yield f"{utc(found.began)} to {utc(found.until)}, {lasting(found.until - found.began)}, {found.inputs} inputs"
    if decisions:
        yield ""
        yield from table(
            ("CLUSTER", "NAME", "DECISION", "THEN", "NOW", "DIFFERENCE", "WHY"),
            [_row(decision) for decision in decisions],
        )
    yield ""
    kinds = [decision.said.split(" s ")[-1] for decision in decisions]
    parts = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(sorted(kinds))]
    yield f"{len(decisions)} decisions" + (": " if parts else "") + ", ".join(parts)
    yield from (f"note: {note}" for note in found.notes)


def _row(decision: Decision) -> tuple[str, ...]:
    event = decision.event
    then, now = (utc(e.at)[11:-1] if e else "" for e in (decision.then, decision.now))
    return event.cluster, event.app, event.name, then, now, decision.said, event.evidence or event.cause


def _built(decision: Decision) -> dict[str, object]:
    event = decision.event
    return {
        "name": event.name,
        "cluster": event.cluster,
        "app": event.app,
        "then": decision.then,
        "now": decision.now,
        "later": decision.later,
        "said": decision.said,
    }


@contextmanager
def _new(file: Path, rotate: bool) -> Iterator[BinaryIO]:
    """A new file for this user alone; one of that name is never written over, and with ``rotate`` becomes FILE.1."""
    try:
        if rotate and file.exists():
            file.replace(file.with_name(f"{file.name}.1"))
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as plain:  # noqa: PTH123  # Path.open() takes no descriptor
            if file.suffix != ".gz":
                yield plain
                return
            with gzip.open(plain, "wb", compresslevel=1) as packed:
                yield cast("BinaryIO", packed)
    except FileExistsError:
        raise PointsmanError(f"{file} is there already: name another, or add --rotate") from None
    except OSError as error:
        raise PointsmanError(f"{file}: {error.strerror or error}") from error


@contextmanager
def _lines(file: Path) -> Iterator[Iterator[bytes]]:
    from core.recording.lines import LONGEST  # noqa: PLC0415  # as above

    try:
        with file.open("rb") as plain:
            packed = plain.peek(2)[:2] == b"\x1f\x8b"
            octets = gzip.GzipFile(fileobj=plain) if packed else plain
            yield _each(cast("BinaryIO", octets), LONGEST)
    except (OSError, zlib.error) as error:
        raise PointsmanError(f"{file}: {getattr(error, 'strerror', None) or error}") from error


def _each(octets: BinaryIO, longest: int) -> Iterator[bytes]:
    with suppress(EOFError):  # compressed, and cut short by a kill: what there is
        while line := octets.readline(longest):
            yield line
