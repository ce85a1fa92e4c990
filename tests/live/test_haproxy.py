"""HAProxy as a router: what is ordered is what clients get, and what goes wrong is told (spec S16, S18–S20, S33)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from core.hands.hand import HandError, Target
from core.records import RecordTable
from core.routers.build import router
from core.routers.haproxy import Haproxy as Hand
from tests.live.haproxy import Client, Haproxy, cluster

pytestmark = pytest.mark.live


@pytest.fixture
async def haproxy(tmp_path: Path) -> AsyncIterator[Haproxy]:
    found = Haproxy(tmp_path)
    await found.start()
    yield found
    found.kill()


def hand(haproxy: Haproxy, **settings: object) -> Hand:
    made = router(*cluster(haproxy, **settings))
    assert isinstance(made, Hand)
    return made


def to(*stopped: str, **weights: int) -> Target:
    found = {f"default/{pod.replace('_', '-')}": share for pod, share in weights.items()}
    return Target(RecordTable(1), stopped=frozenset(stopped), weights={"tokyo": found})


async def test_clients_get_pods_by_their_weights(haproxy: Haproxy) -> None:
    assert await hand(haproxy).carry_out(to(web_0=100, web_1=25)) == "open, 2 pods weighted"
    assert await haproxy.weights() == {"web-0": 100, "web-1": 25}
    got = Counter([await haproxy.ask() for _ in range(100)])
    assert got == {"web-0": 80, "web-1": 20}


async def test_a_detached_pod_gets_no_request_also_not_over_connections_that_were_there(haproxy: Haproxy) -> None:
    clients = [Client(haproxy.port) for _ in range(4)]
    assert {await client.ask() for client in clients} == {"web-0", "web-1"}
    await hand(haproxy).carry_out(to(web_0=0, web_1=100))
    assert {await client.ask() for client in clients * 5} == {"web-1"}
    for client in clients:
        await client.close()


async def test_servers_that_stand_for_no_pod_are_left_alone(haproxy: Haproxy) -> None:
    await haproxy.api.ask(["set server svc1.net/default.web-1 weight 7"])
    said = await hand(haproxy).carry_out(to(web_0=50, web_7=100))
    assert said == "open, 1 pods weighted; no server for default/web-7"
    assert await haproxy.weights() == {"web-0": 50, "web-1": 7}


async def test_a_small_weight_never_becomes_0_by_rounding(tmp_path: Path) -> None:
    haproxy = Haproxy(tmp_path)
    await haproxy.start()
    await haproxy.api.ask(["set server svc1.net/default.web-1 weight 1"])
    haproxy.kill()
    text = (tmp_path / "haproxy.cfg").read_text().replace("weight 100", "weight 3")
    (tmp_path / "haproxy.cfg").write_text(text)
    await haproxy.start()
    await hand(haproxy).carry_out(to(web_0=10, web_1=100))
    assert await haproxy.weights() == {"web-0": 1, "web-1": 3}
    haproxy.kill()


async def test_a_stop_refuses_new_connections_and_serves_nothing_over_old_ones_until_it_is_opened(
    haproxy: Haproxy,
) -> None:
    kept, found = Client(haproxy.port), hand(haproxy)
    assert await kept.ask() in {"web-0", "web-1"}
    assert await found.carry_out(to("tokyo", web_0=100, web_1=100)) == "closed, 0 in flight"
    assert await haproxy.ask() == "ConnectionRefusedError"
    assert await kept.ask() == "503"
    await kept.close()
    assert await found.carry_out(to(web_0=100, web_1=25)) == "open, 2 pods weighted"
    assert await haproxy.ask() in {"web-0", "web-1"}
    assert await haproxy.weights() == {"web-0": 100, "web-1": 25}


@pytest.mark.parametrize(("in_flight", "ends"), [(0, "cut"), (60, "served")])
async def test_what_is_in_flight_at_a_stop_is_served_or_cut_by_setting(
    tmp_path: Path, in_flight: int, ends: str
) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await let_go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
        writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    haproxy = Haproxy(tmp_path, ("web-0",), elsewhere={"web-0": server.sockets[0].getsockname()[1]})
    await haproxy.start()
    waiting = Client(haproxy.port)
    client = asyncio.create_task(waiting.ask())
    await begun.wait()
    found = hand(haproxy, in_flight=in_flight)
    said = await found.carry_out(to("tokyo", web_0=100))
    assert said == ("closed, 1 in flight" if ends == "served" else "closed, 0 in flight")
    let_go.set()
    if ends == "served":
        assert await client == "slow"
        assert found.again_in == pytest.approx(5.0)
    else:
        assert (await client).startswith("50"), "HAProxy says so to a client that was not answered yet"
    await waiting.close()
    server.close()
    haproxy.kill()


async def test_a_cookie_keeps_no_client_at_a_pod_in_maintenance(tmp_path: Path) -> None:
    haproxy = Haproxy(tmp_path, extra="cookie S insert indirect\n  default-server cookie one")
    await haproxy.start()
    found = hand(haproxy, detach="maintenance")
    await found.carry_out(to(web_0=0, web_1=100))
    (text,) = await haproxy.api.ask(["show servers state svc1.net"])
    assert [line.split()[6] for line in text.splitlines()[2:]] == ["1", "0"]
    await found.carry_out(to(web_0=10, web_1=100))
    (text,) = await haproxy.api.ask(["show servers state svc1.net"])
    assert [line.split()[6:8] for line in text.splitlines()[2:]] == [["0", "10"], ["0", "100"]]
    haproxy.kill()


@pytest.mark.parametrize(("detach", "served"), [("weight", {"web-0", "web-1"}), ("drain", {"web-1"})])
async def test_a_weight_that_an_agent_check_raises_brings_nothing_to_a_drained_pod(
    tmp_path: Path, detach: str, served: set[str]
) -> None:
    says, asked = b"up\n", 0

    async def agent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(says)
        writer.close()

    server = await asyncio.start_server(agent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    haproxy = Haproxy(tmp_path, extra=f"default-server agent-check agent-port {port} agent-inter 50ms")
    await haproxy.start()
    found = hand(haproxy, detach=detach)

    async def agents_say(word: bytes) -> None:
        nonlocal says
        says, before = word, asked
        while asked < before + 6:  # each of the two servers a second time at least
            await asyncio.sleep(0.05)

    await found.carry_out(to(web_0=0, web_1=100))
    await agents_say(b"75%\n")
    assert await haproxy.weights() == {"web-0": 75, "web-1": 75}
    assert {await haproxy.ask() for _ in range(20)} == served
    await agents_say(b"up\n")
    await found.carry_out(to(web_0=100, web_1=100))
    assert {await haproxy.ask() for _ in range(20)} == {"web-0", "web-1"}
    server.close()
    haproxy.kill()


async def test_a_restart_is_noticed_at_the_next_look(haproxy: Haproxy) -> None:
    found = hand(haproxy)
    await found.carry_out(to("tokyo", web_0=0, web_1=100))
    haproxy.kill()
    with pytest.raises(OSError):
        await found.carry_out(to("tokyo", web_0=0, web_1=100))
    await haproxy.start()
    assert await haproxy.ask() in {"web-0", "web-1"}
    await found.carry_out(to("tokyo", web_0=0, web_1=100))
    assert await haproxy.ask() == "ConnectionRefusedError"


async def test_one_that_hangs_is_not_confirmed(haproxy: Haproxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.routers.runtime_api.WITHIN", 0.1)
    haproxy.pause()
    with pytest.raises(TimeoutError):
        await hand(haproxy).carry_out(to(web_0=0))


async def test_one_that_refuses_says_why(tmp_path: Path) -> None:
    haproxy = Haproxy(tmp_path, level="operator")
    await haproxy.start()
    with pytest.raises(HandError, match="level admin"):
        await hand(haproxy).carry_out(to(web_0=0))
    haproxy.kill()


async def test_an_algorithm_that_takes_no_weights_is_told_in_its_own_words(tmp_path: Path) -> None:
    haproxy = Haproxy(tmp_path, extra="balance static-rr")
    await haproxy.start()
    await hand(haproxy).carry_out(to(web_0=0, web_1=100))
    with pytest.raises(HandError, match="static LB algorithm"):
        await hand(haproxy).carry_out(to(web_0=10, web_1=100))
    haproxy.kill()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"frontends": ["wbe"]}, "no frontend wbe; there are web"),
        ({"backends": {"svc1.net.": "be"}}, "backend be: Can't find"),
    ],
)
async def test_what_is_not_there_is_named(haproxy: Haproxy, settings: dict[str, object], words: str) -> None:
    with pytest.raises(HandError, match=words):
        await hand(haproxy, **settings).carry_out(to(web_0=0))


def _lying(answer: Callable[[str], str]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write((answer(line.decode().strip()) + "\n\n> ").encode())
        writer.close()

    return serve


async def test_one_that_says_done_and_has_something_else_is_not_believed(haproxy: Haproxy) -> None:
    """A stand-in that speaks the runtime API: it passes questions on to the real one, and orders to nobody."""
    stat, state = await haproxy.api.ask(["show stat", "show servers state svc1.net"])
    answers = {"show stat": stat, "show servers state svc1.net": state}
    server = await asyncio.start_server(_lying(lambda command: answers.get(command, "")), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found = hand(haproxy, address=f"127.0.0.1:{port}")
    with pytest.raises(
        HandError, match=r"set server svc1.net/default.web-0 weight 0%: was said to be done, and is not so"
    ):
        await found.carry_out(to(web_0=0, web_1=100))
    with pytest.raises(HandError, match="disable frontend web: was said to be done"):
        await found.carry_out(to("tokyo"))
    assert await found.carry_out(to(web_0=100, web_1=100)) == "open, 2 pods weighted"
    server.close()


@pytest.mark.parametrize("answer", ["", "nonsense", "1\n# a b\n1 2", "x" * 100_000])
async def test_nonsense_is_told_and_no_defect(haproxy: Haproxy, answer: str) -> None:
    server = await asyncio.start_server(_lying(lambda command: answer), "127.0.0.1", 0)
    found = hand(haproxy, address=f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(HandError):
        await found.carry_out(to(web_0=0))
    server.close()
