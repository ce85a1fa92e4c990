"""The deployment instruction at a Kubernetes API server (spec S18): server-side apply of the manifests, without force."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx2
from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from core.hands.hand import HandError
from core.routers.endpoints import Difference, Endpoint
from core.routers.gateway_api import HttpRoute, client
from core.routers.manifests import Manifest, manifests, missing
from core.settings import App, Cluster

_RESOURCES: dict[str, Any] = {"Service": Service, "EndpointSlice": EndpointSlice, "HTTPRoute": HttpRoute}


class GatewayEndpoints:
    """One cluster's manifests. ``wanted`` are each backend's endpoints, ``apps`` whose they are."""

    def __init__(self, cluster: Cluster, wanted: Mapping[str, Sequence[Endpoint]], apps: Mapping[str, App]) -> None:
        self._cluster = cluster
        self._wanted, self._apps = wanted, apps

    def render(self) -> Iterator[str]:
        """One List, for ``kubectl apply -f``: JSON, which is YAML too."""
        yield from json.dumps({"apiVersion": "v1", "kind": "List", "items": self._manifests()}, indent=2).splitlines()

    async def diff(self) -> list[Difference]:
        """What the API server lacks. Raises HandError or OSError."""
        api = client(self._cluster)
        found = []
        try:
            for manifest in self._manifests():
                name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
                place = f"{manifest['kind']} {namespace}/{name}"
                try:
                    has = await api.get(_RESOURCES[manifest["kind"]], name, namespace=namespace)
                except ApiError as error:
                    if error.status.code != 404:
                        raise HandError(f"{place}: {error.status.message}") from error
                    found.append(Difference("+", place, manifest=manifest))
                else:
                    lacks = [
                        *missing(
                            {**manifest, "apiVersion": None, "kind": None},
                            {**has.to_dict(), "apiVersion": None, "kind": None},
                        )
                    ]
                    if lacks:
                        found.append(Difference("~", f"{place}: {'; '.join(lacks)}", manifest=manifest))
        except httpx2.HTTPError as error:
            raise HandError(f"{self._cluster.router.address}: {error or type(error).__name__}") from error
        finally:
            await api.close()
        return found

    async def apply(self, difference: Difference) -> None:
        """Raises HandError, also where somebody else owns what would be changed."""
        api = client(self._cluster)
        try:
            await api.apply(_RESOURCES[difference.manifest["kind"]].from_dict(difference.manifest))
        except ApiError as error:
            raise HandError(error.status.message or str(error.status.reason)) from error
        except httpx2.HTTPError as error:
            raise HandError(str(error) or type(error).__name__) from error
        finally:
            await api.close()

    def _manifests(self) -> list[Manifest]:
        return [
            each
            for backend, found in self._wanted.items()
            for each in manifests(self._cluster, self._apps[backend], backend, found)
        ]


def deployment(cluster: Cluster, wanted: Mapping[str, Sequence[Endpoint]], apps: Mapping[str, App]) -> GatewayEndpoints:
    return GatewayEndpoints(cluster, wanted, apps)
