"""A pointsman elsewhere: commands and the console over TLS, and a process that is told to listen there."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.errors import CommandRefused
from tests.live.app_program import CONFIG, Program, environment, pointsman, program, written
from tests.live.certificates import TOKENS, Files, made
from tests.live.name_servers import free_ports

pytestmark = pytest.mark.live
TCP = """
tcp = "127.0.0.1:{port}"
tls_certificate = "control.crt"
tls_key = "control.key"
token_file = "tokens"
"""


def config(port: int) -> str:
    return CONFIG.replace('socket = "control.sock"', 'socket = "control.sock"' + TCP.format(port=port))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return made(tmp_path_factory.mktemp("remote"))


@pytest.fixture(scope="module")
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def it(files: Files, port: int) -> Iterator[Program]:
    with program(written(files.certificate.parent, config(port)), "--log-format", "json") as it:
        yield it
        it.end()


def remote(files: Files, port: int, role: str) -> dict[str, str]:
    return {
        "POINTSMAN_REMOTE__URL": f"https://127.0.0.1:{port}",
        "POINTSMAN_REMOTE__TOKEN_FILE": str(files.token_file(role)),
        "POINTSMAN_REMOTE__CA_FILE": str(files.certificate),
    }


def test_the_commands_speak_it_and_an_order_carries_the_tokens_name(
    it: Program, files: Files, port: int, tmp_path: Path
) -> None:
    reading, operating = remote(files, port, "read"), remote(files, port, "operate")
    assert "svc1.net." in pointsman(tmp_path, "status", **reading).out
    refused = pointsman(tmp_path, "drain", "a", "--yes", **reading)
    assert refused.code == 1
    assert "the token 'its-read' has the role read, and this needs operate" in refused.err
    assert it.addresses() == {"192.0.2.1", "192.0.2.2"}
    assert pointsman(tmp_path, "drain", "a", "--yes", "--reason", "disk", **operating).code == 0
    assert it.addresses() == {"192.0.2.2"}
    [override] = [view.override for view in it.snapshot().clusters if view.override]
    assert override.who.endswith(" (token its-operate)")
    forced = pointsman(tmp_path, "erase", "b", "--yes", "--force", **operating)
    assert "this needs admin" in forced.err
    assert pointsman(tmp_path, "restore", "a", "--yes", **operating).code == 0


def test_the_place_stands_in_the_settings_or_behind_control(
    it: Program, files: Files, port: int, tmp_path: Path
) -> None:
    token = files.token_file("read")
    (tmp_path / "config.toml").write_text(
        f'[remote]\nurl = "https://127.0.0.1:{port}"\ntoken_file = "{token}"\nca_file = "{files.certificate}"\n'
    )
    assert pointsman(tmp_path, "status").code == 0
    elsewhere = pointsman(tmp_path, "status", "--control", "https://127.0.0.1:1")
    assert (elsewhere.code, "no pointsman answers on https://127.0.0.1:1" in elsewhere.refusal) == (1, True)
    clear = pointsman(tmp_path, "status", "--control", f"http://127.0.0.1:{port}")
    assert (clear.code, "a token never goes over the network in the clear" in clear.refusal) == (2, True)
    assert pointsman(tmp_path, "check", POINTSMAN_REMOTE__URL="http://x:1").code == 2


def test_a_console_with_a_token_that_may_only_read_has_no_verbs(
    it: Program, files: Files, port: int, tmp_path: Path
) -> None:
    for role, read_only in (("read", True), ("operate", False)):
        screen = shown(tmp_path, remote(files, port, role), b"READ-ONLY" if read_only else b"svc1.net.")
        assert (b"READ-ONLY" in screen, b"Drain" in screen) == (read_only, not read_only)


def shown(directory: Path, env: dict[str, str], until: bytes) -> bytes:
    """What ``attach`` draws until a text and the footer have appeared."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        [sys.executable, "-m", "core.cli", "attach"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=directory,
        env=environment(directory, {**env, "TERM": "xterm-256color", "COLUMNS": "160", "LINES": "40"}),
        start_new_session=True,
    )
    os.close(theirs)
    screen, deadline = b"", time.monotonic() + 60
    try:
        while not (until in screen and b"more" in screen):
            assert time.monotonic() < deadline, screen[-2000:]
            select.select([ours], [], [], 1.0)
            with suppress(BlockingIOError):
                screen += os.read(ours, 65536)
        return screen
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_tcp_without_tls_does_not_start(tmp_path: Path) -> None:
    files = made(tmp_path)
    tokens = f'socket = "control.sock"\ntoken_file = "{files.tokens}"'
    path = written(tmp_path, CONFIG.replace('socket = "control.sock"', tokens))
    done = pointsman(tmp_path, "run", "--headless", "--config", str(path), "--control-tcp", "127.0.0.1:0")
    assert done.code == 2
    assert done.refusal == (
        "pointsman: command line: control.tcp: needs control.tls_certificate, control.tls_key:"
        " over TCP there are no orders without TLS and a token\n"
    )
    assert not (tmp_path / "state").exists()


def test_a_key_that_is_not_the_certificates_is_told_by_check_and_at_the_start(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "other").mkdir()
    made(tmp_path / "other").key.replace(tmp_path / "control.key")
    path = written(tmp_path, config(0))
    for words in (("check",), ("run", "--headless")):
        done = pointsman(tmp_path, *words, "--config", str(path))
        assert (done.code, "key values mismatch" in done.err) == (2, True)
    assert not (tmp_path / "state").exists()


def test_a_reload_takes_new_tokens_and_what_is_wrong_with_them_changes_nothing(tmp_path: Path) -> None:
    files = made(tmp_path)
    port = free_ports(1)[0]
    mine = remote(files, port, "admin")
    with program(written(tmp_path, config(port))) as it:
        assert pointsman(tmp_path, "status", **mine).code == 0
        files.tokens.write_text("nonsense\n")
        with pytest.raises(CommandRefused, match="a token has 16 characters or more"):
            it.ask(lambda client: client.reload())
        assert pointsman(tmp_path, "status", **mine).code == 0
        files.tokens.write_text("admin other another-token-0123456789\n")
        it.ask(lambda client: client.reload())
        assert "wrong or missing token" in pointsman(tmp_path, "status", **mine).refusal
        it.end()


def test_secrets_may_be_systemd_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``LoadCredential=`` leaves them: a directory that systemd names in the environment."""
    files = made(tmp_path)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for file in (files.tokens, files.key):
        file.rename(credentials / file.name)
        (credentials / file.name).chmod(0o440)  # what an ACL for the user looks like
    port = free_ports(1)[0]
    text = config(port)
    for file in (files.tokens, files.key):
        text = text.replace(f'= "{file.name}"', f'= "credential:{file.name}"')
    path = written(tmp_path, text)
    without = pointsman(tmp_path, "check", "--config", str(path))
    assert "credential:control.key: systemd gave this process no credentials" in without.err
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    checked = pointsman(tmp_path, "check", "--config", str(path))
    assert (checked.code, "others may read it" in checked.out) == (0, False)
    with program(path) as it:
        assert pointsman(tmp_path, "status", **remote(files, port, "read")).code == 0
        it.end()


def test_no_secret_stands_in_the_command_line_the_environment_or_the_log(it: Program, files: Files, port: int) -> None:
    process = Path(f"/proc/{it.process.pid}")
    pointsman(files.certificate.parent, "status", **remote(files, port, "read"))
    told = (process / "cmdline").read_text() + (process / "environ").read_text() + it.said()
    key = files.key.read_text().splitlines()[1]
    assert not [secret for secret in (*TOKENS.values(), key) if secret in told]
