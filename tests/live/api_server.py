"""A stand-in for a Kubernetes API server, for what pointsman asks of one: get and server-side apply, over HTTPS with a bearer token.

It is none: it keeps objects in memory, checks bodies against models of the published schemas (Gateway API v1 HTTPRoute, core/v1
Service, discovery/v1 EndpointSlice) that know the fields we may send and no others, and knows of field managers what the
documentation of server-side apply says: each top field of ``spec`` belongs to those who applied it, a change of somebody
else's is a conflict without force, a field that its only owner no longer applies is removed, a resource version that is not
the newest is a conflict. Error bodies are worded as the documentation shows them.
"""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tests.live.certificates import self_signed

Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
TOKEN = "a-token-of-the-test"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Metadata(_Strict):
    name: Label
    namespace: Label
    labels: dict[str, str] = {}
    resourceVersion: str = ""


class BackendRef(_Strict):
    group: str = ""
    kind: Literal["Service"] = "Service"
    name: Label
    namespace: Label | None = None
    port: Port | None = None
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1


class Rule(_Strict):
    name: str | None = None
    matches: Annotated[list[dict[str, Any]], Field(max_length=64)] = []
    backendRefs: Annotated[list[BackendRef], Field(max_length=16)] = []


class Parent(_Strict):
    name: Label
    namespace: Label | None = None


class RouteSpec(_Strict):
    parentRefs: Annotated[list[Parent], Field(max_length=32)] = []
    hostnames: Annotated[list[str], Field(max_length=16)] = []
    rules: Annotated[list[Rule], Field(min_length=1, max_length=16)]


class Route(_Strict):
    apiVersion: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: RouteSpec


class ServicePort(_Strict):
    name: Label
    port: Port
    protocol: Literal["TCP"]
    targetPort: Port


class ServiceSpec(_Strict):
    ports: Annotated[list[ServicePort], Field(min_length=1)]
    selector: dict[str, str] = {}


class Service(_Strict):
    apiVersion: Literal["v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


class SliceEndpoint(_Strict):
    addresses: Annotated[list[str], Field(min_length=1, max_length=100)]
    conditions: dict[Literal["ready"], bool]


class SlicePort(_Strict):
    name: Label
    port: Port
    protocol: Literal["TCP"]


class Slice(_Strict):
    apiVersion: Literal["discovery.k8s.io/v1"]
    kind: Literal["EndpointSlice"]
    metadata: Metadata
    addressType: Literal["IPv4", "IPv6"]
    endpoints: list[SliceEndpoint]
    ports: list[SlicePort]


MODELS: dict[str, type[_Strict]] = {
    "apis/gateway.networking.k8s.io/v1/httproutes": Route,
    "api/v1/services": Service,
    "apis/discovery.k8s.io/v1/endpointslices": Slice,
}


@dataclass
class ApiServer:
    """Its objects by path, and how it misbehaves: ``answer`` takes the place of every answer but those to gets."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    owners: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answer: Callable[[], Awaitable[web.Response]] | None = None
    version: int = 100
    url: str = ""
    kubeconfig: str = ""

    def put(self, path: str, value: dict[str, Any], manager: str) -> None:
        """As somebody else would."""
        self.version += 1
        value["metadata"]["resourceVersion"] = str(self.version)
        self.objects[path] = value
        owners = self.owners.setdefault(path, {})
        for key in value.get("spec", {}):
            owners.setdefault(key, set()).add(manager)

    async def handle(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized", "Unauthorized")
        path = request.path.lstrip("/")
        self.asked.append(f"{request.method} {path}")
        if request.method == "GET":
            found = self.objects.get(path)
            return web.json_response(found) if found else _status(404, "NotFound", f'"{path}" not found')
        if self.answer:
            return await self.answer()
        if request.method != "PATCH" or request.content_type != "application/apply-patch+yaml":
            return _status(405, "MethodNotAllowed", "only server-side apply is expected here")
        return self._apply(path, json.loads(await request.text()), request.query)

    def _apply(self, path: str, body: dict[str, Any], query: Any) -> web.Response:
        manager, force = query.get("fieldManager"), query.get("force") == "true"
        parts = path.split("/namespaces/")
        model = MODELS[f"{parts[0]}/{parts[1].split('/')[1]}"]
        if not manager:
            return _status(422, "Invalid", "fieldManager: Required value: is required for apply patch")
        try:
            model.model_validate(body)
        except ValidationError as error:
            return _status(422, "Invalid", str(error))
        has, wanted = self.objects.get(path, {"spec": {}}), body["metadata"].get("resourceVersion")
        if wanted and wanted != has.get("metadata", {}).get("resourceVersion"):
            return _status(
                409,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            )
        owners, spec = self.owners.setdefault(path, {}), dict(has.get("spec", {}))
        for key, value in body.get("spec", {}).items():
            others = owners.get(key, set()) - {manager}
            if others and spec.get(key) != value and not force:
                text = f'Apply failed with 1 conflict: conflict with "{sorted(others)[0]}" using {body["apiVersion"]}: .spec.{key}'
                return _status(409, "Conflict", text)
            owners[key] = ({manager} if spec.get(key) != value else owners.get(key, set())) | {manager}
            spec[key] = value
        for key in [key for key, names in owners.items() if names == {manager} and key not in body.get("spec", {})]:
            del owners[key], spec[key]
        self.version += 1
        metadata = {**has.get("metadata", {}), **body["metadata"], "resourceVersion": str(self.version)}
        rest = {"spec": spec} if "spec" in body else {}
        self.objects[path] = {**body, "metadata": metadata, **rest}
        return web.json_response(self.objects[path])


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return web.Response(body=json.dumps(body).encode(), status=code, content_type="application/json")


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[ApiServer]:
    """One on a port of its own, with a certificate of its own and a kubeconfig that trusts it."""
    server = ApiServer()
    certificate, private = self_signed("127.0.0.1", "127.0.0.1")
    (directory / "server.pem").write_bytes(private + certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "server.pem")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    server.kubeconfig = str(directory / "kubeconfig")
    Path(server.kubeconfig).write_text(
        json.dumps({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": server.url, "certificate-authority-data": b64encode(certificate).decode()}}
            ],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        })
    )  # fmt: skip
    try:
        yield server
    finally:
        await runner.cleanup()
