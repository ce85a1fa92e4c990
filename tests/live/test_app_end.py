"""SIGTERM and SIGINT end the program in under two seconds with nothing lost, whatever hangs (issue 2, spec S30)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import dns.message
import pytest

from core.errors import PointsmanError
from core.lab.client import LabClient
from core.lab.demo import running
from core.model import Action
from tests.conftest import require
from tests.live.app_program import CONFIG, ENDS_WITHIN, Program, environment, program, written

pytestmark = pytest.mark.live


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return written(tmp_path)


def overrides(it: Program) -> dict[str, str]:
    return {view.name: view.override.why for view in it.snapshot().clusters if view.override}


@contextmanager
def stream_that_never_reads(it: Program) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(it.socket))
        client.sendall(
            b"GET /v1/stream HTTP/1.1\r\nHost: pointsman\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert client.recv(12) == b"HTTP/1.1 101"
        yield


@contextmanager
def commands_that_follow(it: Program) -> Iterator[None]:
    words = (("events", "--follow", "--json"), ("status", "--watch", "--json"))
    followers = [
        subprocess.Popen(
            [sys.executable, "-m", "core.cli", *each, "--socket", str(it.socket)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(it.directory),
        )
        for each in words
    ]
    for follower in followers:
        assert follower.stdout is not None
        assert follower.stdout.readline()
    yield
    for follower in followers:  # they notice, say so in a line, and end
        _, err = follower.communicate(timeout=20)
        assert follower.returncode == 1
        assert err.startswith("pointsman: "), err
        assert err.count("\n") == 1


@contextmanager
def request_that_never_ends(it: Program) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(it.socket))
        client.sendall(b"POST /v1/freeze HTTP/1.1\r\nHost: pointsman\r\nContent-Length: 100\r\n\r\n{")
        yield


@contextmanager
def queries_without_pause(it: Program) -> Iterator[None]:
    over = threading.Event()
    query = dns.message.make_query("svc1.net.", "A").to_wire()

    def ask() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            while not over.is_set():
                client.sendto(query, ("127.0.0.1", int(it.port)))

    def hold(amount: int) -> list[socket.socket]:
        return [socket.create_connection(("127.0.0.1", int(it.port))) for _ in range(amount)]

    thread = threading.Thread(target=ask)
    held = hold(20)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for connection in held:
            connection.close()


@contextmanager
def store_that_is_locked(it: Program) -> Iterator[None]:
    """Somebody's own sqlite3 session in the middle of a transaction."""
    it.order(Action.ERASE, "a", why="before all")
    with closing(sqlite3.connect(it.directory / "state" / "state.db", isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        with pytest.raises(PointsmanError, match="it will be lost at a restart"):
            it.order(Action.DRAIN, "b", why="not acknowledged")
        yield


WAITED = "ended without waiting"


@pytest.mark.parametrize(
    ("number", "under", "hangs"),
    [
        (signal.SIGTERM, (commands_that_follow,), False),
        (signal.SIGINT, (queries_without_pause,), False),
        (signal.SIGTERM, (stream_that_never_reads, request_that_never_ends, store_that_is_locked), True),
    ],
)
def test_it_ends_in_time_and_loses_no_acknowledged_order(
    config: Path, number: int, under: tuple[Callable[[Program], AbstractContextManager[None]], ...], hangs: bool
) -> None:
    with program(config) as it:
        with ExitStack() as hindrances:
            for hindrance in under:
                hindrances.enter_context(hindrance(it))
            if not hangs:
                it.order(Action.ERASE, "a", why="just before")
            assert it.end(number) < ENDS_WITHIN
        assert hangs or WAITED not in it.said()
    with program(config) as it:
        assert overrides(it)["a"] == ("before all" if hangs else "just before")
        assert it.addresses() == {"192.0.2.2"}


def test_it_ends_in_time_while_nodes_hang(tmp_path: Path) -> None:
    lab = LabClient(tmp_path / "lab")
    with running(tmp_path / "lab", dns_port=0, clusters=2) as config, program(config) as it:
        asyncio.run(lab.break_("tokyo", "network"))
        asyncio.run(lab.break_("osaka", "slow"))
        assert it.end() < ENDS_WITHIN
        assert WAITED not in it.said()


def test_it_ends_in_time_while_a_name_server_hangs(tmp_path: Path) -> None:
    """A node that is named and not numbered: nothing in the process can call off the system's look-up."""
    if os.getuid():
        pytest.skip("another resolv.conf for one process needs root")
    for name in ("key", "known_hosts", "resolv.conf"):
        (tmp_path / name).touch(0o600)
    (tmp_path / "key").unlink()
    subprocess.run([require("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.99\n")
    ssh = '[ssh]\nkeys = ["key"]\nknown_hosts = "known_hosts"\n'
    node = '[[cluster.node]]\nname = "n"\nssh = "root@node.example"\n'
    config = written(
        tmp_path, ssh + CONFIG.replace('addresses = ["192.0.2.1"]\n', f'addresses = ["192.0.2.1"]\n{node}')
    )
    mount = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    under = ("unshare", "-m", "sh", "-c", mount, str(tmp_path / "resolv.conf"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
        name_server.bind(("127.0.0.99", 53))
        name_server.settimeout(10)
        with program(config, under=under) as it:
            assert b"node" in name_server.recv(512)
            assert it.end() < ENDS_WITHIN


def test_systemd_is_told_of_start_and_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        with program(written(tmp_path), NOTIFY_SOCKET=str(tmp_path / "notify")) as it:
            assert systemd.recv(100) == b"READY=1"
            it.end()
        assert systemd.recv(100) == b"STOPPING=1"


def test_a_systemd_that_is_not_there_keeps_nobody_from_serving(tmp_path: Path) -> None:
    with program(written(tmp_path), NOTIFY_SOCKET=str(tmp_path / "nobody")) as it:
        assert it.addresses() == {"192.0.2.1", "192.0.2.2"}
        it.end()
        assert "not_notified" in it.said()
