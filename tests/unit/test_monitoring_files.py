"""The alert rules and the dashboard ask for metrics that there are, by labels and states that there are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from core.control.metrics import render
from core.model import HandKind
from core.snapshot import ClusterState, HandView, PeersView, PeerView
from tests.tui.scripted import NOW, fleet

DIRECTORY = Path(__file__).parents[2] / "docs" / "prometheus"
RULES = (DIRECTORY / "alerts.yml").read_text()
EXPRESSIONS = [
    *re.findall(r"expr: (.*)", RULES),
    *(
        target["expr"]
        for panel in json.loads((DIRECTORY / "grafana-dashboard.json").read_text())["panels"]
        for target in panel["targets"]
    ),
]


def test_every_metric_that_is_asked_for_is_there() -> None:
    hand = HandView("ns2", HandKind.SECONDARY, "", "192.0.2.53:53", 42, 41, NOW, "serial 41")
    peers = PeersView("tokyo", True, NOW, "etcd answers", 2, (PeerView("osaka", False, False, NOW, 0.0),))
    told = render(replace(fleet(), hands=(hand,), peers=peers), {}).decode()
    samples = set(re.findall(r"^(pointsman_\w+)", told, re.MULTILINE))
    asked = {name for expression in EXPRESSIONS for name in re.findall(r"\bpointsman_\w+(?=[{\[\s)]|$)", expression)}
    assert len(asked) > 12
    assert asked <= samples, asked - samples


def test_every_label_that_an_alert_names_is_on_its_metric() -> None:
    labels = {"cluster", "source", "kind", "check", "domain", "action", "hand", "peer"}
    assert set(re.findall(r"\$labels\.(\w+)", RULES)) <= labels
    states = set(re.findall(r'pointsman_cluster_state="(\w+)"', RULES))
    assert states
    assert states <= {state.value for state in ClusterState}
