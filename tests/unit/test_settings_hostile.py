"""Whatever stands in a settings file, reading it ends in settings or in lines that each name their place."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from core.settings import Settings
from core.settings.load import load
from core.settings.locate import Lines, Loc

ROOT = Path(__file__).parents[2]
EXAMPLE = tomllib.loads(re.sub(r"^#(?=[\[\w])", "", (ROOT / "config.example.toml").read_text(), flags=re.MULTILINE))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=20)
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


def places(value: object, loc: Loc = ()) -> list[Loc]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [loc, *(place for part, child in children for place in places(child, (*loc, part)))]


def text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(key)} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return text(value)


def put(data: Any, loc: Loc, value: object) -> None:
    """Set one value, where an earlier change has left a place for it."""
    with suppress(KeyError, IndexError, TypeError):
        for part in loc[:-1]:
            data = data[part]
        data[loc[-1]] = value


def document(data: dict[str, Any]) -> str:
    return "".join(f"{text(key)} = {toml(value)}\n" for key, value in data.items())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(places(EXAMPLE)[1:]), VALUES), min_size=1, max_size=3))
def test_any_value_anywhere_is_taken_or_told_with_its_place(tmp_path: Path, changes: list[tuple[Loc, object]]) -> None:
    data = copy.deepcopy(EXAMPLE)
    for loc, value in changes:
        put(data, loc, value)
    path = tmp_path / "config.toml"
    path.write_text(document(data), newline="\n")
    try:
        assert isinstance(load(path, environ={}), Settings)
    except ConfigError as error:
        lines = "\n".join(error.problems).replace(str(path), "config.toml").splitlines()
        assert len(lines) == len(error.problems)
        assert all(re.match(r"config\.toml(:\d+)+: ", line) for line in lines)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_every_place_of_any_document_has_a_line(data: dict[str, Any]) -> None:
    written = document(data)
    lines = Lines(written)
    for loc in places(tomllib.loads(written))[1:]:
        line = lines.line(loc)
        assert line is not None
        if isinstance(loc[-1], str) and len(loc) == 1:
            assert written.split("\n")[line - 1].startswith(text(loc[-1]))


@pytest.mark.parametrize(
    "wrong", ["cluster = 5", 'cluster = ["a"]', "cluster = [{ name = [] }]", "app = [[]]", "dns = []"]
)
def test_tables_that_are_none_are_told(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(wrong)
    with pytest.raises(ConfigError, match=r"config\.toml:1: "):
        load(path, environ={})
