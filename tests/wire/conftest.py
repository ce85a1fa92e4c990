"""A real server on loopback ports, with a zone that has one of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.records import RecordTable
from core.settings import Settings
from dnsserver.server import DnsServer
from tests.wire.helpers import EXAMPLE_ZONE, settings, table

Serve = Callable[..., DnsServer]


@pytest.fixture(scope="session")
def zone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zones") / "example.zone"
    path.write_text(EXAMPLE_ZONE)
    return path


@pytest.fixture
def serve(zone_file: Path) -> Iterator[Serve]:
    """Starts servers that are stopped at the end; one whose thread died fails the test."""
    servers: list[DnsServer] = []
    deaths: list[BaseException] = []

    def start(config: Settings | None = None, records: RecordTable | None = None) -> DnsServer:
        server = DnsServer(config or settings(zone_file), records or table(), deaths.append)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()
    assert deaths == []


@pytest.fixture
def server(serve: Serve) -> DnsServer:
    return serve()
