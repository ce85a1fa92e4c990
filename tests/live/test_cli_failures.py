"""What goes wrong is one line that says what and where, with the exit code of its kind; and nothing is slow to start."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.live.scripted_engine import ScriptedEngine, served
from tests.live.test_cli_commands import Shell

pytestmark = pytest.mark.live


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Nothing answers on the socket."""
    return Shell(ScriptedEngine(), tmp_path)


@pytest.mark.parametrize(
    "words",
    [("status",), ("attach",), ("events", "--follow"), ("freeze",), ("drain", "tokyo", "--yes"), ("explain", "tokyo")],
)
async def test_nothing_running_is_one_line_that_helps(shell: Shell, words: tuple[str, ...]) -> None:
    done = await shell.run(*words)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"pointsman: no pointsman answers on {shell.directory}/control.sock; start one with")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("zzz",), "No such command 'zzz'; see `pointsman --help`"),
        (("drain",), "Missing argument 'CLUSTER'; see `pointsman drain --help`"),
        (("status", "--jsn"), "No such option: --jsn"),
        (("events", "--limit", "0"), "Invalid value for '--limit'"),
        (("drain", "tokyo", "--for", "soon"), "--for: not a length of time"),
        (("drain", "tokyo", "--for", "0"), "--for: "),
        (("run", "--config", "nowhere.toml", "--headless"), "nowhere.toml"),
        (("run", "--headless"), "no settings file"),
        (("check",), "no settings file"),
    ],
)
async def test_wrong_usage_is_one_line_and_exit_2(shell: Shell, words: tuple[str, ...], line: str) -> None:
    done = await shell.run(*words)
    assert (done.code, done.out) == (2, "")
    assert line in done.err
    assert done.err.startswith("pointsman: ")
    assert done.err.count("\n") == 1


async def test_check_names_every_error_with_its_place_and_exits_2(shell: Shell) -> None:
    (shell.directory / "config.toml").write_text('[dns]\nttl = -1\n[detection]\nmode = "sometimes"\n')
    done = await shell.run("check")
    assert done.code == 2
    assert [line.split(": ")[:3] for line in done.err.splitlines()] == [
        ["pointsman", "config.toml:2", "dns.ttl"],
        ["pointsman", "config.toml:4", "detection.mode"],
    ]


async def test_check_says_when_all_is_well(shell: Shell) -> None:
    (shell.directory / "mine.toml").write_text(
        '[[cluster]]\nname = "a"\naddresses = ["192.0.2.1"]\n[[app]]\ndomain = "svc1.net."\nclusters = ["a"]\n'
    )
    done = await shell.run("check", "--config", "mine.toml")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "mine.toml: 1 clusters, 1 apps, no errors"


async def test_a_defect_is_one_line_and_its_traceback_is_kept(shell: Shell) -> None:
    program = (
        "import sys, core.cli.show as show\n"
        "def broken(*_): raise RuntimeError('a\\x1b[2Jb')\n"
        "show.ask = broken\n"
        "from core.cli import main\n"
        "sys.argv = ['pointsman', 'status']\n"
        "sys.exit(main())"
    )
    env = {"TMPDIR": str(shell.directory), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("pointsman: unexpected RuntimeError: a\\x1b[2Jb; this is a defect")
    assert done.stderr.count("\n") == 1
    [kept] = shell.directory.glob("pointsman-*.traceback")
    assert str(kept) in done.stderr
    assert "in broken" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    loud = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env | {"POINTSMAN_DEBUG": "1"}, check=False
    )
    assert "Traceback" in loud.stderr


async def test_the_socket_is_the_one_named_then_the_settings_then_a_demo(shell: Shell) -> None:
    here = shell.directory
    demo = here / f"pointsman-demo-{here.stat().st_uid}"
    usual = here / ".local/state/pointsman"
    async with served(demo, ScriptedEngine()):
        assert (await shell.run("status", POINTSMAN_SOCKET="")).code == 0
        with socket.socket(socket.AF_UNIX) as dead:  # left behind by a process that was killed
            usual.mkdir(parents=True)
            dead.bind(str(usual / "control.sock"))
        assert (await shell.run("status", POINTSMAN_SOCKET="")).code == 0
        named = await shell.run("status", "--socket", "other.sock")
        assert "no pointsman answers on other.sock" in named.err

        changed = ScriptedEngine()
        changed.now = replace(changed.now, serial=77)
        async with served(here / "state", changed):
            (here / "config.toml").write_text('[store]\ndirectory = "state"\n')
            assert "serial 77" in (await shell.run("status", POINTSMAN_SOCKET="")).out
            (here / "config.toml").write_text('[control]\nsocket = "state/control.sock"\n')
            assert "serial 77" in (await shell.run("status", POINTSMAN_SOCKET="")).out
            (here / "config.toml").unlink()
            answer = await shell.run("status", POINTSMAN_SOCKET="", POINTSMAN_STORE__DIRECTORY=str(here / "state"))
            assert "serial 77" in answer.out
    nobody = await shell.run("status", POINTSMAN_SOCKET="")
    assert nobody.err.startswith(f"pointsman: no pointsman answers on {usual}/control.sock nor {demo}/control.sock;")


def test_a_command_that_only_looks_imports_no_heavy_part() -> None:
    program = (
        "import sys, core.cli, core.control.remote\n"
        "print(*sorted({'textual', 'asyncssh', 'pydantic', 'dnslib', 'uvloop', 'rich', 'structlog', 'core.engine'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
