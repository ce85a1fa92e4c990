"""The deployment instruction in Kubernetes' words (spec S18): Service, EndpointSlice and HTTPRoute. Pure.

One Service for each pod, called as the pod. Where the pod's address is known as an IP, the Service has no selector and an
EndpointSlice of its own; otherwise it selects the pod by the label that StatefulSets give theirs. A rule of a route holds
16 backends at the most (Gateway API v1), so a name has 16 pods in a cluster at the most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Any, TypeAlias

from core.errors import PointsmanError
from core.routers.endpoints import Endpoint, scaled
from core.settings import App, Cluster
from core.settings.base import host_and_port, is_address

Manifest: TypeAlias = dict[str, Any]
MANAGER = "pointsman"
POD_LABEL = "statefulset.kubernetes.io/pod-name"
MOST_BACKENDS = 16


def route_place(backend: str, app: App) -> tuple[str, str]:
    """Namespace and name of an app's HTTPRoute, from its entry in ``router.backends`` or the default."""
    namespace, _, name = backend.rpartition("/")
    return namespace or app.pods[0].match.partition("/")[0], name if name != app.domain.rstrip(".") else name.replace(
        ".", "-"
    )


def manifests(cluster: Cluster, app: App, backend: str, endpoints: Sequence[Endpoint]) -> Iterator[Manifest]:
    """All that one app needs in one cluster, in the order in which it is applied. Raises PointsmanError for what cannot be."""
    if len(endpoints) > MOST_BACKENDS:
        raise PointsmanError(
            f"{app.domain}: {len(endpoints)} pods, and a rule of an HTTPRoute holds {MOST_BACKENDS} backends"
        )
    for endpoint in endpoints:
        yield from _service(endpoint)
    namespace, name = route_place(backend, app)
    yield {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _metadata(name, namespace),
        "spec": {
            **({"parentRefs": [_gateway(cluster.router.gateway)]} if cluster.router.gateway else {}),
            "hostnames": [app.domain.rstrip(".")],
            "rules": [{"backendRefs": [_backend(endpoint, namespace) for endpoint in endpoints]}],
        },
    }


def missing(wanted: object, has: object, at: str = "") -> Iterator[str]:
    """What of a manifest an object lacks, each with its place; what the object has beside it is its own affair."""
    if isinstance(wanted, dict) and isinstance(has, dict):
        for key, value in wanted.items():
            yield from missing(value, has.get(key), f"{at}.{key}" if at else key)
    elif isinstance(wanted, list) and isinstance(has, list) and len(wanted) == len(has):
        for number, (value, other) in enumerate(zip(wanted, has, strict=True)):
            yield from missing(value, other, f"{at}[{number}]")
    elif wanted != has:
        yield f"{at}: {has!r}, wanted {wanted!r}"


def _service(endpoint: Endpoint) -> Iterator[Manifest]:
    name = endpoint.pod.partition("/")[2]
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise PointsmanError(f'{endpoint.pod}: a Service cannot be called so: letters, digits and "-", at most 63')
    host, port = _address(endpoint)
    known = is_address(host)
    ports = [{"name": "pod", "port": port, "protocol": "TCP"}]
    selector = {} if known else {"selector": {POD_LABEL: name}}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, endpoint.namespace),
        "spec": {"ports": [{**ports[0], "targetPort": port}], **selector},
    }
    if known:
        labels = {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": MANAGER}
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": _metadata(name, endpoint.namespace, labels),
            "addressType": f"IPv{ip_address(host).version}",
            "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
            "ports": ports,
        }


def _address(endpoint: Endpoint) -> tuple[str, int]:
    if not endpoint.address:
        raise PointsmanError(
            f"{endpoint.pod}: where it is reached is not known: set app.endpoint or cluster.router.pods"
        )
    return host_and_port(endpoint.address)


def _metadata(name: str, namespace: str, labels: dict[str, str] | None = None) -> Manifest:
    return {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": MANAGER, **(labels or {})}}


def _gateway(place: str) -> Manifest:
    namespace, _, name = place.rpartition("/")
    return {"name": name, **({"namespace": namespace} if namespace else {})}


def _backend(endpoint: Endpoint, namespace: str) -> Manifest:
    """A backend in another namespace than the route's needs a ReferenceGrant there."""
    other = {"namespace": endpoint.namespace} if endpoint.namespace != namespace else {}
    weight = scaled(endpoint.weight, endpoint.share)
    return {"name": endpoint.pod.partition("/")[2], **other, "port": _address(endpoint)[1], "weight": weight}
