"""Worker processes: the promise of a swap holds over all of them, and whatever becomes of one, answers go on."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from core.errors import StartError
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings
from dnsserver import crew
from dnsserver.channel import Count, changed, follow, packed
from dnsserver.dnssec import keys
from dnsserver.generation import Generations
from dnsserver.server import DnsServer
from dnsserver.stats import Counters
from dnsserver.zone import load
from tests.wire.conftest import Serve
from tests.wire.helpers import TIMEOUT, data, eventually, settings, table, tcp

pytestmark = [pytest.mark.live, pytest.mark.skipif(sys.platform != "linux", reason="sockets are shared as Linux does")]

SOCKETS = 64
"""Enough that every worker gets some: the kernel chooses by the source port."""
STARTS_WITHIN = 60.0
LEFT = (Record("a", ("198.51.100.1",)),)


@pytest.fixture
def pair(serve: Serve, zone_file: Path) -> DnsServer:
    return serve(settings(zone_file, workers=2))


def workers(server: DnsServer) -> list[int]:
    return [worker.process.pid for worker in server._answering._workers]  # type: ignore[union-attr] # it is a crew


def serving(server: DnsServer) -> list[int]:
    return [worker.process.pid for worker in server._answering._workers if worker.serving]  # type: ignore[union-attr] # it is a crew


def state(pid: int) -> str:
    """The kernel's letter for it; X where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def gone(pids: list[int]) -> bool:
    return all(state(pid) in "XZ" for pid in pids)


@pytest.fixture
def askers(pair: DnsServer) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(SOCKETS)]
        for sock in socks:
            sock.connect(pair.addresses[0])
            sock.settimeout(TIMEOUT)
        yield socks


def ask(socks: list[socket.socket], name: str = "svc1.net") -> None:
    for number, sock in enumerate(socks):
        sock.send(dns.message.make_query(name, "A", id=number).to_wire())


def answers(socks: list[socket.socket], seconds: float = TIMEOUT) -> list[list[str]]:
    """What came to each within the time; nothing where nothing did."""
    found = []
    until = time.monotonic() + seconds
    for sock in socks:
        sock.settimeout(max(0.001, until - time.monotonic()))
        try:
            found.append(data(dns.message.from_wire(sock.recv(4096))))
        except TimeoutError:
            found.append([])
    return found


def test_every_worker_answers_from_the_new_table_once_it_is_published(
    pair: DnsServer, askers: list[socket.socket]
) -> None:
    for serial in range(8, 18):
        address = f"192.0.2.{serial}"
        pair.publish(table(serial, records=(Record("a", (address,)),)))
        ask(askers)
        assert answers(askers) == [[address]] * SOCKETS
    eventually(lambda: pair.stats().queries == 10 * SOCKETS)
    assert all(sum(worker.counters.answers) for worker in pair._answering._workers)  # type: ignore[union-attr] # it is a crew


def test_a_killed_worker_is_replaced_and_the_other_answers_meanwhile(
    pair: DnsServer, askers: list[socket.socket]
) -> None:
    killed, other = workers(pair)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: killed not in workers(pair))  # waited for: only then all its threads, and its sockets, are gone
    ask(askers)
    assert all(len(answer) == 3 for answer in answers(askers))
    pair.publish(table(8, records=LEFT))
    eventually(lambda: len(serving(pair)) == 2, STARTS_WITHIN)
    assert other in workers(pair)
    for _ in range(3):
        ask(askers)
        assert answers(askers) == [["198.51.100.1"]] * SOCKETS
    eventually(lambda: all(sum(worker.counters.answers) for worker in pair._answering._workers))  # type: ignore[union-attr] # it is a crew


def test_a_stopped_worker_keeps_no_swap_and_answers_nobody_from_the_old_table(
    pair: DnsServer, askers: list[socket.socket]
) -> None:
    stopped = workers(pair)[0]
    os.kill(stopped, signal.SIGSTOP)
    eventually(lambda: state(stopped) in "TXZ")
    ask(askers)
    early = answers(askers, 0.5)
    assert 0 < sum(bool(answer) for answer in early) < SOCKETS
    pair.publish(table(8, records=LEFT))
    assert gone([stopped])
    unanswered = [sock for sock, answer in zip(askers, early, strict=True) if not answer]
    assert answers(unanswered, 0.5) == [[]] * len(unanswered)
    for _ in range(3):
        ask(askers)
        assert answers(askers) == [["198.51.100.1"]] * SOCKETS


def test_a_worker_that_hangs_is_replaced_without_a_swap(pair: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "SILENT_TURNS", 10)
    hung = workers(pair)[0]
    os.kill(hung, signal.SIGSTOP)
    eventually(lambda: gone([hung]) and hung not in workers(pair) and len(serving(pair)) == 2, STARTS_WITHIN)


def test_zones_that_were_read_anew_reach_all_workers(pair: DnsServer, askers: list[socket.socket]) -> None:
    ask(askers, "mail.example.test")
    assert answers(askers) == [["192.0.2.25"]] * SOCKETS
    pair.replace_zones(Settings(dns=Dns(listen=("127.0.0.1:0",)), app=(App(domain="svc1.net.", clusters=("a",)),)))
    for sock in askers:
        sock.send(dns.message.make_query("mail.example.test", "A").to_wire())
        assert dns.message.from_wire(sock.recv(4096)).rcode() == dns.rcode.REFUSED


def test_workers_serve_tcp_and_every_address(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file, workers=2, listen=("127.0.0.1:0", "127.0.0.2:0")))
    assert len({port for _, port in server.addresses}) == 2
    for _ in range(10):
        assert len(data(tcp(server, "svc1.net"))) == 3
    for address in server.addresses:
        with socket.create_connection(address, TIMEOUT) as sock:
            query = dns.message.make_query("svc1.net", "A").to_wire()
            sock.sendall(len(query).to_bytes(2) + query)
            assert int.from_bytes(sock.recv(2)) > len(query)


def test_nobody_else_can_have_the_port(pair: DnsServer, zone_file: Path) -> None:
    listen = ("{}:{}".format(*pair.addresses[0]),)
    with pytest.raises(StartError, match="the port is busy"):
        DnsServer(settings(zone_file, workers=2, listen=listen), table(), lambda error: None).start()


def test_the_end_leaves_no_process(zone_file: Path) -> None:
    server = DnsServer(settings(zone_file, workers=2), table(), lambda error: None)
    server.start()
    pids = workers(server)
    os.kill(pids[0], signal.SIGSTOP)
    server.stop()
    assert gone(pids)
    server.stop()


PARENT = """
import sys, threading
from pathlib import Path
from dnsserver.server import DnsServer
from tests.wire.helpers import settings, table
server = DnsServer(settings(Path(sys.argv[1]), workers=2), table(), print)
server.start()
print(*(worker.process.pid for worker in server._answering._workers), flush=True)
threading.Event().wait()
"""


def test_a_parent_that_is_killed_leaves_no_worker_not_even_a_stopped_one(zone_file: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", PARENT, str(zone_file)], stdout=subprocess.PIPE, cwd=root) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        os.kill(pids[0], signal.SIGSTOP)
        parent.kill()
    eventually(lambda: gone(pids))


@pytest.mark.parametrize(("kind", "instead"), [("_tables", "nonsense"), ("_tables", Count()), ("Serve", "nonsense")])
def test_a_worker_that_cannot_start_is_a_start_that_failed(
    zone_file: Path, monkeypatch: pytest.MonkeyPatch, kind: str, instead: object
) -> None:
    """By an order that means nothing, by sockets without tables, and by sockets that were never taken."""
    monkeypatch.setattr(crew, kind, lambda _: packed(instead) if kind == "_tables" else instead)
    server = DnsServer(settings(zone_file, workers=2), table(), lambda error: None)
    with pytest.raises(StartError, match="ended at its start"):
        server.start()
    server.stop()


@pytest.mark.parametrize("then", [lambda apps: {**apps, "new.net.": apps["svc1.net."]}, lambda apps: {}])
def test_what_changed_leads_to_the_same_table(
    zone_file: Path, then: Callable[[dict[str, AppRecords]], dict[str, AppRecords]]
) -> None:
    config = settings(zone_file)
    zones, made = load(config), Generations(Counters())
    old = made.make(zones, table(7), config.dns, history=(table(6),))
    new = RecordTable(8, then(dict(old.table.apps)))
    generation = made.make(zones, new, config.dns, history=(table(6), old.table))
    tables = follow(pickle.loads(pickle.dumps(changed(old, generation))), old.table, old.history)
    assert (tables.table, tables.history) == (new, (table(6), old.table))
    assert all(tables.table.apps[name] is app for name, app in old.table.apps.items() if name in new.apps)


def test_keys_go_to_workers_with_the_zones(zone_file: Path, tmp_path: Path) -> None:
    keys.generate(tmp_path / "key", "example.test.")
    config = settings(zone_file)
    zone = config.zone[0].model_copy(update={"dnssec": (str(tmp_path / "key"),)})
    zones = load(config.model_copy(update={"zone": (zone,)}))
    copied = pickle.loads(pickle.dumps(zones))
    apex = (b"example", b"test")
    ours, theirs = zones[apex].signer, copied[apex].signer
    assert ours and theirs
    assert ours.keys[0].dnskey == theirs.keys[0].dnskey
    assert theirs.signatures(apex, 1, 5, [b"\xc0\x00\x02\x01"])


def test_a_cookie_of_one_worker_is_good_at_the_other(askers: list[socket.socket]) -> None:
    def cookies(shown: bytes) -> list[bytes]:
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, shown)
        for sock in askers:
            sock.send(dns.message.make_query("svc1.net", "A", use_edns=0, options=[option]).to_wire())
        return [dns.message.from_wire(sock.recv(4096)).options[0].to_wire() or b"" for sock in askers]

    mine = cookies(b"12345678")[0]
    assert len(mine) == 24
    assert set(cookies(mine)) == {mine}, "each of them knows it for its own"
