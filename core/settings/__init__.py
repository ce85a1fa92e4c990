"""The settings: pydantic models of the TOML file (spec S23). Reading them from a file is :mod:`core.settings.load`."""

from __future__ import annotations

from core.settings.alerts import Alerts
from core.settings.clusters import App, Cluster, Confirm, CustomCheck, Database, Machine, Node, PodRule, Router, Zone
from core.settings.hands import InternalDns, Provider
from core.settings.peers import Peers
from core.settings.resolver import Resolver
from core.settings.root import Settings
from core.settings.sections import (
    Console,
    Control,
    Detection,
    Dns,
    DnsLimits,
    Log,
    RateLimit,
    Recovery,
    Remote,
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
    "InternalDns",
    "Log",
    "Machine",
    "Node",
    "Peers",
    "PodRule",
    "Provider",
    "RateLimit",
    "Recovery",
    "Remote",
    "Resolver",
    "Router",
    "Safety",
    "Settings",
    "SilencePolicy",
    "Ssh",
    "Store",
    "Zone",
]
