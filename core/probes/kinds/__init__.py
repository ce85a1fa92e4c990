"""The kinds of check that run on nodes and physical machines (spec S4–S8): which there are, with which settings.

Called by the watch, which runs the commands, and by ``pointsman check``. Pure: no I/O, no clock, no log.
"""

from __future__ import annotations

from core.probes.check import Check
from core.settings import Cluster, Machine, Node, Settings


def node_checks(settings: Settings, cluster: Cluster, node: Node) -> list[Check]:
    """The checks of one worker node. ConfigError when a setting cannot be used (a regular expression)."""
    return []


def machine_checks(settings: Settings, cluster: Cluster, machine: Machine) -> list[Check]:
    """The checks of one physical machine: one command, one judgement for each domain."""
    return []
