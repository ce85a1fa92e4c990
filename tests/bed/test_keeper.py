"""A bed leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bed.conftest import WANTED
from tests.bed.keeper import control_groups
from tests.bed.shell import BASE, call, wait_until
from tests.bed.space import ROOT, Space
from tests.conftest import LEFT_OUT

pytestmark = [pytest.mark.live, pytest.mark.skipif(not WANTED, reason=LEFT_OUT)]
HOLDER = """
import sys, time
from pathlib import Path
from tests.bed.space import Space
space = Space(Path(sys.argv[1]))
space.open(stay=False)
space.namespace("other")
space.run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
space.start("program", "sleep", "1000", within="other")
print(space.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("how", ["closed", "holder killed", "first process killed"])
def test_nothing_is_left(how: str) -> None:
    directory = BASE / f"bed-ends-{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            _end(how, directory, holder)
        finally:
            holder.kill()


def _end(how: str, directory: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    first = int(holder.stdout.readline())
    inside = call("ps", "--no-headers", "-eo", "pid,pidns", check=False)
    namespace = str(Path(f"/proc/{first}/ns/pid").readlink())[5:-1]
    members = [line.split()[0] for line in inside.splitlines() if line.split()[1] == namespace]
    assert len(members) == 2, "the first process and the program"
    groups = control_groups(directory.name)
    for group in groups:
        (group / "node" / "inner").mkdir(parents=True)
    if how == "closed":
        Space(directory).close()
    else:
        os.kill(holder.pid if how == "holder killed" else first, 9)
    wait_until("its processes end", lambda: not any(Path("/proc", pid).exists() for pid in members))
    wait_until("its files are gone", lambda: not directory.exists())
    assert not any(group.exists() for group in groups)
