"""The console and the engine in one process, on a real terminal that goes away."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from core.control.remote import RemoteClient
from core.errors import PointsmanError
from tests.live.app_program import STARTS_WITHIN, environment, eventually, written

pytestmark = pytest.mark.live


class Terminal:
    """``pointsman run`` with its console on a terminal of its own, whose screen is read and thrown away.
    ``leader`` begins the command of a process that leads the session in its place."""

    def __init__(self, directory: Path, size: tuple[int, int], leader: Sequence[str] = ()) -> None:
        self.directory, self.socket = directory, directory / "control.sock"
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, size)
        self._ours = ours
        self.process = subprocess.Popen(
            [*leader, sys.executable, "-m", "core.cli", "run", "--config", str(written(directory))],
            stdin=theirs, stdout=theirs, stderr=theirs,
            env=environment(directory, {"TERM": "xterm-256color"}), cwd=directory,
            start_new_session=True, preexec_fn=_take_terminal,  # noqa: PLW1509 - no thread of this test runs yet
        )  # fmt: skip
        os.close(theirs)
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """As a terminal window does, or an SSH session that was cut."""
        self._closed.set()
        self._reader.join()
        os.close(self._ours)

    def _read(self) -> None:
        while not self._closed.is_set():
            try:
                if select.select([self._ours], [], [], 0.05)[0]:
                    os.read(self._ours, 65536)
            except OSError:
                return

    def serves(self) -> bool:
        async def asked() -> bool:
            client = RemoteClient(self.socket)
            try:
                return bool((await client.snapshot()).clusters)
            except PointsmanError:
                return False
            finally:
                await client.close()

        return asyncio.run(asked())


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    found = Terminal(tmp_path, getattr(request, "param", (24, 80)))
    yield found
    found.process.kill()
    found.process.wait()


def test_a_terminal_that_is_closed_leaves_dns_answering_until_it_is_told_to_end(terminal: Terminal) -> None:
    eventually(terminal.serves, 2 * STARTS_WITHIN)
    terminal.close()
    log = terminal.directory / "state/pointsman.log"
    eventually(lambda: "terminal_closed" in log.read_text())
    assert terminal.serves()
    assert terminal.process.poll() is None
    terminal.process.send_signal(signal.SIGHUP)
    eventually(lambda: "reloaded" in log.read_text())
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(30) == 0


def test_a_terminal_whose_session_somebody_else_leads_ends_as_well(tmp_path: Path) -> None:
    """A shell or a ``make`` that waits for it: the kernel tells only the leader."""
    terminal = Terminal(tmp_path, (24, 80), ("sh", "-c", 'trap : HUP; "$@"; exit $?', "sh"))
    try:
        eventually(terminal.serves, 2 * STARTS_WITHIN)
        terminal.close()
        eventually(lambda: "terminal_closed" in (tmp_path / "state/pointsman.log").read_text())
        assert terminal.serves()
    finally:
        os.killpg(terminal.process.pid, signal.SIGKILL)
        terminal.process.wait()


@pytest.mark.parametrize("terminal", [(24, 80), (0, 0)], ids=["80x24", "without a size"], indirect=True)
def test_a_terminated_console_ends_the_service_in_order(terminal: Terminal) -> None:
    eventually(terminal.serves, 2 * STARTS_WITHIN)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(30) == 0
    terminal.close()
