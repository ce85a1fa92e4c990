"""What ``explain`` says of a node that is not heard."""

from __future__ import annotations

from dataclasses import replace

from core.cli.render import explanation
from core.model import Verdict
from tests.tui.scripted import NOW, fleet


def test_a_silent_node_comes_with_the_reason_and_since_when() -> None:
    seen = fleet()
    dallas = next(cluster for cluster in seen.clusters if cluster.name == "dallas")
    refused = "authentication refused for user pointsman"
    node = replace(dallas.sources[0], verdict=Verdict.UNKNOWN, heard_at=NOW - 40, detail=refused)
    never = replace(dallas.sources[1], verdict=Verdict.UNKNOWN, heard_at=0.0, detail="no SSH connection in 5 s")
    other = replace(dallas, sources=(node, never, *dallas.sources[2:]))
    shown = replace(seen, clusters=tuple(other if c.name == "dallas" else c for c in seen.clusters))
    lines = [line.split() for line in explanation(shown, "dallas")]
    table = lines[lines.index(["SILENT", "KIND", "FOR", "WHY"]) + 1 :]
    assert table == [
        ["node1", "node", "40s", *refused.split()],
        ["node2", "node", "never", "heard", "no", "SSH", "connection", "in", "5", "s"],
    ]
    assert "SILENT" not in "".join(explanation(seen, "tokyo")), "nothing is silent there"
