"""The world expects exactly what the probes ask: who is expected and never asked would hold its cluster out for ever."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from core.clock import Clock
from core.model import SourceId, SourceKind
from core.probes.kinds import node_checks
from core.probes.supervisor import Probes
from core.settings import Settings
from core.world import build

BASE = tomllib.loads((Path(__file__).parents[1] / "scenarios" / "files" / "base.toml").read_text())
ROUTES = {"name": "mine", "command": "true", "kind": "routes"}
OWN = {"name": "own", "command": "true"}


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"runtime": "podman"},
        {"runtime": "podman", "command": [{"name": "unit", "command": "true", "kind": "runtime"}]},
        {"checks": ["routes"], "command": [OWN]},
        {"checks": [], "command": [ROUTES, OWN]},
        {"command": [ROUTES]},
    ],
)
@pytest.mark.parametrize("checks", [["containers", "routes", "command"], ["vswitch", "runtime"], []])
def test_a_node_is_expected_to_answer_what_it_is_asked(node: dict[str, Any], checks: list[str]) -> None:
    cluster = {"name": "a", "addresses": ["192.0.2.1"], "node": [{"name": "n1", "local": True, **node}]}
    raw: dict[str, Any] = {"cluster": [cluster], "detection": {"checks": checks}}
    settings = Settings(**raw)
    asked = {check.id.kind for check in node_checks(settings, settings.cluster[0], settings.cluster[0].node[0])}
    assert build(settings).clusters["a"].expected[SourceId("a", "n1", SourceKind.NODE)] == asked


@pytest.mark.parametrize("mode", ["internal", "confirm", "both"])
def test_every_expected_source_is_asked(mode: str) -> None:
    clusters = [
        {**cluster, "node": [{"name": "n1", "local": True}, {"name": "n2", "local": True}]}
        for cluster in BASE["cluster"]
    ]
    raw: dict[str, Any] = {**BASE, "cluster": clusters, "detection": {"mode": mode}}
    settings = Settings(**raw)
    expected = {source for plan in build(settings).clusters.values() for source in plan.sources}
    assert expected == Probes(settings, _Nobody(), Clock())._plan(settings).keys()


class _Nobody:
    def result(self, result: object) -> None: ...

    def heard(self, source: SourceId, at: float) -> None: ...

    def status(self, status: object) -> None: ...
