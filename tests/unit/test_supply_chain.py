"""What is installed is what was locked, and what was locked is what is audited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("requirements*.lock"))
MAKEFILE = (ROOT / "Makefile").read_text()


def locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_dependency_is_locked_with_hashes_and_from_no_other_place(lock: Path) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", lock.read_text())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9][a-z0-9._-]*==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert "://" not in lock.read_text()


def test_every_installation_is_held_to_the_hashes() -> None:
    installs = [line for line in MAKEFILE.splitlines() if "pip install" in line and "-e ." not in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)
    assert "--no-deps --no-build-isolation -e ." in MAKEFILE, "ours brings nothing along"


def test_what_is_audited_is_what_is_installed() -> None:
    installed = {lock.name for lock in LOCKS}
    assert set(re.findall(r"requirements[a-z-]*\.lock", MAKEFILE.split("\naudit:")[1].split("\n\n")[0])) == installed
    runtime, dev = (locked(ROOT / name) for name in ("requirements.lock", "requirements-dev.lock"))
    assert runtime.items() <= dev.items(), "the tests are run with what is deployed"
