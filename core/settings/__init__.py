"""The settings: pydantic models of the TOML file (spec S23). Reading them from a file is :mod:`core.settings.load`."""

from __future__ import annotations

from core.settings.clusters import App, Cluster, Confirm, CustomCheck, Database, Machine, Node, PodRule, Router, Zone
from core.settings.root import Settings
from core.settings.sections import (
    Alerts,
    Console,
    Control,
    Detection,
    Dns,
    DnsLimits,
    Log,
    RateLimit,
    Recovery,
    Safety,
    SilencePolicy,
    Ssh,
    Store,
)

__all__ = [
    "Alerts",
    "App",
    "Cluster",
    "Confirm",
    "Console",
    "Control",
    "CustomCheck",
    "Database",
    "Detection",
    "Dns",
    "DnsLimits",
    "Log",
    "Machine",
    "Node",
    "PodRule",
    "RateLimit",
    "Recovery",
    "Router",
    "Safety",
    "Settings",
    "SilencePolicy",
    "Ssh",
    "Store",
    "Zone",
]
