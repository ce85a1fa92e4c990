"""What the documents on safety and security point to is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "scenarios" / "files"
SECURITY = (ROOT / "docs" / "security.md").read_text()
SAFETY = (ROOT / "docs" / "safety.md").read_text()


@cache
def functions_in(path: Path) -> frozenset[str]:
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("pointer", sorted(set(re.findall(r"`(tests/[^`:]+\.py::[^`]+)`", SECURITY + SAFETY))))
def test_a_test_that_a_document_names_is_there(pointer: str) -> None:
    path, name = pointer.split("::")
    assert name in functions_in(ROOT / path)


def test_every_line_of_the_threat_model_names_a_test_and_what_is_left() -> None:
    lines = [line for line in SECURITY.splitlines() if line.startswith("| ") and not line.startswith("| threat")]
    assert len(lines) > 40
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        assert len(cells) in {3, 4}, line
        assert cells[0] and cells[1] and "::test_" in cells[2], line


def test_what_the_safety_rules_are_held_by_is_there() -> None:
    held = re.findall(r"`([^`]+)`", " ".join(re.findall(r"\*Held by:\*(.*?)(?=\n\n|\Z)", SAFETY, re.DOTALL)))
    everywhere = frozenset().union(*(functions_in(path) for path in (ROOT / "tests").rglob("test_*.py")))
    files = [pointer for pointer in held if pointer.startswith("tests/")]
    named = [pointer for pointer in held if pointer.startswith("test_")]
    scenarios = [pointer for pointer in held if re.match(r"S\d\d_", pointer)]
    assert min(map(len, (files, named, scenarios))) > 1
    assert not [path for path in files if not (ROOT / path).exists()]
    assert not [name for name in named if name not in everywhere]
    assert not [pattern for pattern in scenarios if not list(SCENARIOS.glob(pattern.rstrip("*") + "*"))]
