"""Where process 1 reaps nobody, as in many containers, the zombies of a command that was killed hold up no check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.probes.link import script
from core.settings import Detection

pytestmark = pytest.mark.live

# Orphans become children of this process, as of process 1, and it waits for none of them.
_NOBODY_REAPS = """
import ctypes, os
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
os.waitpid(os.spawnv(os.P_NOWAIT, "/bin/bash", ["bash", "--noprofile", "--norc", "-s"]), 0)
"""


def test_a_command_that_was_killed_is_run_again_though_its_zombies_stay(tmp_path: Path) -> None:
    text = script("bash", "T0", Detection(tick=0.05))
    with subprocess.Popen(
        [sys.executable, "-c", _NOBODY_REAPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True
    ) as shell:
        assert shell.stdin
        assert shell.stdout

        def say(words: str) -> None:
            shell.stdin.write(words)  # type: ignore[union-attr]
            shell.stdin.flush()  # type: ignore[union-attr]

        say(f"{text}\nc 0 sleep 994 & sleep 995 | cat\nr 0\n")
        heard = iter(shell.stdout)
        assert any(line == "T0 b 0 1\n" for line in heard)
        say("k 0 KILL\nr 0\n")
        assert any(line == "T0 b 0 2\n" for line in heard)
        shell.stdin.close()
        for _ in heard:
            pass
