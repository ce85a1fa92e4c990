"""The commands that start something: run, demo, attach, check, lab."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.find import control_place, demo_directory, settings_file
from core.cli.output import Socket, ask, say, table
from core.control.roles import Role
from core.errors import ConfigError
from core.model import Evidence, Result, Verdict

if TYPE_CHECKING:
    from core.settings import Settings

Config = Annotated[Path | None, typer.Option("--config", help="The settings file.", metavar="FILE")]
Headless = Annotated[bool, typer.Option("--headless", help="No console: resolver and monitor, logs to stderr.")]
LogFormat = Annotated[str | None, typer.Option("--log-format", help="text or json.", metavar="FORMAT")]
ControlTcp = Annotated[
    str | None,
    typer.Option("--control-tcp", help="Control API on ADDRESS:PORT as well, over TLS.", metavar="PLACE"),
]
OwnSocket = Annotated[Path | None, typer.Option("--socket", help="Control socket to listen on.", metavar="PATH")]

PROBE_WITHIN = 30.0
"""Seconds for one round of every check."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (run, demo, attach, check):
        app.command()(command)
    app.command(
        help="Faults in a running demo: break, mend, list.",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    )(lab)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            say(f"pointsman {installed_version('pointsman')}")
        except PackageNotFoundError:
            say("pointsman, not installed")
        raise typer.Exit(0)


def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version.")
    ] = False,
) -> None:
    """Without a command: run."""
    del version
    if context.invoked_subcommand is None:
        raise typer.Exit(run())


def run(
    config: Config = None,
    headless: Headless = False,
    log_format: LogFormat = None,
    control_tcp: ControlTcp = None,
    socket: OwnSocket = None,
) -> int:
    """Watch, decide and answer, with the console at a terminal."""
    return _run(_settings_file(config), headless, _flags(log_format, control_tcp, socket))


def demo(
    directory: Annotated[Path | None, typer.Option("--dir", help="Where its state and socket live.")] = None,
    dns_port: Annotated[int, typer.Option(min=0, max=65535, help="DNS port on 127.0.0.1.")] = 5300,
    headless: Headless = False,
    log_format: LogFormat = None,
) -> int:
    """Clusters of this machine's own making, and the console on them."""
    place = (directory or demo_directory()).expanduser().absolute()
    lab = import_module("core.lab.demo")
    with lab.running(place, dns_port=dns_port) as config:
        return _run(
            config, headless, _flags(log_format, None, None), commands=lab.palette(place), outlives_terminal=False
        )


def attach(config: Config = None, socket: Socket = None) -> int:
    """The console on a running process; with a token that may only read, one that only reads."""
    caller = ask(socket, lambda client: client.caller())
    from core.control.remote import RemoteClient  # noqa: PLC0415  # only here

    place = control_place(socket)
    console = _load(settings_file(config), {}).console
    if not caller.role.covers(Role.OPERATE):
        console = console.model_copy(update={"read_only": True})
    return int(import_module("tui.app").run_console(RemoteClient(place), console, attached=True))


def check(
    config: Config = None,
    probe: Annotated[bool, typer.Option("--probe", help="Run every check once.")] = False,
) -> int:
    """Check the settings; each error with its place."""
    from core.settings.load import problems  # noqa: PLC0415  # as in _load

    path = _settings_file(config)
    found = problems(path)
    if errors := [str(problem) for problem in found if not problem.note]:
        raise ConfigError(*errors)
    say(*(f"note: {problem}" for problem in found))
    settings = _load(path, {})
    import_module("core.control.access").read(settings.control)
    say(*(f"note: {note}" for note in import_module("dnsserver.server").read(settings).notes))
    say(f"{path or 'environment'}: {len(settings.cluster)} clusters, {len(settings.app)} apps, no errors")
    if not probe:
        return 0
    results: list[Result] = asyncio.run(import_module("core.app").probe_once(settings, PROBE_WITHIN))
    rows = sorted(map(_outcome, results), key=lambda row: (row[1] is not Verdict.OK, row))  # what is wrong comes last
    say("", *table(("CHECK", "VERDICT", "TOOK", "SAID"), rows))
    return int(any(verdict is not Verdict.OK for _, verdict, *_ in rows))


def lab(context: typer.Context) -> int:
    """Everything behind ``lab`` is read by the lab's own commands."""
    command = typer.main.get_command(import_module("core.lab.cli").app)
    return int(command.main(context.args, prog_name="pointsman lab", standalone_mode=False) or 0)


def loaded(config: Path | None) -> Settings:
    """The settings of the file that is named, or of the usual one."""
    return _load(_settings_file(config), {})


def _settings_file(given: Path | None) -> Path | None:
    path = settings_file(given)
    if path is None and "POINTSMAN_CLUSTER" not in os.environ:
        raise ConfigError(
            "no settings file: name one with --config, or make config.toml from config.example.toml;"
            " `pointsman demo` needs none"
        )
    return path


def _run(config: Path | None, headless: bool, flags: dict[str, object], **console: object) -> int:
    """``console`` is what :func:`core.app.run` wants to know for the console alone."""
    settings = _load(config, flags)
    headless = headless or not (sys.stdin.isatty() and sys.stdout.isatty())
    run = import_module("core.app").run
    return int(run(settings, headless=headless, config=config, flags=flags, **console))


def _flags(log_format: str | None, control_tcp: str | None, socket: Path | None) -> dict[str, object]:
    return {
        "log.format": log_format,
        "control.tcp": control_tcp,
        "control.socket": None if socket is None else str(socket),
    }


def _load(path: Path | None, flags: dict[str, object]) -> Settings:
    from core.settings.load import load  # noqa: PLC0415  # pydantic is slow to import; most commands do without

    return load(path, flags)


def _outcome(result: Result) -> tuple[str, Verdict, str, str]:
    took = f"{result.took * 1000:.0f} ms"
    if isinstance(result, Evidence):
        return str(result.check), Verdict.OK if result.healthy else Verdict.FAIL, took, result.said
    return str(result.check), Verdict.UNKNOWN, took, result.reason
