"""The unit that is shipped: hardened as systemd itself rates it, and what the README shows is it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import require

UNIT = Path(__file__).parents[2] / "packaging" / "pointsman.service"


def test_systemd_finds_little_exposed() -> None:
    done = subprocess.run(
        [require("systemd-analyze"), "security", "--offline=true", "--no-pager", "--threshold=30", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    rating = re.search(r"Overall exposure level for pointsman.service: ([0-9.]+) (\w+)", done.stdout)
    if rating is None:  # before systemd 250
        pytest.skip(f"this systemd-analyze does not look at files: {done.stderr}")
    assert (float(rating[1]) < 3, rating[2], done.returncode) == (True, "OK", 0), done.stdout


def test_the_unit_is_one() -> None:
    """``verify`` also looks for the program, which is where the unit says on no machine but the operator's."""
    done = subprocess.run(
        [require("systemd-analyze"), "verify", "--man=no", str(UNIT)], capture_output=True, text=True, check=False
    )
    said = [
        line for line in done.stderr.splitlines() if "pointsman.service" in line and "is not executable" not in line
    ]
    assert said == []
