"""Whatever ends a watch, nothing of it is left on the node: no process, and no file. Found by the mark in its environment."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from core.probes.link import script
from core.settings import Detection
from tests.live.sshd import marked

pytestmark = pytest.mark.live

# A check that hangs and does not hear TERM, one that is hidden behind children, and an event tool that never says a word.
_BUSY = (
    "c 0 trap '' TERM; while :; do sleep 1; done",
    "c 2 sleep 995 & sleep 996 | cat",
    "r 0",
    "r 2",
    "e 4 sleep 997",
)


class Watching:
    """The bash script in a shell of its own, busy. Its input and output are ours to cut. ``patience``: the minute, in seconds,
    after which it is ended when it hears nothing."""

    def __init__(self, home: Path, environment: Mapping[str, str] | None = None, patience: int = 60) -> None:
        self.mark = uuid.uuid4().hex
        self.shell = subprocess.Popen(
            ["/bin/bash", "--noprofile", "--norc", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=home,
            env=os.environ | {"MARK": self.mark, "HOME": str(home), "TMPDIR": str(home)} | dict(environment or {}),
        )
        text = script("bash", "T0", Detection(tick=0.02)).replace("read -r -t 60", f"read -r -t {patience}")
        self.say(text + "\n".join(_BUSY) + "\n")
        self.until(lambda: all(any(word in line for line in self.left()) for word in ("sleep 995", "sleep 997")))

    def say(self, text: str) -> None:
        assert self.shell.stdin is not None
        self.shell.stdin.write(text.encode())
        self.shell.stdin.flush()

    def left(self) -> list[str]:
        return marked(self.mark)

    def shells(self) -> list[int]:
        """The script, its guard, and what else of it is a shell; the script first."""
        return sorted(int(line.split()[0]) for line in self.left() if "--noprofile" in line)

    def until(self, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + 40
        while not happened():
            assert time.monotonic() < end, self.left()
            time.sleep(0.05)

    def cut(self) -> None:
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        with suppress(BrokenPipeError):
            self.shell.stdin.close()
        self.shell.stdout.close()


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    watching = Watching(tmp_path)
    yield watching
    _clean(watching)


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Watching]:
    watching = Watching(tmp_path, patience=5)
    yield watching
    _clean(watching)


def _clean(watching: Watching) -> None:
    for line in watching.left():
        with suppress(ProcessLookupError):
            os.kill(int(line.split()[0]), signal.SIGKILL)
    watching.cut()
    watching.shell.wait()


def test_after_the_channel_is_cut(watching: Watching, tmp_path: Path) -> None:
    watching.cut()
    watching.until(lambda: not watching.left())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [0, 1])
def test_after_the_script_or_its_guard_is_killed(watching: Watching, number: int) -> None:
    os.kill(watching.shells()[number], signal.SIGKILL)

    def is_gone() -> bool:
        with suppress(BrokenPipeError):
            watching.say(".\n" * number)  # the guard's end is noticed by the next word to it, once it has ended
        return not watching.left()

    watching.until(is_gone)


def test_after_its_process_group_is_killed(watching: Watching) -> None:
    os.killpg(watching.shell.pid, signal.SIGKILL)
    watching.until(lambda: not watching.left())


def test_after_it_was_stopped_and_then_cut(impatient: Watching) -> None:
    impatient.shell.send_signal(signal.SIGSTOP)
    impatient.cut()
    impatient.until(lambda: not impatient.left())


def test_after_nobody_reads_it_any_more(impatient: Watching) -> None:
    impatient.say("c 6 yes\nr 6\n")
    impatient.until(lambda: not impatient.left())


@pytest.mark.parametrize(
    "environment",
    [
        {"TMPDIR": "/nonexistent", "HOME": "/nonexistent"},
        {"PATH": "/usr/bin:/bin"},
        {
            "PATH": "",
            "LANG": "tr_TR.UTF-8",
            "LC_ALL": "tr_TR.UTF-8",
            "IFS": "0",
            "BASH_ENV": "/nonexistent",
            "POSIXLY_CORRECT": "1",
        },
    ],
)
def test_in_an_odd_place(tmp_path: Path, environment: dict[str, str]) -> None:
    watching = Watching(tmp_path, environment)
    watching.cut()
    try:
        watching.until(lambda: not watching.left())
    finally:
        _clean(watching)
