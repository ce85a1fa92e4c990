"""What commands share: asking a running process, and writing lines, tables and JSON that are safe on a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from core.cli.find import control_place
from core.text import printable

if TYPE_CHECKING:
    from core.control.remote import RemoteClient

T = TypeVar("T")
Socket = Annotated[
    str | None,
    typer.Option(
        "--socket", "--control", help="Control socket of the running process, or https://HOST:PORT.", metavar="PLACE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


def ask(socket: str | None, question: Callable[[RemoteClient], Awaitable[T]]) -> T:
    """Run a question against the process that ``socket``, or the usual places, lead to."""
    place = control_place(socket)
    from core.control.remote import RemoteClient  # noqa: PLC0415  # not to be paid for by --help

    async def asking() -> T:
        client = RemoteClient(place)
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(asking())


DIFFERS = 3
"""The exit code of a ``diff`` that found a difference: 1 and 2 are errors."""


def say(*lines: str) -> None:
    """Lines on stdout, made safe; a reader that has gone ends the command quietly."""
    try:
        sys.stdout.write("".join(printable(line) + "\n" for line in lines))
        sys.stdout.flush()
    except BrokenPipeError:
        close_stdout()
        raise typer.Exit(0) from None


def say_json(value: object) -> None:
    """One line of JSON in ASCII."""
    import msgspec  # noqa: PLC0415  # as above

    say(json.dumps(msgspec.to_builtins(value)))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns; at a terminal the last one is cut to its width."""
    cells = [list(heads), *([printable(cell) or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    return lines


def close_stdout() -> None:
    """Send what is left, and what the interpreter flushes at its end, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
