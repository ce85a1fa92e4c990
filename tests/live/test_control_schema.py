"""schemathesis against the OpenAPI document of a running pointsman: whatever the document allows is answered as it says, whatever
it does not allow is refused, and nothing is a server error."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from requests.adapters import HTTPAdapter
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    status_code_conformance,
    unsupported_method,
)
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from core.control.openapi import document
from core.control.routes import STREAMS
from tests.live.app_program import Program, program, written

pytestmark = pytest.mark.live
EXAMPLES = int(os.environ.get("POINTSMAN_EXAMPLES", "20"))
REFUSED = {"checks": {"negative_data_rejection": {"expected-statuses": [400, 404, 405, 409, 413]}}}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    negative_data_rejection,
    unsupported_method,
]
DOCUMENT = document("0.1.0")
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(REFUSED))


class UnixPool(HTTPConnectionPool):
    """HTTP over the socket file of a program."""

    path: str

    def _new_conn(self) -> HTTPConnection:
        connection = HTTPConnection("pointsman")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        return connection


class UnixAdapter(HTTPAdapter):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._pool = UnixPool("pointsman")
        self._pool.path = str(path)

    def get_connection_with_tls_context(self, *_: object, **__: object) -> UnixPool:
        return self._pool


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(written(tmp_path_factory.mktemp("schema"))) as it:
        yield it
        assert it.addresses() <= {"192.0.2.1", "192.0.2.2"}
        assert "control_request_failed" not in it.said()
        it.end()


@pytest.fixture(scope="module")
def session(it: Program) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("http://pointsman", UnixAdapter(it.socket))
        live = session.get("http://pointsman/v1/openapi.json", timeout=10).json()
        assert live["paths"] == DOCUMENT["paths"], "what is tried is what the program says of itself"
        yield session


def _test(path: str, method: str) -> Any:
    @SCHEMA.include(path=path, method=method.upper()).parametrize()
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    def test(case: schemathesis.Case[Any], session: requests.Session) -> None:
        response = case.call(base_url="http://pointsman", session=session)
        case.validate_response(response, checks=CHECKS)
        responses = case.operation.definition.raw["responses"]  # also of what is asked for with another method
        described = responses.get(str(response.status_code), responses["default"])
        if response.status_code != 405 and "application/json" in described["content"]:
            # schemathesis' own check does not take prefixItems (JSON Schema 2020-12) for what they are
            schema = described["content"]["application/json"]["schema"] | {"components": DOCUMENT["components"]}
            jsonschema_rs.validator_for(schema).validate(response.json())

    return test


# A test of its own for each: those that schemathesis makes of one function have one id, and of tests with one id xdist runs one.
for _path, _methods in DOCUMENT["paths"].items():
    for _method in _methods if _path not in STREAMS else ():  # a WebSocket is no request
        globals()["_".join(("test", _method, *re.findall(r"\w+", _path), "keeps_to_its_document"))] = _test(
            _path, _method
        )
