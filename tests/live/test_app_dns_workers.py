"""``pointsman run`` with several processes that answer: what is erased is erased from the answers of each, killed ones included."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import dns.message
import pytest

from core.model import Action
from tests.live.app_program import Program, eventually, program, written
from tests.live.test_confirm_router import routing

pytestmark = [pytest.mark.live, pytest.mark.skipif(sys.platform != "linux", reason="sockets are shared as Linux does")]
SOCKETS = 32
"""Enough that every worker gets some: the kernel chooses by the source port."""
STARTS_WITHIN = 60.0
CLUSTER = """
[[cluster]]
name = "{name}"
addresses = ["192.0.2.{number}"]
[cluster.confirm]
target = "127.0.0.1:{port}/"
"""
REST = """
[[app]]
domain = "svc1.net."
clusters = ["a", "b", "c"]
[dns]
listen = ["127.0.0.1:0"]
workers = 2
[store]
directory = "state"
[control]
socket = "control.sock"
"""


def addresses(*numbers: int) -> list[set[str]]:
    return [{f"192.0.2.{number}" for number in numbers}] * SOCKETS


def heard(it: Program) -> list[set[str]]:
    """What clients at many ports are answered."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(SOCKETS)]
        for sock in socks:
            sock.settimeout(20)
            sock.connect(("127.0.0.1", int(it.port)))
            sock.send(dns.message.make_query("svc1.net.", "A").to_wire())
        messages = [dns.message.from_wire(sock.recv(4096)) for sock in socks]
    return [{str(record) for rrset in message.answer for record in rrset} for message in messages]


def workers(it: Program) -> list[int]:
    """Those that have their sockets: UDP and TCP."""
    children = Path(f"/proc/{it.process.pid}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    return sorted(pid for pid in pids if _sockets(pid) > 2)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def _sockets(pid: int) -> int:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        places = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return 0
    return sum(place.startswith("socket:") for place in places) if b"dnsserver.worker" in line else 0


def test_what_is_erased_is_erased_at_every_worker_and_at_those_that_take_their_places(tmp_path: Path) -> None:
    with ExitStack() as stack:
        routers = [stack.enter_context(routing()) for _ in "abc"]
        clusters = "".join(
            CLUSTER.format(name=name, number=number, port=router.port)
            for number, (name, router) in enumerate(zip("abc", routers, strict=True), 1)
        )
        it = stack.enter_context(program(written(tmp_path, clusters + REST)))
        first = workers(it)
        assert len(first) == 2
        assert heard(it) == addresses(1, 2, 3)

        routers[0].kill()
        eventually(lambda: not any("192.0.2.1" in answer for answer in heard(it)))
        assert heard(it) == addresses(2, 3)

        for pid in first:
            os.kill(pid, signal.SIGKILL)
            eventually(partial(gone, pid))
            assert heard(it) == addresses(2, 3), "the kernel gives all to who is left"
            eventually(lambda: len(workers(it)) == 2, STARTS_WITHIN)
            assert heard(it) == addresses(2, 3)
        assert not set(workers(it)) & set(first)

        it.order(Action.ERASE, "b")
        assert heard(it) == addresses(3), "when the order is acknowledged"
        assert it.said().count("dns_worker_replaced") == 2
        last = workers(it)
        it.end()
        assert all(map(gone, last))
