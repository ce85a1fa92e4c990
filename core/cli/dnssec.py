"""The commands under ``dnssec``: keys of signed zones, and the DS records that their parents need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.cli.output import say
from core.errors import PointsmanError

_Zone = Annotated[str, typer.Argument(help="The zone's name.", metavar="ZONE")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Keys of signed zones: keygen, ds.")
    group.command()(keygen)
    group.command()(ds)
    app.add_typer(group, name="dnssec")


def keygen(
    zone: _Zone, out: Annotated[Path | None, typer.Option("--out", help="The new file.", metavar="FILE")] = None
) -> None:
    """Make a key (ECDSA P-256) in a new file, and print the zone's DS record."""
    from dnsserver.dnssec import keys  # noqa: PLC0415 (cryptography is slow to import; most commands do without)
    from dnsserver.wireform import labels_of  # noqa: PLC0415

    name = _name(zone)
    path = out or Path(f"{name}key")
    try:
        key = keys.generate(path, name)
    except FileExistsError as error:
        raise PointsmanError(f"{path} is there already: a key is never overwritten; name another with --out") from error
    except OSError as error:
        raise PointsmanError(f"{path}: {error.strerror}") from error
    say(
        f"# the key is in {path}, for this user alone: name it in the zone's dnssec, reload,",
        f"# and once `dig {name} DNSKEY` shows it everywhere, give the parent zone this record:",
        key.ds_text(labels_of(name)),
    )


def ds(zone: _Zone, key: Annotated[Path, typer.Argument(help="The key's file.", metavar="FILE")]) -> None:
    """Print the DS record of a key."""
    from dnsserver.dnssec import keys  # noqa: PLC0415 (as in keygen)
    from dnsserver.wireform import labels_of  # noqa: PLC0415

    say(keys.load(str(key)).ds_text(labels_of(_name(zone))))


def _name(zone: str) -> str:
    from core.settings.base import domain_name  # noqa: PLC0415 (pydantic is slow to import too)

    try:
        return domain_name(zone)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="ZONE") from None
