"""The OpenAPI 3.1 document of the control API, made from the routes and the types. Pure."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec

from core.control.roles import FORCE, Role
from core.control.routes import ROUTES, STREAMS, OrderBody, Refusal, Route

_REFERENCE = "#/components/schemas/{name}"


def document(version: str) -> dict[str, Any]:
    """The whole document; ``version`` is that of the program."""
    types = [
        kind
        for route in ROUTES
        for kind in (route.answer, route.body)
        if kind is not None and not isinstance(kind, str)
    ]
    schemas, components = msgspec.json.schema_components([*types, Refusal], ref_template=_REFERENCE)
    of_type = dict(zip(map(repr, [*types, Refusal]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pointsman control API",
            "version": version,
            "description": "Answers on a Unix socket to its user; over TCP, where that is switched on, over TLS and with a"
            " bearer token, whose role must cover the one that an operation names.",
        },
        "servers": [{"url": "http://localhost"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": f"over TCP only; roles: {', '.join(Role)}"}
            },
        },
    }


def _operation(route: Route, of_type: dict[str, Any]) -> dict[str, Any]:
    media, schema = (route.answer, {"type": "string"})
    if not isinstance(media, str):
        media, schema = "application/json", of_type[repr(route.answer)]
    content = {media: {"schema": schema}}
    refusal = {"application/json": {"schema": of_type[repr(Refusal)]}}
    responses: dict[str, Any] = {
        "101" if route.path in STREAMS else "200": {"description": route.summary, "content": content}
    }
    for status in (*route.errors, *((401, 403) if route.role else ()), 429):
        refused = content if route.name == "readyz" else refusal
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": refused}
    responses["default"] = {"description": "the engine cannot be reached, or failed", "content": refusal}
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary, "responses": responses}
    # A security requirement names roles since OpenAPI 3.1; {} is the Unix socket, or where no role is needed, everybody.
    operation["security"] = [*([{"token": [route.role]}] if route.role else []), {}]
    if route.body and issubclass(route.body, OrderBody) and route.role is Role.OPERATE:
        operation["description"] = f"With `force` over TCP: role {FORCE}."
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", route.path)]
    if route.query:
        inline = msgspec.json.schema(route.query)["$defs"][route.query.__name__]
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in inline["properties"].items()
        ]
    if parameters:
        operation["parameters"] = parameters
    if route.body:
        operation["requestBody"] = {"content": {"application/json": {"schema": of_type[repr(route.body)]}}}
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
