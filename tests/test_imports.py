"""Rules on the repository as a whole: who imports whom, how long a file may be, what no file may name."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require

ROOT = Path(__file__).parents[1]
PARTS = ("core", "dnsserver", "tui", "tests", "bench", "docs", ".ci")
LOCKS = ("requirements.lock", "requirements-dev.lock")


def files() -> Iterator[Path]:
    """Every text file of the project but the lock files."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name not in (*LOCKS, "LICENSE", ".git"))
    for part in PARTS:
        yield from (path for path in (ROOT / part).rglob("*") if path.is_file() and path.suffix != ".pyc")


def test_nobody_imports_what_the_contracts_forbid() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_source_file_has_over_400_lines() -> None:
    sources = [path for path in files() if path.suffix in (".py", ".sh", ".tcss", ".sql")]
    long = {str(path.relative_to(ROOT)): n for path in sources if (n := len(path.read_text().splitlines())) > 400}
    assert len(sources) > 20
    assert long == {}


def test_no_file_names_a_place_of_the_machine_it_is_tested_on() -> None:
    shared = {
        "bin",
        "build",
        "data",
        "dist",
        "etc",
        "home",
        "lib",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "srv",
        "sys",
        "tmp",
        "usr",
        "var",
    }
    tops = {path.parts[1] for path in (ROOT, Path(sys.prefix))} - shared
    places = [str(Path.home()), *(f"/{top}" for top in tops)]
    local = re.compile("|".join(rf"(?<![\w./]){re.escape(place)}/" for place in places))
    assert {str(path.relative_to(ROOT)) for path in files() if local.search(path.read_text())} == set()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_package_with_hashes_and_names_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    packages = re.split(r"\n(?=\w)", text)
    assert len(packages) > 40
    assert all(re.match(r"[\w.-]+==\S+ .*\\\n    --hash=sha256:[0-9a-f]{64}", package) for package in packages)
    assert "://" not in text


def test_a_program_that_is_missing_skips_a_test_here_and_fails_it_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    assert require("sh").endswith("/sh")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        require("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        require("no-such-program")
