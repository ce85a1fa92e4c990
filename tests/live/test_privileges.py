"""Started as root with ``dns.user``: who it is then, what that user still may, and that workers are replaced all the same."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model import Action
from tests.conftest import require
from tests.live.app_program import CONFIG, eventually, pointsman, program, written

pytestmark = pytest.mark.live
NOBODY = pwd.getpwnam("nobody")
PORT_53 = CONFIG.replace('"127.0.0.1:0"', '"127.0.0.1:53"')


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that another user can get to."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    # through a shell: what setpriv itself starts is found with root's eyes
    look = [require("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh", "-c", '"$0" -c pass']
    if subprocess.run([*look, sys.executable], check=False, capture_output=True).returncode:
        pytest.skip("this Python, or this checkout, is in a place that is root's alone")
    directory = Path(tempfile.mkdtemp(prefix="pointsman-", dir="/var/tmp"))
    os.chown(directory, NOBODY.pw_uid, NOBODY.pw_gid)
    yield directory
    shutil.rmtree(directory)


def rights(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def workers(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_a_start_as_root_ends_as_the_user_named(place: Path, count: int) -> None:
    config = written(place, PORT_53.replace("[dns]", f'[dns]\nuser = "nobody"\nworkers = {count}'))
    with program(config) as it:
        ids = "\t".join([str(NOBODY.pw_uid)] * 4)
        for task in Path(f"/proc/{it.process.pid}/task").iterdir():
            status = rights(int(task.name))
            assert (status["Uid"], int(status["CapEff"], 16), int(status["CapPrm"], 16)) == (ids, 1 << 10, 1 << 10)
            assert int(status["CapAmb"], 16) == int(status["CapInh"], 16) == 0, "nothing that it starts inherits it"
            assert "0" not in status["Groups"].split()
        for file in (place / "state", *(place / "state").iterdir()):
            assert file.stat().st_uid == NOBODY.pw_uid
        assert it.port == "53"
        assert it.addresses() == {"192.0.2.1", "192.0.2.2"}
        if count > 1:
            first = workers(it.process.pid)
            assert len(first) == count
            assert all((rights(pid)["Uid"], int(rights(pid)["CapEff"], 16)) == (ids, 0) for pid in first)
            os.kill(first[0], signal.SIGKILL)
            eventually(lambda: len(set(workers(it.process.pid)) - {first[0]}) == count)
            eventually(lambda: "a DNS worker is replaced" in it.said())
        it.order(Action.DRAIN, "a")
        eventually(lambda: it.addresses() == {"192.0.2.2"})
        it.end()


def test_a_user_that_cannot_be_become_is_one_line(place: Path) -> None:
    config = written(place, PORT_53.replace("[dns]", '[dns]\nuser = "nobody-of-that-name"'))
    done = pointsman(place, "run", "--headless", "--config", str(config))
    assert (done.code, "there is no user nobody-of-that-name" in done.refusal) == (1, True)
    as_nobody = ("setpriv", "--reuid=nobody", "--clear-groups")
    config = written(place, PORT_53.replace("[dns]", '[dns]\nuser = "daemon"'))
    done = pointsman(place, "run", "--headless", "--config", str(config), under=as_nobody)
    assert (done.code, "only root can become daemon" in done.refusal) == (1, True)
    assert not (place / "state").exists()
