"""The command ``support-bundle``: one file for those who are to help, without secrets; also when nothing runs."""

from __future__ import annotations

import os
import socket as sockets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.find import settings_file
from core.cli.output import Socket, ask, say
from core.cli.process import Config
from core.errors import ConfigError, PointsmanError

if TYPE_CHECKING:
    from core.control.remote import RemoteClient
    from core.model import Event
    from core.snapshot import Snapshot

_UNIT = "pointsman"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("support-bundle")(support_bundle)


def support_bundle(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The new file; default pointsman-support-HOST-TIME.tar.gz here.", metavar="FILE"),
    ] = None,
    config: Config = None,
    socket: Socket = None,
    unit: Annotated[str, typer.Option("--unit", help="The service whose journal is wanted.", metavar="NAME")] = _UNIT,
) -> None:
    """Settings (secrets masked), status, events, metrics, logs, store and host in one file to give away."""
    from core.settings import Settings  # noqa: PLC0415  # pydantic is slow to import; --help does without
    from core.settings.load import load  # noqa: PLC0415
    from core.support import gather  # noqa: PLC0415

    at, bundle, path = time.time(), gather.Bundle(), settings_file(config)
    file = out or Path(
        f"pointsman-support-{sockets.gethostname()}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}.tar.gz"
    )
    gather.settings(bundle, path)
    try:
        settings = load(path)
    except ConfigError:
        settings = Settings()  # told in problems.txt
    if path and socket is None and "POINTSMAN_SOCKET" not in os.environ:
        socket = str(settings.control_socket)
    directory = Path(settings.store.directory).expanduser()
    live = True
    try:
        gather.running(bundle, *ask(socket, _told))
    except PointsmanError as error:
        live = False
        bundle.missing.append(f"status, metrics: {error}")
    gather.host(bundle, gather.owner(directory))
    gather.store(bundle, directory, with_events=not live)
    gather.logs(bundle, settings.log_file, unit)
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:  # noqa: PTH123  # Path.open() takes no descriptor
            target.write(bundle.pack(at))
    except OSError as error:
        raise PointsmanError(f"{file}: {error.strerror}") from error
    say(
        *(f"not in it: {bundle.masker.text(line)}" for line in bundle.missing),
        f"{file}: look through it before you give it away",
    )


async def _told(client: RemoteClient) -> tuple[Snapshot, list[Event], str]:
    from core.support.gather import EVENTS  # noqa: PLC0415  # as above

    return await client.snapshot(), await client.events(limit=EVENTS), await client.metrics()
