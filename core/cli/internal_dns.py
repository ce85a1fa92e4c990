"""The command ``internal-dns``: the caching resolver of a cluster, in a process of its own (spec S17)."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from core.cli.find import settings_file
from core.cli.output import say
from core.cli.process import Config, LogFormat
from core.errors import ConfigError

_Addresses = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("internal-dns")(internal_dns)


def internal_dns(
    config: Config = None,
    listen: Annotated[_Addresses, typer.Option(help="Where it answers.", metavar="ADDRESS:PORT")] = None,
    domain: Annotated[_Addresses, typer.Option(help="A name that the external DNS is asked for.")] = None,
    upstream: Annotated[_Addresses, typer.Option(help="The external DNS.", metavar="ADDRESS[:PORT]")] = None,
    forward: Annotated[_Addresses, typer.Option(help="A resolver for all other names.")] = None,
    tsig: Annotated[str | None, typer.Option(help="File that holds the key of the orders.", metavar="FILE")] = None,
    log_format: LogFormat = None,
) -> None:
    """A caching DNS in or near a cluster, which forgets an address when it is told. Settings: [resolver]."""
    from core.log import set_up  # noqa: PLC0415  # slow to import; most commands do without
    from core.settings.load import load  # noqa: PLC0415
    from dnsserver.internal.server import serve  # noqa: PLC0415

    flags: dict[str, object] = {
        "resolver.listen": listen or None,
        "resolver.domains": domain or None,
        "resolver.upstream": upstream or None,
        "resolver.forward": forward or None,
        "resolver.tsig": tsig,
        "log.format": log_format,
    }
    settings = load(settings_file(config), flags)
    if not (settings.resolver.upstream or settings.resolver.forward):
        raise ConfigError("resolver.upstream is missing: name the external DNS there, or with --upstream")
    log = set_up(settings.log.level, settings.log.format, None)
    try:
        asyncio.run(serve(settings, lambda: say("ready")))
    finally:
        log.close()
