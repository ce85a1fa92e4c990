"""A client of the runtime's real CRI socket (``runtime.v1`` over gRPC), for nodes on which there is no ``crictl``.

Runs on the bed's nodes alone, with Debian's python3-h2: grpcio takes three times the CPU to import, and each check of
pointsman starts it anew. The few messages it needs are coded here by hand, after
``k8s.io/cri-api/pkg/apis/runtime/v1/api.proto``, whose field numbers stand beside each use.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

SOCKET = "/run/containerd/containerd.sock"
CODES = {4: "DeadlineExceeded", 5: "NotFound", 13: "Internal", 14: "Unavailable", 12: "Unimplemented"}
SANDBOX_STATES = ("SANDBOX_READY", "SANDBOX_NOTREADY")
CONTAINER_STATES = ("CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED", "CONTAINER_UNKNOWN")

Fields = dict[int, list[Any]]
"""A decoded message: of each field number its values in order; a varint as int, all else as octets."""


def varint(number: int) -> bytes:
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes([*octets, number])


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """The wire form of (field number, value); numbers are varints, texts and messages have a length before them."""
    encoded = b""
    for number, value in fields:
        if isinstance(value, int):
            encoded += varint(number << 3) + varint(value)
        else:
            octets = value.encode() if isinstance(value, str) else value
            encoded += varint(number << 3 | 2) + varint(len(octets)) + octets
    return encoded


def decode(octets: bytes) -> Fields:
    fields: Fields = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            octet = octets[at]
            at += 1
            value |= (octet & 127) << shift
            shift += 7
            if octet < 128:
                return value

    while at < len(octets):
        tag = number()
        value: int | bytes
        if tag & 7 == 0:
            value = number()
        else:
            length = {1: 8, 5: 4}.get(tag & 7) or number()
            value = octets[at : at + length]
            at += length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def text(fields: Fields, number: int) -> str:
    return cast(bytes, fields.get(number, [b""])[0]).decode()


def whole(fields: Fields, number: int) -> int:
    return int(fields.get(number, [0])[0])


def inner(fields: Fields, number: int) -> Fields:
    return decode(fields.get(number, [b""])[0])


def labels(fields: Fields, number: int) -> dict[str, str]:
    entries = map(decode, fields.get(number, []))
    return {text(entry, 1): text(entry, 2) for entry in entries}


def pairs(number: int, values: dict[str, str]) -> list[tuple[int, bytes]]:
    return [(number, message((1, key), (2, value))) for key, value in values.items()]


class RpcError(Exception):
    """A call that failed, in the words of gRPC's Go library, which are crictl's."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {description}")
        self.code = code


def unary(path: str, method: str, request: bytes, timeout: float) -> bytes:
    """One call of gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), on a connection of its own."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(path)
        except OSError as error:
            why = f"connect: {os.strerror(error.errno or 0).lower()}"
            dialing = f'connection error: desc = "transport: Error while dialing dial unix {path}: {why}"'
            raise RpcError("Unavailable", dialing) from error
        http = H2Connection(H2Configuration(header_encoding="utf-8"))
        http.initiate_connection()
        headers = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "localhost"}
        http.send_headers(1, [*headers.items(), ("content-type", "application/grpc"), ("te", "trailers")])
        http.send_data(1, b"\0" + len(request).to_bytes(4, "big") + request, end_stream=True)
        answer, status = b"", {"grpc-status": "14", "grpc-message": "transport is closing"}
        try:
            while True:
                sock.sendall(http.data_to_send())
                received = sock.recv(65536)
                for event in http.receive_data(received) if received else [StreamEnded()]:
                    if isinstance(event, DataReceived):
                        answer += event.data
                        http.acknowledge_received_data(event.flow_controlled_length, 1)
                    elif isinstance(event, (ResponseReceived, TrailersReceived)):
                        status.update(event.headers)
                    elif isinstance(event, (StreamEnded, StreamReset)):
                        if status["grpc-status"] != "0":
                            code = int(status["grpc-status"])
                            raise RpcError(CODES.get(code, "Unknown"), status["grpc-message"])
                        return answer[5:]
        except TimeoutError as error:
            raise RpcError("DeadlineExceeded", "context deadline exceeded") from error


class Cri:
    """Calls raise :class:`RpcError`. What is listed has the names that crictl gives it."""

    def __init__(self, path: str = SOCKET, timeout: float = 10.0) -> None:
        self._path = path.removeprefix("unix://")
        self._timeout = timeout
        self._api = "v1"

    def call(self, method: str, request: bytes = b"") -> Fields:
        try:
            return decode(unary(self._path, f"/runtime.{self._api}.RuntimeService/{method}", request, self._timeout))
        except RpcError as error:
            if self._api != "v1" or error.code != "Unimplemented":
                raise
        self._api = "v1alpha2"  # of containerd before 1.6: the same messages under another name
        return self.call(method, request)

    def version(self) -> tuple[str, str]:
        answer = self.call("Version")
        return text(answer, 2), text(answer, 3)

    def sandboxes(self) -> Iterator[dict[str, Any]]:
        for one in map(decode, self.call("ListPodSandbox").get(1, [])):
            named = inner(one, 2)
            yield {
                "id": text(one, 1),
                "metadata": {
                    "name": text(named, 1),
                    "uid": text(named, 2),
                    "namespace": text(named, 3),
                    "attempt": whole(named, 4),
                },
                "state": SANDBOX_STATES[whole(one, 3)],
                "createdAt": str(whole(one, 4)),
                "labels": labels(one, 5),
                "annotations": labels(one, 6),
                "runtimeHandler": text(one, 7),
            }

    def containers(self) -> Iterator[dict[str, Any]]:
        for one in map(decode, self.call("ListContainers").get(1, [])):
            named = inner(one, 3)
            yield {
                "id": text(one, 1),
                "podSandboxId": text(one, 2),
                "metadata": {"name": text(named, 1), "attempt": whole(named, 2)},
                "image": {"image": text(inner(one, 4), 1), "annotations": {}},
                "imageRef": text(one, 5),
                "state": CONTAINER_STATES[whole(one, 6)],
                "createdAt": str(whole(one, 7)),
                "labels": labels(one, 8),
                "annotations": labels(one, 9),
            }

    def inspect(self, container: str) -> dict[str, Any]:
        answer = self.call("ContainerStatus", message((1, container), (2, 1)))
        status = inner(answer, 1)
        named = inner(status, 2)
        return {
            "status": {
                "id": text(status, 1),
                "metadata": {"name": text(named, 1), "attempt": whole(named, 2)},
                "state": CONTAINER_STATES[whole(status, 3)],
                "exitCode": whole(status, 7),
                "labels": labels(status, 12),
                "logPath": text(status, 15),
            },
            "info": json.loads(labels(answer, 2).get("info") or "{}"),
        }

    def run_sandbox(self, config: bytes) -> str:
        return text(self.call("RunPodSandbox", message((1, config))), 1)

    def create(self, sandbox: str, container: bytes, config: bytes) -> str:
        return text(self.call("CreateContainer", message((1, sandbox), (2, container), (3, config))), 1)

    def order(self, method: str, target: str) -> None:
        """A call that names its one target in field 1: StartContainer, StopContainer (at once), RemovePodSandbox, …"""
        self.call(method, message((1, target)))
