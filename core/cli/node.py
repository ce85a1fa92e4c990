"""``pointsman node-command``: what a node needs that is to run the commands of its checks and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.find import settings_file
from core.cli.output import say
from core.errors import ConfigError, PointsmanError

if TYPE_CHECKING:
    from core.probes.check import Check
    from core.settings import Settings

_Source = Annotated[str, typer.Argument(help="The node or physical machine.", metavar="CLUSTER/NAME")]
_Config = Annotated[Path | None, typer.Option("--config", help="Settings file.", metavar="FILE")]
_Key = Annotated[
    Path | None, typer.Option("--public-key", help="Default: the first of ssh.keys, with .pub.", metavar="FILE")
]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("node-command")(node_command)


def node_command(source: _Source, config: _Config = None, public_key: _Key = None) -> None:
    """Print the forced command, the authorized_keys line and the sudoers lines of one node, nothing more."""
    from core.probes import node_command as node  # noqa: PLC0415 (settings and probes are slow to import)
    from core.settings.load import load  # noqa: PLC0415

    settings = load(settings_file(config), {})
    user, checks = _found(settings, source)
    say(
        f"# 1. {node.SCRIPT} on {source}, owned by root, mode 0755:",
        *node.script(checks),
        "",
        f"# 2. one line of ~{user}/.ssh/authorized_keys there:",
        node.authorized_key(_public_key(settings, public_key)),
    )
    if lines := [*node.sudoers(user, checks, settings.detection.sudo)]:
        say("", "# 3. /etc/sudoers.d/pointsman there; compare the paths with `command -v`, check it with `visudo -cf`:")
        say(*lines)


def _found(settings: Settings, source: str) -> tuple[str, Sequence[Check]]:
    """The user there, and what is checked there."""
    from core.probes.kinds import machine_checks, node_checks  # noqa: PLC0415

    for cluster in settings.cluster:
        for node in cluster.node:
            if source == f"{cluster.name}/{node.name}" and not node.local:
                return _user(settings, node.ssh), node_checks(settings, cluster, node)
        for machine in cluster.machine:
            if source == f"{cluster.name}/{machine.name}" and machine.ssh:
                return _user(settings, machine.ssh), machine_checks(settings, cluster, machine)
    raise PointsmanError(
        f"the settings have no node or machine {source!r} that is reached over SSH; write CLUSTER/NAME"
    )


def _user(settings: Settings, ssh: str) -> str:
    user, at, _ = ssh.rpartition("@")
    return user if at else settings.ssh.user


def _public_key(settings: Settings, given: Path | None) -> str:
    if given is None and not settings.ssh.keys:
        raise ConfigError("ssh.keys names no key: name one there, or the public one with --public-key")
    path = given or Path(f"{settings.ssh.keys[0]}.pub")
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PointsmanError(f"{path}: {getattr(error, 'strerror', None) or 'is no public key'}") from error
