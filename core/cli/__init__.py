"""The command ``pointsman``: its commands, and how everything that can go wrong looks to the one who typed it.

Exit codes: 0 done; 1 refused or failed, one line on stderr saying why; 2 wrong usage or settings; 130 interrupted.
Heavy parts (console, engine, SSH) are imported by the commands that need them: ``status`` is to be quick.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from contextlib import suppress
from io import TextIOWrapper

import typer
from typer.main import get_command

from core.cli import dnssec, endpoints, internal_dns, node, orders, process, provider, recording, show, support
from core.cli.output import close_stdout
from core.errors import ConfigError, PointsmanError
from core.text import printable

app = typer.Typer(
    help="Watches clusters from outside, and takes a broken one's address out of DNS within a fraction of a second.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(invoke_without_command=True)(process.start)
for part in (process, show, orders, recording, endpoints, dnssec, node, internal_dns, provider, support):
    part.register(app)


def main() -> int:
    """Run the command line of this process and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a character is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        close_stdout()
    return code


def _run() -> int:
    try:
        return int(get_command(app).main(prog_name="pointsman", standalone_mode=False) or 0)
    except ConfigError as error:
        return _fail(*error.problems, code=2)
    except PointsmanError as error:
        return _fail(str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "pointsman"
        return _fail(f"{error.format_message().rstrip('.')}; see `{path} --help`", code=error.exit_code)
    except typer.Abort:
        return _fail("nothing was done")
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error}; this is a defect of pointsman. {_keep_traceback()}")


def _fail(*lines: str, code: int = 1) -> int:
    with suppress(OSError):
        for line in lines:
            sys.stderr.write(f"pointsman: {printable(line)}\n")
    return code


def _keep_traceback() -> str:
    if os.environ.get("POINTSMAN_DEBUG"):
        traceback.print_exc()
        return "Its traceback is above."
    try:
        with tempfile.NamedTemporaryFile("w", prefix="pointsman-", suffix=".traceback", delete=False) as file:
            traceback.print_exc(file=file)
    except OSError:
        return "POINTSMAN_DEBUG=1 shows its traceback."
    return f"Its traceback is in {file.name}."
