"""The example and the reference hold every setting, and nothing that is not one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from core.settings import Settings
from core.settings.base import Section
from core.settings.example import example, reference
from core.settings.load import load, problems

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.toml"


def paths(model: type[Any], prefix: str = "") -> Iterator[str]:
    """Every key of the settings, with those of a list's tables once: ``cluster.node.ssh``."""
    for name, field in model.model_fields.items():
        inner = [each for each in (field.annotation, *get_args(field.annotation)) if isinstance(each, type)]
        models = [each for each in inner if issubclass(each, Section)]
        yield prefix + name
        for each in models:
            yield from paths(each, f"{prefix}{name}.")


def written(value: object, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield prefix + name
            yield from written(child, f"{prefix}{name}.")
    elif isinstance(value, list):
        for child in value:
            yield from written(child, prefix)


def everything() -> dict[str, Any]:
    """The example with every key that is not set made live."""
    return tomllib.loads(re.sub(r"^#(?=[\[\w])", "", EXAMPLE.read_text(), flags=re.MULTILINE))


def test_the_example_and_the_reference_are_up_to_date() -> None:
    assert EXAMPLE.read_text() == example()
    assert (ROOT / "docs" / "settings.md").read_text() == reference()


def test_the_example_holds_every_key() -> None:
    assert set(paths(Settings)) <= set(written(everything()))


def test_every_key_of_the_example_is_explained_in_the_line_above() -> None:
    lines = example().split("=== 2.")[1].splitlines()
    keys = [n for n, line in enumerate(lines) if re.match(r"#?\w+ = ", line)]
    assert len(keys) > 130
    assert all(re.match(r"# {1,3}\S", lines[n - 1]) for n in keys)


def test_the_example_loads_and_shows_the_defaults() -> None:
    settings = load(EXAMPLE, environ={})
    assert [cluster.name for cluster in settings.cluster] == ["tokyo", "osaka"]
    assert len(settings.app) == 1
    live = tomllib.loads(EXAMPLE.read_text())
    defaults = Settings()
    for name in set(Settings.model_fields) - {"zone", "app", "cluster", "internal_dns", "provider"}:
        assert getattr(Settings(**{name: live[name]}), name) == getattr(defaults, name)
    assert {problem.key for problem in problems(EXAMPLE, environ={})} <= {"ssh.known_hosts"}


def test_what_the_example_leaves_out_is_valid_as_well() -> None:
    settings = Settings(**everything())
    assert [cluster.name for cluster in settings.cluster] == ["tokyo", "osaka", "fukuoka"]
    assert settings.cluster[2].node[0].command[0].name == "disk"
    assert settings.alerts.webhook


def test_the_reference_names_every_key() -> None:
    text = reference()
    missing = [p for p in paths(Settings) if f"| `{p.rsplit('.', 1)[-1]}` |" not in text and f"[{p}]" not in text]
    assert not missing
