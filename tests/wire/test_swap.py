"""When a swap has returned, no answer holds the erased address (spec S14, S32; decision 2)."""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import time
from bisect import bisect_left
from contextlib import suppress
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest

from core.errors import InvariantError
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings
from dnsserver.generation import Generation, Generations
from dnsserver.server import DnsServer
from dnsserver.stats import Counters
from dnsserver.tcp import Streams
from dnsserver.zone import load
from tests.wire import hammer
from tests.wire.conftest import Serve
from tests.wire.helpers import closed, data, framed, read_frame, settings, table, tcp_socket, udp

pytestmark = pytest.mark.live

SWAPS = 100


def one_address(serial: int) -> RecordTable:
    app = AppRecords("svc1.net.", 5, (Record("a", (hammer.address_of(serial),)),))
    return RecordTable(serial, {"svc1.net.": app})


@pytest.mark.parametrize("workers", [1, 3])
def test_a_swap_is_atomic(serve: Serve, zone_file: Path, workers: int) -> None:
    """Each swap erases the address of the table before; whoever asks after it has returned gets a newer one."""
    server = serve(settings(zone_file, workers=workers), one_address(1))
    spawned = multiprocessing.get_context("spawn")
    stop, report = spawned.Event(), spawned.Queue()
    arguments = [(server.addresses[0], seed, stop, report) for seed in range(3)]
    clients = [spawned.Process(target=hammer.over_udp, args=a) for a in arguments[:2]]
    clients.append(spawned.Process(target=hammer.over_tcp, args=arguments[2]))
    for client in clients:
        client.start()
    while server.stats().queries < 1000:
        time.sleep(0.01)
    returned = []
    for serial in range(2, SWAPS + 2):
        server.publish(one_address(serial))
        returned.append(time.monotonic())
        time.sleep(0.01)
    stop.set()
    seen = [report.get(timeout=60) for _ in clients]
    for client in clients:
        client.join()
    for answers in seen:
        assert len({serial for _, serial in answers}) > 10
        for asked, serial in answers:
            newest = 1 + bisect_left(returned, asked)
            assert serial >= newest


def test_a_swap_erases_from_each_cached_answer(server: DnsServer) -> None:
    variants: list[dict[str, Any]] = [{}, {"use_edns": 0}, {"use_edns": 0, "payload": 4096}, {"flags": dns.flags.CD}]
    for _ in range(4):
        for keys in variants:
            assert len(data(udp(server, "svc1.net", **keys))) == 3
    server.publish(table(8, records=(Record("a", ("198.51.100.1",)),)))
    for keys in variants:
        assert data(udp(server, "svc1.net", **keys)) == ["198.51.100.1"]


def test_an_older_table_is_refused(server: DnsServer) -> None:
    with pytest.raises(InvariantError, match="6 is older than 7"):
        server.publish(table(6))
    server.publish(table(7))


@pytest.mark.parametrize("swapped", [True, False])
def test_tcp_answers_from_an_older_table_are_dropped_with_their_connection(zone_file: Path, swapped: bool) -> None:
    """The kernel takes only part of an answer while the client reads nothing; the rest waits with us."""
    config = settings(zone_file)
    generations, zones = Generations(Counters()), load(config)
    old, new = (generations.make(zones, table(serial), config.dns) for serial in (7, 8))
    with selectors.DefaultSelector() as selector, socket.socket() as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        streams = Streams(selector, Counters(), time.monotonic)
        streams.listen(listener)
        client.connect(listener.getsockname())
        client.sendall(framed(dns.message.make_query("big.example.test", "TXT").to_wire()))
        client.settimeout(0.01)

        def turn(generation: Generation) -> None:
            for key, events in selector.select(0.01):
                key.data(generation, events)

        turn(old)  # accepts
        turn(old)  # answers
        read = client.recv(65536)
        while len(read) < 2 + int.from_bytes(read[:2]):
            turn(new if swapped else old)
            with suppress(TimeoutError):
                more = client.recv(65536)
                read += more
                if not more:
                    break
        whole = len(read) == 2 + int.from_bytes(read[:2])
        assert whole != swapped
        streams.close()


def test_a_connection_that_owes_nothing_outlives_a_swap(server: DnsServer) -> None:
    query = framed(dns.message.make_query("svc1.net", "A").to_wire())
    with tcp_socket(server) as sock:
        sock.sendall(query)
        assert len(data(dns.message.from_wire(read_frame(sock)))) == 3
        server.publish(table(8, records=(Record("a", ("198.51.100.1",)),)))
        sock.sendall(query)
        assert data(dns.message.from_wire(read_frame(sock))) == ["198.51.100.1"]
        server.stop()
        assert closed(sock)


def test_new_zones_and_the_table_are_swapped_alike(server: DnsServer) -> None:
    others = Settings(dns=Dns(listen=("127.0.0.1:0",), nsid="new"), app=(App(domain="svc1.net.", clusters=("a",)),))
    assert len(udp(server, "mail.example.test").answer) == 1
    server.replace_zones(others)
    assert udp(server, "mail.example.test").rcode() == dns.rcode.REFUSED
    assert len(data(udp(server, "svc1.net"))) == 3
