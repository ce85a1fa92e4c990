"""Starting, stopping, asking and counting; the sockets below; the thread that must not die unheard."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import dns.message
import pytest

from core.errors import ConfigError, StartError
from core.records import Record
from core.settings import Dns, Settings
from dnsserver.generation import Generations
from dnsserver.server import DnsServer
from dnsserver.stats import Counters, Stats
from dnsserver.udp import BatchPort, DatagramPort, SimplePort, datagram_port
from dnsserver.wire import Wire
from dnsserver.zone import load
from tests.wire.conftest import Serve
from tests.wire.helpers import TIMEOUT, closed, data, dig, framed, read_frame, settings, table, tcp, tcp_socket, udp

pytestmark = pytest.mark.live


def test_port_zero_gives_one_port_for_udp_and_tcp(server: DnsServer) -> None:
    ((address, port),) = server.addresses
    assert address == "127.0.0.1"
    assert port
    assert data(udp(server, "mail.example.test")) == data(tcp(server, "mail.example.test"))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_busy_port_is_one_line_that_says_what_to_do(zone_file: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        server = DnsServer(settings(zone_file, listen=(f"127.0.0.1:{port}",)), table(), lambda error: None)
        with pytest.raises(StartError, match=rf"^cannot listen on 127\.0\.0\.1:{port} .*the port is busy.*ss -lntup"):
            server.start()
    server.stop()


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_start_that_failed_leaves_no_socket_behind(zone_file: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        listen = ("127.0.0.2:0", f"127.0.0.1:{port}")
        before = _open_files()
        with pytest.raises(StartError):
            DnsServer(settings(zone_file, listen=listen), table(), lambda error: None).start()
        assert _open_files() == before


def test_an_address_that_is_not_ours_is_said(zone_file: Path) -> None:
    with pytest.raises(StartError, match=r"192\.0\.2\.1:0 \(UDP\): this machine has no such address"):
        DnsServer(settings(zone_file, listen=("192.0.2.1:0",)), table(), lambda error: None).start()


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.5"])
def test_on_a_wildcard_address_the_answer_leaves_from_the_address_asked(
    serve: Serve, zone_file: Path, asked: str
) -> None:
    server = serve(settings(zone_file, listen=("0.0.0.0:0",)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT)
        client.connect((asked, server.addresses[0][1]))  # a connected socket takes answers from there alone
        client.send(bytes(12))
        assert len(client.recv(512)) == 12


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
@pytest.mark.parametrize("listen", ["[::1]:0", "[::]:0"])
def test_ipv6_is_served(serve: Serve, zone_file: Path, listen: str) -> None:
    server = serve(settings(zone_file, listen=(listen,)))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT)
        client.connect(("::1", server.addresses[0][1]))
        client.send(bytes(12))
        assert len(client.recv(512)) == 12


@pytest.mark.parametrize("kind", [BatchPort, SimplePort])
@pytest.mark.parametrize("wildcard", [False, True])
def test_both_kinds_of_port_answer_many_clients_and_keep_silent_alike(
    kind: type[BatchPort] | type[SimplePort], wildcard: bool
) -> None:
    if kind is BatchPort and not sys.platform.startswith("linux"):
        pytest.skip("recvmmsg is Linux's")
    counters = Counters()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0" if wildcard else "127.0.0.1", 0))
        datagram_port(sock, counters)  # sets the options of the socket
        port = kind(sock, counters, wildcard=wildcard)
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
        for number, client in enumerate(clients):
            client.settimeout(TIMEOUT)
            client.connect((f"127.0.0.{number % 5 + 1}" if wildcard else "127.0.0.1", sock.getsockname()[1]))
            client.send(b"%d" % number)
        for _ in range(3):  # 64 at a time, and once in vain
            port.serve(lambda packets: [packet * 2 if int(packet) % 3 else None for packet in packets])
        for number, client in enumerate(clients):
            if number % 3:
                assert client.recv(100) == b"%d" % number * 2
            else:
                client.settimeout(0)
                with pytest.raises(BlockingIOError):
                    client.recv(100)
            client.close()
    assert counters.dropped == 0


def test_ask_tells_what_would_be_answered_also_from_another_table(server: DnsServer) -> None:
    view = server.ask("SVC1.net", "a")
    assert (view.name, view.qtype, view.rcode, view.serial) == ("svc1.net.", "A", "NOERROR", 7)
    assert view.answer == tuple(f"svc1.net. 5 IN A 198.51.100.{number}" for number in (1, 2, 3))
    other = server.ask("svc1.net", "A", table(9, records=(Record("a", ("198.51.100.1",)),)))
    assert (other.answer, other.serial) == (("svc1.net. 5 IN A 198.51.100.1",), 9)
    missing = server.ask("nothing.svc1.net", "A")
    assert missing.rcode == "NXDOMAIN"
    assert missing.authority[0].startswith("svc1.net. 5 IN SOA")
    assert server.ask("elsewhere.test", "A").rcode == "REFUSED"
    assert len(udp(server, "svc1.net").answer[0]) == 3


@pytest.mark.parametrize(
    ("name", "qtype", "said"),
    [
        ("", "A", "no name to ask for"),
        ("a..b", "A", '"a..b" is not a domain name'),
        ("x" * 64, "A", "is not a domain name"),
        ("svc1.net", "NONSENSE", '"NONSENSE" is not a record type'),
        ("svc1.net", "", '"" is not a record type'),
        ("svc1.net", "TYPE99999", '"TYPE99999" is not a record type'),
    ],
)
def test_nonsense_is_asked_for_in_vain(server: DnsServer, name: str, qtype: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        server.ask(name, qtype)


def test_a_reload_that_fails_leaves_the_old_zones(server: DnsServer, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("nonsense\n")
    with pytest.raises(ConfigError):
        server.replace_zones(settings(bad))
    assert data(udp(server, "mail.example.test")) == ["192.0.2.25"]


def test_what_is_counted(server: DnsServer) -> None:
    for _ in range(3):
        udp(server, "svc1.net")
    udp(server, "missing.example.test")
    tcp(server, "elsewhere.test")
    stats = server.stats()
    assert stats.queries == 5
    assert dict(stats.by_rcode) == {"NOERROR": 3, "NXDOMAIN": 1, "REFUSED": 1}


def test_the_rate_is_that_of_the_last_seconds() -> None:
    now, counters = [0.0], Counters()
    stats = Stats(counters, lambda: now[0])
    rates = []
    for second in range(20):
        now[0] = second + 1.0
        counters.answers[0] += 1000 if second < 10 else 0
        rates.append(stats.view().rate)
    assert rates[9] == 1000
    assert rates[-1] == 0


def test_stop_ends_all_connections_and_frees_the_port_and_is_harmless_when_repeated(zone_file: Path) -> None:
    server = DnsServer(settings(zone_file), table(), lambda error: None)
    server.stop()
    server.start()
    port = server.addresses[0][1]
    with tcp_socket(server) as sock:
        sock.sendall(framed(dns.message.make_query("svc1.net", "A").to_wire()))
        read_frame(sock)
        server.stop()
        assert closed(sock)
    server.stop()
    server.publish(table(8))
    again = DnsServer(settings(zone_file, listen=(f"127.0.0.1:{port}",)), table(), lambda error: None)
    again.start()
    again.stop()


class _Port:
    """Serves what the test says, to see the thread around it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.entered, self.release = threading.Event(), threading.Event()

    def peer(self, place: int) -> bytes:
        return b""

    def serve(self, answer: object) -> None:
        self.entered.set()
        assert self.release.wait(TIMEOUT)
        raise RuntimeError("the port is broken")


def _wire(port: DatagramPort, deaths: list[BaseException]) -> tuple[Wire, Generations]:
    counters = Counters()
    generations = Generations(counters)
    config = Settings(dns=Dns())
    return Wire([port], [], generations.make(load(config), table(1), config.dns), counters, deaths.append), generations


def test_a_swap_waits_for_the_batch_in_flight_and_a_death_is_told() -> None:
    ours, theirs = socket.socketpair()
    port, deaths = _Port(ours), list[BaseException]()
    wire, generations = _wire(port, deaths)
    published = threading.Event()

    def publish() -> None:
        wire.publish(generations.make({}, table(2), Dns()))
        published.set()

    wire.start()
    theirs.send(b"x")
    assert port.entered.wait(TIMEOUT)
    publisher = threading.Thread(target=publish)
    publisher.start()
    assert not published.wait(0.2)
    port.release.set()
    assert published.wait(TIMEOUT)
    publisher.join()
    wire.stop()
    theirs.close()
    assert [str(death) for death in deaths] == ["the port is broken"]


def test_dig_over_tcp_and_udp_agree(server: DnsServer) -> None:
    for transport in ("+tcp", "+notcp"):
        assert sorted(dig(server, "svc1.net", "A", "+short", transport).split()) == [
            "198.51.100.1",
            "198.51.100.2",
            "198.51.100.3",
        ]
