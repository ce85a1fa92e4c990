"""The watched world as the pure modules need it: the settings, indexed once. Pure; built at the start and at a reload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from core.model import CheckId, Kind, SourceId, SourceKind
from core.settings import App, Cluster, Node, PodRule, Settings


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """One cluster: who speaks for it, and the apps that it serves.

    ``expected`` holds, per source, the kinds that must have answered once before a round is whole (spec S30).
    """

    cluster: Cluster
    apps: tuple[App, ...]
    nodes: tuple[SourceId, ...]
    router: SourceId | None
    expected: Mapping[SourceId, frozenset[Kind]]

    @property
    def sources(self) -> tuple[SourceId, ...]:
        return tuple(self.expected)

    def expects(self, check: CheckId) -> bool:
        """Whether these settings want such a check; the session with a source is always wanted."""
        kinds = self.expected.get(check.source)
        return kinds is not None and (check.kind in kinds or check.kind is Kind.WATCH)


@dataclass(frozen=True, slots=True)
class World:
    """All clusters and apps by name. ``rules`` are each app's pod rules, read once; ``canaries`` belong to no cluster."""

    settings: Settings
    clusters: Mapping[str, ClusterPlan]
    apps: Mapping[str, App]
    rules: Mapping[str, tuple[PodRule, ...]]
    canaries: tuple[SourceId, ...] = ()

    def weight(self, domain: str, cluster: str) -> int:
        """The configured weight of a cluster under a domain name; 0 means never (spec S35)."""
        weights = self.apps[domain].weights
        return weights[cluster] if cluster in weights else self.clusters[cluster].cluster.weight


def build(settings: Settings) -> World:
    """The world of checked settings."""
    apps = {app.domain: app for app in settings.app}
    return World(
        settings,
        MappingProxyType({cluster.name: _plan(settings, cluster) for cluster in settings.cluster}),
        MappingProxyType(apps),
        MappingProxyType({domain: app.pod_rules for domain, app in apps.items()}),
        tuple(SourceId("", canary, SourceKind.CANARY) for canary in settings.safety.canaries),
    )


def matches(rule: PodRule, pod: str) -> bool:
    """Whether a pod, ``namespace/name``, falls under a rule."""
    if rule.match.endswith("*"):
        return pod.startswith(rule.match[:-1])
    return pod == rule.match


def _plan(settings: Settings, cluster: Cluster) -> ClusterPlan:
    internal = settings.detection.mode != "confirm"
    external = settings.detection.mode != "internal" and cluster.confirm is not None
    expected: dict[SourceId, frozenset[Kind]] = {}
    nodes = tuple(SourceId(cluster.name, node.name) for node in cluster.node) if internal else ()
    if internal:
        for source, node in zip(nodes, cluster.node, strict=True):
            expected[source] = _node_kinds(settings, node)
        if "machine" in settings.detection.checks:
            for machine in cluster.machine:
                expected[SourceId(cluster.name, machine.name, SourceKind.MACHINE)] = frozenset({Kind.MACHINE})
        if "database" in settings.detection.checks:
            for database in cluster.database:
                expected[SourceId(cluster.name, database.name, SourceKind.DATABASE)] = frozenset({Kind.DATABASE})
    router = SourceId(cluster.name, "router", SourceKind.ROUTER) if external else None
    if router:
        expected[router] = frozenset({Kind.CONFIRM})
    apps = tuple(app for app in settings.app if cluster.name in app.clusters)
    return ClusterPlan(cluster, apps, nodes, router, MappingProxyType(expected))


def _node_kinds(settings: Settings, node: Node) -> frozenset[Kind]:
    """As :func:`core.probes.kinds.node_checks` has it."""
    enabled = settings.detection.checks
    wanted = {*(enabled if node.checks is None else node.checks), *({"command"} & {*enabled})}
    own = {"containers", "routes", "vswitch", "runtime"} - ({"runtime"} if node.runtime == "podman" else set())
    return frozenset(Kind(kind) for kind in (own | {custom.kind for custom in node.command}) & wanted)
