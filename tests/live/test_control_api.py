"""The control API over its real socket: what it answers, refuses and never lets through."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from core.control.routes import ROUTES
from core.errors import CommandRefused, NotRunning, PointsmanError
from core.model import Action, Event, EventName, Order
from core.snapshot import Update
from tests.live.scripted_engine import NOW, ScriptedEngine, served, snapshot

pytestmark = pytest.mark.live


async def raw(directory: Path, method: str, path: str, body: object = None) -> tuple[int, Any]:
    connector = aiohttp.UnixConnector(str(directory / "control.sock"))
    async with aiohttp.ClientSession("http://x", connector=connector) as session:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        async with session.request(method, path, data=data) as response:
            text = await response.read()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text.decode()


async def test_what_the_engine_says_arrives_unchanged(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine) as (_, client):
        assert await client.snapshot() == snapshot()
        assert await client.events() == engine.history
        assert await client.events(since=NOW - 0.95, after=1, cluster="osaka", name="address_erased", limit=3) == [
            engine.history[1]
        ]
        assert engine.asked[-1] == {
            "since": NOW - 0.95, "after": 1, "cluster": "osaka", "name": "address_erased", "limit": 3
        }  # fmt: skip
        order = Order(Action.DRAIN, ("tokyo",), "ann", "disk — swap", NOW + 60, (("tokyo", 7),), "k1", True)
        assert await client.preview(order) == await engine.preview(order)
        result = await client.order(order)
        assert engine.orders == [order]
        assert result.revisions == (("tokyo", 8),)
        assert (await client.answers("svc1.net.", "AAAA", ("tokyo",))).answer == ("svc1.net. 5 IN AAAA 192.0.2.3",)
        assert await client.reload() == "nothing changed"


async def test_a_stale_order_is_refused_with_the_present_revision(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine) as (_, client):
        with pytest.raises(CommandRefused, match="has changed since you looked") as refused:
            await client.order(Order(Action.ERASE, ("tokyo",), expected=(("tokyo", 6),)))
        assert refused.value.revision == 7
        assert await raw(tmp_path, "POST", "/v1/clusters/tokyo/erase", {"expected": 6}) == (
            409,
            {"error": "tokyo has changed since you looked", "revision": 7},
        )
        assert engine.orders == []
        status, _ = await raw(tmp_path, "POST", "/v1/clusters/tokyo/erase", {"expected": 7})
        assert status == 200


async def test_an_order_without_a_name_is_from_the_user_behind_the_socket(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine):
        status, _ = await raw(tmp_path, "POST", "/v1/clusters/tokyo/drain", {"why": "disk", "for": 1800})
        assert status == 200
        assert (await raw(tmp_path, "POST", "/v1/freeze"))[0] == 200
        assert (await raw(tmp_path, "POST", "/v1/orders", {"action": "thaw", "who": "ann"}))[0] == 200
    me = pwd.getpwuid(os.getuid()).pw_name
    assert engine.orders == [
        Order(Action.DRAIN, ("tokyo",), me, "disk", NOW + 1800),
        Order(Action.FREEZE, (), me),
        Order(Action.THAW, (), "ann"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("/v1/clusters/tokyo/drain", {"wy": 1}, "wy"),
        ("/v1/clusters/tokyo/drain", {"for": -1}, "$.for"),
        ("/v1/clusters/tokyo/drain", {"for": 60, "until": NOW + 60}, "$.until"),
        ("/v1/clusters/tokyo/drain", {"until": NOW - 60}, "$.until"),
        ("/v1/clusters/tokyo/drain", {"why": "a\nforged line"}, "$.why"),
        ("/v1/clusters/tokyo/drain", {"why": "trailing\n"}, "$.why"),
        ("/v1/clusters/tokyo/drain", {"why": "x" * 301}, "$.why"),
        ("/v1/clusters/tokyo/drain", {"expected": {"tokyo": "7"}}, "$.expected"),
        ("/v1/clusters/tokyo/drain", b"{", "JSON"),
        ("/v1/clusters/tokyo/drain", [], "object"),
        ("/v1/orders", {"clusters": ["tokyo"]}, "action"),
        ("/v1/orders", {"action": "dance", "clusters": ["tokyo"]}, "$.action"),
        ("/v1/orders", {"action": "drain"}, "$.clusters"),
        ("/v1/orders", {"action": "freeze", "clusters": ["tokyo"]}, "$.clusters"),
        ("/v1/preview", {"action": "drain", "clusters": "tokyo"}, "$.clusters"),
    ],
)
async def test_a_wrong_body_is_400_and_names_the_field(tmp_path: Path, path: str, body: object, names: str) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine):
        status, refusal = await raw(tmp_path, "POST", path, body)
    assert status == 400
    assert names in refusal["error"]
    assert engine.orders == []


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", "since=now", "after=1.5", "color=red"])
async def test_a_wrong_query_is_400_and_names_the_field(tmp_path: Path, query: str) -> None:
    async with served(tmp_path, ScriptedEngine()):
        status, refusal = await raw(tmp_path, "GET", f"/v1/events?{query}")
    assert status == 400
    assert query.split("=", maxsplit=1)[0] in refusal["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/clusters/kyoto/drain", {}, 404),
        ("POST", "/v1/orders", {"action": "erase", "clusters": ["tokyo", "kyoto"]}, 404),
        ("GET", "/v1/answers/example.org.", None, 404),
        ("GET", "/v1/answers/svc1.net.?without=kyoto", None, 404),
        ("POST", "/v1/clusters/tokyo/dance", {}, 404),
        ("GET", "/v1/nothing", None, 404),
        ("GET", "/v1/freeze", None, 405),
        ("POST", "/v1/orders", b"x" * 70_000, 413),
    ],
)
async def test_every_refusal_is_json_with_one_line(
    tmp_path: Path, method: str, path: str, body: object, status: int
) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine):
        got, refusal = await raw(tmp_path, method, path, body)
    assert got == status
    assert refusal.keys() == {"error", "revision"}
    assert refusal["error"]
    assert "\n" not in refusal["error"]
    assert engine.orders == []


async def test_an_unknown_cluster_is_told_which_there_are(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedEngine()) as (_, client):
        with pytest.raises(CommandRefused, match="no cluster 'kyoto'; there are: tokyo, osaka, fukuoka"):
            await client.order(Order(Action.DRAIN, ("kyoto",)))


async def test_an_error_of_the_engine_reaches_the_client_as_what_it_is(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine) as (_, client):
        engine.failure = NotRunning("the engine has stopped")
        with pytest.raises(NotRunning, match="the engine has stopped"):
            await client.snapshot()
        engine.failure = PointsmanError("state in /x: the disk is full; make room")
        with pytest.raises(PointsmanError, match="the disk is full"):
            await client.snapshot()
        engine.failure = ZeroDivisionError("secret")
        with pytest.raises(PointsmanError, match="a defect of pointsman: ZeroDivisionError; see its log"):
            await client.snapshot()
        engine.failure = None
        assert (await client.snapshot()).serial == 42


async def test_readiness_is_not_health(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedEngine(), ready=False):
        assert await raw(tmp_path, "GET", "/healthz") == (200, {"said": "alive"})
        assert await raw(tmp_path, "GET", "/readyz") == (503, {"ready": False})
    async with served(tmp_path, ScriptedEngine()):
        assert await raw(tmp_path, "GET", "/readyz") == (200, {"ready": True})


async def test_an_order_whose_answer_was_lost_is_carried_out_once(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine) as (_, client):
        lost = iter([True])

        def lose_the_first() -> None:
            if next(lost, False):
                raise NotRunning("cut")

        engine.before_answer = lose_the_first
        await client.order(Order(Action.DRAIN, ("tokyo",), key="k"))
        assert [o.key for o in engine.orders] == ["k", "k"]
        assert engine.now.clusters[0].revision == 8


async def test_the_document_describes_every_route_and_its_references_hold(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedEngine()):
        _, document = await raw(tmp_path, "GET", "/v1/openapi.json")
        described = {
            (operation["operationId"], method.upper(), path)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }
        assert described == {(route.name, route.method, route.path) for route in ROUTES}
        for _, method, path in described:  # each is really there
            status, _ = await raw(tmp_path, method, re.sub(r"\{\w+\}", "tokyo", path))
            assert status != 405, path
            assert status in {
                int(code) for code in document["paths"][path][method.lower()]["responses"] if code.isdigit()
            } | {400}
    assert document["openapi"] == "3.1.0"
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= document["components"]["schemas"].keys()
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["responses"]
            declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert declared == set(re.findall(r"\{(\w+)\}", path))


async def test_metrics_show_states_shares_verdicts_and_count_each_event_once(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine) as (_, client):
        await client.metrics()
        engine.history.append(Event(EventName.ADDRESS_ERASED, NOW, "tokyo", id=3))
        lines = (await client.metrics()).splitlines()
    for line in (
        'pointsman_cluster_state{cluster="osaka",pointsman_cluster_state="erased"} 1.0',
        'pointsman_cluster_state{cluster="osaka",pointsman_cluster_state="ok"} 0.0',
        'pointsman_in_dns{cluster="osaka",domain="svc1.net."} 0.0',
        'pointsman_in_dns_share_ratio{cluster="tokyo",domain="svc1.net."} 1.0',
        'pointsman_check_verdict{check="",cluster="osaka",kind="containers",pointsman_check_verdict="fail",source="node1"} 1.0',
        'pointsman_check_age_seconds{check="",cluster="tokyo",kind="containers",source="node1"} 0.5',
        'pointsman_dns_queries_total{rcode="NXDOMAIN"} 1.0',
        'pointsman_events_total{event="address_erased"} 2.0',
        'pointsman_events_total{event="fault_seen"} 1.0',
        'pointsman_events_total{event="fail_open"} 0.0',
        'pointsman_fail_open{domain="svc1.net."} 0.0',
        "pointsman_frozen 0.0",
        "pointsman_table_serial 42.0",
    ):
        assert line in lines


async def test_the_stream_is_a_snapshot_and_then_each_change_in_order(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine) as (_, client):
        stream = client.stream()
        assert await anext(stream) == Update(snapshot())
        for event in engine.history:
            engine.updates.put_nowait(Update(None, (event,)))
        assert [(await anext(stream)).events for _ in range(2)] == [(event,) for event in engine.history]
        engine.updates.put_nowait(PointsmanError("settings reloaded"))
        with pytest.raises(NotRunning, match="settings reloaded"):
            await anext(stream)


async def test_a_stream_carries_the_nodes_of_those_clusters_alone_that_are_looked_at(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    names = [cluster.name for cluster in engine.now.clusters]

    def whole(update: Update) -> list[str]:
        assert update.snapshot is not None
        assert [cluster.name for cluster in update.snapshot.clusters] == names
        return [cluster.name for cluster in update.snapshot.clusters if cluster.sources]

    async with served(tmp_path, engine) as (_, client):
        await client.look_at(frozenset())
        stream = client.stream()
        assert whole(await anext(stream)) == []
        await client.look_at(frozenset({"osaka"}))
        assert whole(await anext(stream)) == ["osaka"], "at once, not at the next change"
        await client.look_at(None)
        assert whole(await anext(stream)) == [c.name for c in engine.now.clusters if c.sources]
        assert "osaka" in names


async def test_a_stream_that_is_sent_nonsense_is_closed_with_the_reason(tmp_path: Path) -> None:
    async with (
        served(tmp_path, ScriptedEngine()) as (_, client),
        client._session.ws_connect("/v1/stream") as ws,
    ):
        await ws.receive()
        await ws.send_str('{"clusters": 3}')
        while (message := await ws.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.data == aiohttp.WSCloseCode.POLICY_VIOLATION
        assert "clusters" in str(message.extra)


async def test_a_reader_that_leaves_ends_its_stream_in_the_engine(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(tmp_path, engine) as (_, client):
        stream = client.stream()
        await anext(stream)
        assert engine.streams == 1
        await client.close()
        for _ in range(100):
            if not engine.streams:
                break
            await asyncio.sleep(0.02)
        assert engine.streams == 0


async def test_a_reader_that_does_not_read_is_dropped_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.control.handlers._SLOW", 0.3)
    engine = ScriptedEngine()
    async with served(tmp_path, engine) as (_, client):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control.sock"))
        writer.write(
            b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert b"101" in await reader.readline()
        assert reader._transport is not None  # type: ignore[attr-defined]  # the one way to stop a StreamReader
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        big = Update(None, (Event(EventName.STARTED, NOW, evidence="x" * 500_000, id=9),))
        for _ in range(8):
            engine.updates.put_nowait(big)
        for _ in range(250):
            if not engine.streams:
                break
            assert (await client.snapshot()).serial == 42
            await asyncio.sleep(0.02)
        assert engine.streams == 0
        assert not engine.updates.empty()
        writer.close()
