"""Started as root with ``dns.user``: who it is then, what that user still may, and that workers are replaced all the same."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model import Action
from tests.conftest import require
from tests.live.app_program import CONFIG, ROOT, eventually, pointsman, program, written

pytestmark = pytest.mark.live
NOBODY = pwd.getpwnam("nobody")
PORT_53 = CONFIG.replace('"127.0.0.1:0"', '"127.0.0.1:53"')


OPENED = """
stash=$1 tops=$2 needed=$3; shift 3
for path in $needed; do mkdir -p "$stash$path"; mount --bind "$path" "$stash$path"; done
for top in $tops; do mount -t tmpfs -o mode=755 none "$top"; done
for path in $needed; do mkdir -p "$path"; mount --bind "$stash$path" "$path"; done
exec "$@"
"""
"""Python and this checkout may lie where root alone can go (/root): there the way to them is laid anew, for one program."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that another user can get to."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    directory = Path(tempfile.mkdtemp(prefix="pointsman-", dir="/var/tmp"))
    os.chown(directory, NOBODY.pw_uid, NOBODY.pw_gid)
    yield directory
    shutil.rmtree(directory)


def opened(place: Path) -> tuple[str, ...]:
    """What a program is started through, so that its files can be read by every user."""
    needed = sorted({str(Path(path).resolve()) for path in (sys.base_prefix, sys.prefix, ROOT)})
    ways = {parent for path in needed for parent in Path(path).parents}
    shut = sorted(str(way) for way in ways if not way.stat().st_mode & 0o001)
    tops = [top for top in shut if not any(top.startswith(f"{other}/") for other in shut)]
    return (
        "unshare",
        "--mount",
        "sh",
        "-ec",
        OPENED,
        "sh",
        str(place / "stash"),
        " ".join(tops),
        " ".join(needed if tops else ()),
    )


def rights(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def workers(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_a_start_as_root_ends_as_the_user_named(place: Path, count: int) -> None:
    config = written(place, PORT_53.replace("[dns]", f'[dns]\nuser = "nobody"\nworkers = {count}'))
    with program(config, under=(*opened(place), require("setpriv"), "--groups=0,4")) as it:
        ids = "\t".join([str(NOBODY.pw_uid)] * 4)
        for task in Path(f"/proc/{it.process.pid}/task").iterdir():
            status = rights(int(task.name))
            assert (status["Uid"], int(status["CapEff"], 16), int(status["CapPrm"], 16)) == (ids, 1 << 10, 1 << 10)
            assert int(status["CapAmb"], 16) == int(status["CapInh"], 16) == 0, "nothing that it starts inherits it"
            assert set(status["Groups"].split()) == set(map(str, os.getgrouplist("nobody", NOBODY.pw_gid)))
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
    run = ("run", "--headless", "--config", str(config))
    done = pointsman(place, *run)
    assert (done.code, "there is no user nobody-of-that-name" in done.refusal) == (1, True)
    as_nobody = (*opened(place), require("setpriv"), "--reuid=nobody", "--clear-groups")
    config = written(place, PORT_53.replace("[dns]", '[dns]\nuser = "daemon"'))
    done = pointsman(place, *run, under=as_nobody)
    assert (done.code, "only root can become daemon" in done.refusal) == (1, True)
    assert not (place / "state").exists()
