"""The commands that only look: status, events, explain, answers."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated

import typer

from core.cli import render
from core.cli.output import Json, Socket, ask, say, say_json
from core.control.client import ControlClient
from core.model import Event
from core.snapshot import Update
from core.text import instant

_WATCH = 1.0  # seconds
_CLEAR = "\x1b[H\x1b[2J"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (status, events, explain, answers):
        app.command()(command)


def status(
    as_json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: every second on a terminal, at each change elsewhere.")
    ] = False,
    socket: Socket = None,
) -> None:
    """Clusters, verdicts, overrides and answers."""

    redrawn = watch and not as_json and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    async def asking(client: ControlClient) -> None:
        shown: tuple[str, ...] = ()
        while True:
            snapshot = await client.snapshot()
            timeless = tuple(render.status(replace(snapshot, at=0.0)))  # without what only the passing of time changes
            if as_json:
                say_json(snapshot)
            elif redrawn:
                sys.stdout.write(_CLEAR)
                say(*render.status(snapshot))
            elif timeless != shown:
                say(*([""] if shown else []), *render.status(snapshot))
                shown = timeless
            if not watch:
                return
            await asyncio.sleep(_WATCH)

    ask(socket, asking)


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
    as_json: Json = False,
    since: Annotated[str, typer.Option(help="Since then: 30m, 2h, 1d (ago), or a time (UTC).", metavar="TIME")] = "",
    cluster: Annotated[str, typer.Option(help="Of this cluster only.")] = "",
    name: Annotated[str, typer.Option(help="Of this name only.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 500,
    socket: Socket = None,
) -> None:
    """The history, a line each."""
    start = _instant(since)

    def tell(event: Event) -> None:
        if as_json:
            say_json(event)
        else:
            say(render.event_line(event))

    async def asking(client: ControlClient) -> None:
        stream = client.stream() if follow else _nothing()
        await anext(stream, None)  # listens before it reads the history, so that nothing falls between
        last = 0
        for event in await client.events(since=start, cluster=cluster, name=name, limit=limit):
            tell(event)
            last = event.id
        async for update in stream:
            for event in update.events:
                if event.id > last and cluster in {"", event.cluster} and name in {"", event.name}:
                    tell(event)
                    last = event.id

    ask(socket, asking)


def explain(cluster: str, as_json: Json = False, socket: Socket = None) -> None:
    """Why a cluster is where it is."""
    snapshot = ask(socket, lambda client: client.snapshot())
    lines = list(render.explanation(snapshot, cluster))
    if as_json:
        say_json(next(view for view in snapshot.clusters if view.name == cluster))
    else:
        say(*lines)


def answers(
    name: Annotated[str, typer.Argument(help="A domain name.")],
    qtype: Annotated[str, typer.Argument(metavar="[TYPE]")] = "A",
    without: Annotated[
        list[str] | None, typer.Option(help="As if this cluster were erased.", metavar="CLUSTER")
    ] = None,
    as_json: Json = False,
    socket: Socket = None,
) -> None:
    """What DNS answers now, and why each cluster is in or out."""
    view = ask(socket, lambda client: client.answers(name, qtype, tuple(without or ())))
    if as_json:
        say_json(view)
    else:
        say(*render.answers(view))


async def _nothing() -> AsyncIterator[Update]:
    return
    yield


def _instant(text: str) -> float:
    """Seconds since the epoch; 0 for nothing."""
    at = instant(text, time.time()) if text else 0.0
    if at is None:
        raise typer.BadParameter(
            f"{text!r} is no time: write 30m, 2h or 1d (ago), 14:05, or 2026-11-03T14:05 (UTC)", param_hint="--since"
        )
    return at
