"""The confirmation message against a real router process (spec S11, S25, S36)."""

from __future__ import annotations

import asyncio
import datetime
import functools
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.model import Evidence, Kind, Silence
from core.probes.confirm import worker
from core.settings import App, Cluster, Confirm, Settings
from tests.live.rounds_recorder import Recorder, bad, running, silent, well, words

pytestmark = pytest.mark.live


class Router:
    def __init__(self, *certificate: str) -> None:
        script = Path(__file__).with_name("http_router.py")
        self._process = subprocess.Popen([sys.executable, str(script), *certificate], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def routing(*certificate: str) -> Iterator[Router]:
    router = Router(*certificate)
    try:
        yield router
    finally:
        router.kill()


@pytest.fixture
def router() -> Iterator[Router]:
    with routing() as made:
        yield made


def watch(**confirm: Any) -> AbstractAsyncContextManager[Recorder]:
    values: dict[str, Any] = {"interval": 0.05, "timeout": 5.0, **confirm}
    cluster = Cluster(name="tokyo", addresses=("127.0.0.1",), confirm=Confirm(**values))
    settings = Settings(app=(App(domain="svc1.net.", clusters=("tokyo",)),), cluster=(cluster,))
    return running(lambda sink, clock: worker(settings, cluster, sink, clock))


async def test_questions_go_over_one_held_connection(router: Router) -> None:
    async with watch(target=f":{router.port}/connection") as recorder:
        for count in range(5):
            assert words(await recorder.until(lambda _: True, count)) == "status 201"
    assert len(recorder.heard_at) >= 5
    (status,) = recorder.statuses
    assert (status.connected, status.event_driven, status.periods) == (True, (Kind.CONFIRM,), ((Kind.CONFIRM, 0.05),))


async def test_a_chunked_body_leaves_the_connection_usable(router: Router) -> None:
    async with watch(target=f":{router.port}/chunked") as recorder:
        for count in range(4):
            assert words(await recorder.until(lambda _: True, count)) == "status 201"


async def test_the_host_header_is_the_apps_domain_and_the_address_the_clusters(router: Router) -> None:
    async with watch(target=f":{router.port}/host") as recorder:
        assert well(await recorder.until(lambda _: True))
    async with watch(target=f":{router.port}/host", host="other.net") as recorder:
        assert words(await recorder.until(bad)) == "status 421"


async def test_a_status_outside_the_expected_is_a_fail(router: Router) -> None:
    async with watch(target=f":{router.port}/status/503") as recorder:
        assert words(await recorder.until(bad)) == "status 503"
    async with watch(target=f":{router.port}/status/503", expect="200,500-599") as recorder:
        await recorder.until(well)


async def test_a_redirect_is_an_answer_and_is_not_followed(router: Router) -> None:
    async with watch(target=f":{router.port}/status/302") as recorder:
        assert words(await recorder.until(well)) == "status 302"


async def test_a_body_without_end_is_not_read(router: Router) -> None:
    async with watch(target=f":{router.port}/long") as recorder:
        for count in range(3):
            await recorder.until(well, count)


async def test_a_refused_connection_is_a_fail(router: Router) -> None:
    router.kill()
    async with watch(target=f":{router.port}/") as recorder:
        assert words(await recorder.until(bad)) == "connection refused"


async def test_a_connection_closed_without_an_answer_is_a_fail(router: Router) -> None:
    async with watch(target=f":{router.port}/drop") as recorder:
        assert words(await recorder.until(bad)) == "connection closed without an answer"


async def test_a_router_that_dies_is_noticed_before_the_next_question_is_due(router: Router) -> None:
    async with watch(target=f":{router.port}/", interval=60.0) as recorder:
        await recorder.until(well)
        router.kill()
        result = await recorder.until(bad)
    assert isinstance(result, Evidence)
    assert result.noticed_at is not None


async def test_a_stopped_router_is_silence_and_then_well_again(router: Router) -> None:
    async with watch(target=f":{router.port}/", timeout=0.3) as recorder:
        await recorder.until(well)
        router.send(signal.SIGSTOP)
        assert words(await recorder.until(silent)) == "no answer within 0.3 s"
        router.send(signal.SIGCONT)
        await recorder.until(well, len(recorder.results))
    assert [status.connected for status in recorder.statuses] == [True, False, True]


async def test_a_question_that_waits_for_long_is_asked_again_over_connections_of_their_own(router: Router) -> None:
    async with watch(target=f":{router.port}/lost", timeout=6.0) as recorder:
        for count in range(3):  # over the one that answered, from then on
            assert words(await recorder.until(lambda _: True, count)) == "status 203"
    assert not any(isinstance(result, Silence) for result in recorder.results)


async def test_a_second_question_that_tells_nothing_leaves_the_first_its_time(router: Router) -> None:
    async with watch(target=f":{router.port}/odd", timeout=3.0) as recorder:
        for count in range(2):
            assert well(await recorder.until(lambda _: True, count))


async def test_a_router_that_takes_no_connection_any_more_fails_though_the_held_one_hangs(router: Router) -> None:
    async with watch(target=f":{router.port}/last", timeout=10.0) as recorder:
        await recorder.until(well)
        assert words(await recorder.until(bad)) == "connection refused"
    assert not any(isinstance(result, Silence) for result in recorder.results)


async def test_an_idle_connection_that_the_router_closes_is_no_verdict(router: Router) -> None:
    async with watch(target=f":{router.port}/idle", interval=60.0) as recorder:
        await recorder.until(well)
        again = await recorder.until(lambda _: True, 1)
    assert well(again)
    assert isinstance(again, Evidence)
    assert again.noticed_at is not None


@pytest.mark.parametrize("path", ["after", "close"])
async def test_a_router_that_closes_after_each_answer_is_asked_at_most_twice_an_interval(
    router: Router, path: str
) -> None:
    async with watch(target=f":{router.port}/{path}", interval=0.2) as recorder:
        await recorder.until(well, 9)
    regular = [r for r in recorder.results if isinstance(r, Evidence) and r.noticed_at is None]
    assert all(well(result) for result in recorder.results)
    assert len(recorder.results) <= 2 * len(regular)
    if path == "close":  # it said so: nothing was lost
        assert len(regular) == len(recorder.results)


async def test_an_answer_that_is_not_http_is_silence(router: Router) -> None:
    async with watch(target=f":{router.port}/garbage") as recorder:
        assert words(await recorder.until(lambda _: True)) == "not an HTTP response"


async def test_a_slow_router_delays_no_other(router: Router) -> None:
    async with watch(target=f":{router.port}/mute", timeout=60.0) as mute, watch(target=f":{router.port}/") as other:
        for count in range(10):
            await other.until(well, count)
        assert mute.results == []


async def test_questions_start_an_interval_apart(router: Router) -> None:
    async with watch(target=f":{router.port}/", interval=0.2) as recorder:
        for count in range(6):
            await recorder.until(well, count)
    starts = [result.at - result.took for result in recorder.results[1:]]
    assert all(later - sooner > 0.1 for sooner, later in pairwise(starts))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "svc1.net")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "key.pem").write_bytes(pem)
    return str(directory / "cert.pem"), str(directory / "key.pem")


async def test_https_verifies_the_certificate_unless_told_not_to(certificate: tuple[str, str]) -> None:
    with routing(*certificate) as router:
        target = f":{router.port}/connection"
        async with watch(kind="https", target=target, verify=False) as recorder:
            for count in range(3):
                assert words(await recorder.until(lambda _: True, count)) == "status 201"
        async with watch(kind="https", target=target) as recorder:
            assert words(await recorder.until(bad)).startswith("certificate is not valid")


async def test_tcp_is_well_while_connections_are_accepted(router: Router) -> None:
    async with watch(kind="tcp", target=f":{router.port}") as recorder:
        for count in range(3):
            await recorder.until(well, count)
        router.kill()
        assert words(await recorder.until(bad)) == "connection refused"


async def test_tcp_is_asked_again_when_the_connection_that_it_holds_ends(router: Router) -> None:
    async with watch(kind="tcp", target=f":{router.port}", interval=60.0) as recorder:
        await recorder.until(well)
        router.kill()
        result = await recorder.until(bad)
    assert isinstance(result, Evidence)
    assert result.noticed_at is not None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_icmp_is_well_while_echoes_come_back(address: str) -> None:
    async with watch(kind="icmp", target=address) as recorder:
        first = await recorder.until(lambda _: True)
        if silent(first):
            pytest.skip(words(first))  # neither ping sockets nor CAP_NET_RAW here, or no IPv6
        for count in range(3):
            assert words(await recorder.until(well, count)) == "echo reply"


class _Dns(asyncio.DatagramProtocol):
    rcode = dns.rcode.NOERROR
    lost = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        if self.lost:
            self.lost -= 1
            return
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        reply.set_rcode(self.rcode)
        if self.rcode == dns.rcode.NOERROR:
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 5, "IN", "A", "192.0.2.10"))
        forged = bytearray(reply.to_wire())
        forged[0] ^= 1  # another id: an answer to somebody else
        self._transport.sendto(b"nonsense", address)
        self._transport.sendto(bytes(forged), address)
        self._transport.sendto(reply.to_wire(), address)


async def test_dns_is_well_with_noerror_and_the_expected_address() -> None:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Dns, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    target = f":{port}"
    async with watch(kind="dns", target=target) as recorder:
        assert words(await recorder.until(well)) == "answered NOERROR"
        protocol.rcode = dns.rcode.SERVFAIL
        assert words(await recorder.until(bad)) == "answered SERVFAIL"
        protocol.rcode = dns.rcode.NOERROR
    async with watch(kind="dns", target=target, expect="192.0.2.10") as recorder:
        await recorder.until(well)
    async with watch(kind="dns", target=target, expect="192.0.2.99") as recorder:
        assert words(await recorder.until(bad)) == "answered 192.0.2.10, not 192.0.2.99"
    transport.close()
    async with watch(kind="dns", target=target) as recorder:
        assert words(await recorder.until(bad)) == "connection refused"


async def test_a_lost_datagram_is_no_silence() -> None:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Dns, ("127.0.0.1", 0))
    protocol.lost = 2
    async with watch(kind="dns", target=f":{transport.get_extra_info('sockname')[1]}", timeout=4.0) as recorder:
        assert words(await recorder.until(lambda _: True)) == "answered NOERROR"
    assert not protocol.lost
    transport.close()


async def test_dns_without_an_answer_is_silence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        async with watch(kind="dns", target=f":{mute.getsockname()[1]}", timeout=0.2) as recorder:
            assert words(await recorder.until(lambda _: True)) == "no answer within 0.2 s"


async def test_a_host_that_would_forge_a_header_is_never_sent(router: Router) -> None:
    async with watch(target=f":{router.port}/host", host="svc1.net\r\nX: y") as recorder:
        assert "printable ASCII" in words(await recorder.until(silent))


ROUTER_RULES = (
    test_questions_go_over_one_held_connection,
    test_a_refused_connection_is_a_fail,
    test_a_connection_closed_without_an_answer_is_a_fail,
    test_a_router_that_dies_is_noticed_before_the_next_question_is_due,
    test_a_stopped_router_is_silence_and_then_well_again,
    test_an_idle_connection_that_the_router_closes_is_no_verdict,
    test_tcp_is_asked_again_when_the_connection_that_it_holds_ends,
)
OTHER_RULES = (
    test_dns_is_well_with_noerror_and_the_expected_address,
    test_dns_without_an_answer_is_silence,
    functools.partial(test_icmp_is_well_while_echoes_come_back, "127.0.0.1"),
)


@pytest.mark.parametrize("rule", ROUTER_RULES)
def test_a_rule_of_the_router_holds_on_uvloop(
    router: Router, rule: Callable[[Router], Coroutine[object, object, None]]
) -> None:
    uvloop.run(rule(router))


@pytest.mark.parametrize("rule", OTHER_RULES)
def test_a_rule_without_a_router_holds_on_uvloop(rule: Callable[[], Coroutine[object, object, None]]) -> None:
    uvloop.run(rule())
