"""Each file under files/ is a rule of the specification, played in simulated time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.timeline import run_file

FILES = sorted((Path(__file__).parent / "files").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    run_file(path)


def test_there_are_scenarios() -> None:
    assert len(FILES) > 15
