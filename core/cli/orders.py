"""The commands that change something: drain, erase, restore, freeze, thaw (spec S22, S34, S37).

Each order is shown before it is given, names what the operator saw, and is refused when that has changed since.
"""

from __future__ import annotations

import secrets
import sys
import time
from dataclasses import replace
from typing import Annotated

import typer

from core import operator
from core.cli import render
from core.cli.output import Socket, ask, say
from core.cli.times import duration
from core.control.client import ControlClient
from core.errors import CommandRefused
from core.model import Action, Order
from core.snapshot import Preview

Clusters = Annotated[list[str], typer.Argument(metavar="CLUSTER")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the others and for the history.", metavar="TEXT")]
For = Annotated[str, typer.Option("--for", help="Ends by itself after this time: 30m, 2h.", metavar="TIME")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Force = Annotated[bool, typer.Option("--force", help="Also where it would be refused.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (drain, erase, restore, freeze, thaw):
        app.command()(command)


def drain(
    clusters: Clusters,
    reason: Reason = "",
    for_: For = "",
    yes: Yes = False,
    force: Force = False,
    socket: Socket = None,
) -> None:
    """No new clients: out of the answers, while those who are there are served."""
    _order(Order(Action.DRAIN, tuple(clusters), why=reason, until=_until(for_), force=force), yes, socket)


def erase(
    clusters: Clusters,
    reason: Reason = "",
    for_: For = "",
    yes: Yes = False,
    force: Force = False,
    socket: Socket = None,
) -> None:
    """Out at once, everywhere, until restored by hand."""
    _order(Order(Action.ERASE, tuple(clusters), why=reason, until=_until(for_), force=force), yes, socket)


def restore(
    clusters: Clusters, reason: Reason = "", yes: Yes = False, force: Force = False, socket: Socket = None
) -> None:
    """Back under automatic control, and into the answers once healthy."""
    _order(Order(Action.RESTORE, tuple(clusters), why=reason, force=force), yes, socket)


def freeze(reason: Reason = "", socket: Socket = None) -> None:
    """Stop all automatic changes; answers go on."""
    _give(Order(Action.FREEZE, why=reason), socket)


def thaw(reason: Reason = "", socket: Socket = None) -> None:
    """Allow automatic changes again."""
    _give(Order(Action.THAW, why=reason), socket)


def _order(order: Order, yes: bool, socket: str | None) -> None:
    order = replace(order, clusters=tuple(dict.fromkeys(order.clusters)))
    preview = ask(socket, lambda client: client.preview(order))
    say(*render.preview(order, preview))
    if preview.refused and not order.force:
        raise CommandRefused(f"{preview.refused} (--force does it nevertheless)")
    if not yes:
        _confirm(order, preview)
    _give(replace(order, expected=preview.expected), socket)


def _confirm(order: Order, preview: Preview) -> None:
    if not sys.stdin.isatty():
        raise CommandRefused("not confirmed, as there is no terminal to ask at; add --yes to do it nevertheless")
    names = " ".join(order.clusters)
    if not (preview.grave or order.action is Action.ERASE or len(order.clusters) > 1):
        typer.confirm(f"{order.action.capitalize()} {names}?", abort=True)
    elif typer.prompt(f"To {order.action} it, type {names}", prompt_suffix=": ").strip() != names:
        raise typer.Abort


def _give(order: Order, socket: str | None) -> None:
    async def giving(client: ControlClient) -> None:
        result = await client.order(replace(order, who=operator.name(), key=secrets.token_hex(16)))
        say(*result.said, f"serial {result.serial}")

    ask(socket, giving)


def _until(text: str) -> float | None:
    lasts = duration(text, "--for")
    if lasts is None:
        return None
    if not lasts:
        raise typer.BadParameter("a time of its own, over 0", param_hint="--for")
    return time.time() + lasts
