"""A Kubernetes Gateway as a cluster's router: the weights of HTTPRoutes' ``backendRefs`` (spec S16, S18–S20, S33).

https://gateway-api.sigs.k8s.io/reference/spec/ (v1). One HTTPRoute for each app; a backend of it stands for a pod when it is
called as the pod, in its namespace (:mod:`core.routers.manifests`). Carrying out is: read the route, apply it with other
weights, read it again. It is applied server-side as field manager ``pointsman``, with the resource version that was read and without
force: what somebody else has changed meanwhile, or owns, is told as a conflict and never overwritten.

A stop gives every pod weight 0, and the gateway answers 500 then; connections are not refused: the API knows no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster as Server
from lightkube.config.models import User
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource

from core.errors import ConfigError
from core.hands.hand import Hand, HandError, Target
from core.model import HandKind
from core.routers.endpoints import backends, scaled, set_value
from core.routers.manifests import MANAGER, route_place
from core.settings import App, Cluster, Settings

AGAIN = 10.0
WITHIN = 3.0
"""Seconds that the API server may take for one answer."""
HttpRoute = create_namespaced_resource("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")


def client(cluster: Cluster) -> AsyncClient:
    """For the API server at ``router.address``, with the kubeconfig or the bearer token in ``router.credentials``.

    Raises ConfigError for credentials that cannot be used.
    """
    router = cluster.router
    try:
        text = Path(router.credentials).read_text() if router.credentials else ""
        if re.search(r"\bclusters\b\"?\s*:", text):  # YAML or JSON; a token holds no such thing
            config = KubeConfig.from_file(router.credentials)
        else:
            user = User(token=text.strip() or None)
            config = KubeConfig.from_one(cluster=Server(server=router.address), user=user)
        return AsyncClient(config.get(), field_manager=MANAGER, timeout=httpx2.Timeout(WITHIN), trust_env=False)
    except Exception as error:  # whatever is wrong with a file of this kind, the parsers each say it in their own way
        raise ConfigError(f"cluster {cluster.name}: router.credentials: {error}") from error


def weighed(route: Mapping[str, Any], namespace: str, weights: Mapping[str, int]) -> dict[str, Any]:
    """The route's spec with these weights, by ``namespace/name`` of the pods; other backends are left as they are."""
    spec: dict[str, Any] = route.get("spec") or {}
    rules = []
    for rule in spec.get("rules") or ():
        refs = [
            {**ref, "weight": weights[pod]}
            if (pod := f"{ref.get('namespace') or namespace}/{ref.get('name')}") in weights
            else ref
            for ref in rule.get("backendRefs") or ()
        ]
        rules.append({**rule, "backendRefs": refs} if refs else rule)
    return {**spec, "rules": rules}


class GatewayApi:
    """The routes of one cluster's apps."""

    kind = HandKind.ROUTER
    again_in = AGAIN

    def __init__(self, cluster: Cluster, routes: dict[str, str], apps: tuple[App, ...]) -> None:
        self.cluster = self.name = cluster.name
        self.address = cluster.router.address
        self._client = client(cluster)
        self._routes = routes
        self._apps = {app.domain: app for app in apps}

    async def carry_out(self, target: Target) -> str:
        stop, shares = self.cluster in target.stopped, target.weights.get(self.cluster, {})
        for domain, backend in self._routes.items():
            app = self._apps[domain]
            weights = {
                pod: 0 if stop else scaled(full, share)
                for pod, share in shares.items()
                if (full := set_value(app, pod)) is not None
            }
            namespace, name = route_place(backend, app)
            try:
                await self._bring(namespace, name, weights)
            except ApiError as error:
                said = error.status.message or error.status.reason or error
                raise HandError(f"HTTPRoute {namespace}/{name}: {said}") from error
            except httpx2.TimeoutException as error:
                raise TimeoutError from error
            except httpx2.HTTPError as error:
                raise HandError(f"HTTPRoute {namespace}/{name}: {error or type(error).__name__}") from error
        return f"{'closed' if stop else 'open'}, {len(self._routes)} routes"

    async def close(self) -> None:
        await self._client.close()

    async def _bring(self, namespace: str, name: str, weights: Mapping[str, int]) -> None:
        route = await self._client.get(HttpRoute, name, namespace=namespace)
        wanted = weighed(route, namespace, weights)
        if wanted == route.get("spec"):
            return
        assert route.metadata is not None
        metadata = {"name": name, "namespace": namespace, "resourceVersion": route.metadata.resourceVersion}
        head = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}
        await self._client.apply(HttpRoute.from_dict({**head, "metadata": metadata, "spec": wanted}))
        route = await self._client.get(HttpRoute, name, namespace=namespace)
        if weighed(route, namespace, weights) != route.get("spec"):
            raise HandError(f"HTTPRoute {namespace}/{name} was said to be changed, and is not")


def router(settings: Settings, cluster: Cluster) -> Hand:
    return GatewayApi(cluster, backends(settings, cluster), settings.app)
