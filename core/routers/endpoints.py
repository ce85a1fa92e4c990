"""The deployment instruction (spec S18): one endpoint for each pod, 1:1, with its weight. Pure.

An endpoint's name is the pod's with ``.`` for ``/``: a namespace holds no dot, so that the first one divides them again. By
that name a router's server is known as a pod's; what is called otherwise is nobody's, and left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.errors import PointsmanError
from core.settings import App, Cluster, PodRule, Settings
from core.world import matches


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod at its cluster's router. ``weight`` is the set value, ``share`` the percentage of it that is decided now;
    ``address`` is HOST:PORT, "" where the settings do not tell."""

    app: str
    pod: str
    node: str
    address: str
    weight: int
    share: int

    @property
    def name(self) -> str:
        return self.pod.replace("/", ".", 1)

    @property
    def namespace(self) -> str:
        return self.pod.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a router lacks: ``+`` to add, ``~`` to change, ``-`` to remove, ``!`` to be done by hand; with the
    commands (HAProxy) or the manifest (Kubernetes) that do it."""

    sign: str
    said: str
    commands: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)


class Deployment(Protocol):
    """One cluster's instruction in the words of its router."""

    def render(self) -> Iterator[str]: ...

    async def diff(self) -> list[Difference]: ...

    async def apply(self, difference: Difference) -> None: ...


def scaled(full: int, share: int) -> int:
    """``share`` percent of a set value, as HAProxy counts; above 0 where neither is 0."""
    return max(full * share // 100, int(full > 0 and share > 0))


def set_value(app: App, pod: str) -> int | None:
    """The weight that a pod of this app has when it is well; None for a pod of another."""
    rule = _rule(app, pod)
    return rule.weight if rule else None


def pod_of(endpoint: str) -> str:
    """The pod for which an endpoint of this name would stand."""
    return endpoint.replace(".", "/", 1)


def backends(settings: Settings, cluster: Cluster) -> dict[str, str]:
    """The backend of each app that is served by the cluster, and names pods or is given one."""
    named = cluster.router.backends
    apps = [app for app in settings.app if cluster.name in app.clusters and (app.pods or app.domain in named)]
    return {app.domain: named.get(app.domain, app.domain.rstrip(".")) for app in apps}


def endpoints(app: App, cluster: Cluster, pods: Iterable[tuple[str, str, int]]) -> tuple[Endpoint, ...]:
    """Those of one app in one cluster, by name, from (pod, node, share) of the pods that were seen."""
    found = {}
    for pod, node, share in pods:
        rule = _rule(app, pod)
        if rule:
            found[pod] = Endpoint(app.domain, pod, node, _address(app, cluster, pod, node), rule.weight, share)
    return tuple(found[pod] for pod in sorted(found))


def _rule(app: App, pod: str) -> PodRule | None:
    return next((rule for rule in app.pods if matches(rule, pod)), None)


def _address(app: App, cluster: Cluster, pod: str, node: str) -> str:
    if pod in cluster.router.pods:
        return cluster.router.pods[pod]
    namespace, _, name = pod.partition("/")
    try:
        return app.endpoint.format(name=name, namespace=namespace, node=node)
    except (KeyError, IndexError, ValueError) as error:
        raise PointsmanError(f"{app.domain}: endpoint knows {{name}}, {{namespace}} and {{node}} alone") from error
