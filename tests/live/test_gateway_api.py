"""The Gateway API as a router, against a stand-in of the API server (:mod:`tests.live.api_server`; no real one runs here)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.errors import ConfigError, PointsmanError
from core.hands.hand import HandError, Target
from core.records import RecordTable
from core.routers import gateway_api
from core.routers.build import router
from core.routers.endpoints import endpoints
from core.routers.gateway_api import GatewayApi
from core.routers.gateway_endpoints import GatewayEndpoints
from core.settings import Cluster, Settings
from tests.live.api_server import ApiServer, serving

pytestmark = pytest.mark.live
ROUTE = "apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/svc1-net"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as found:
        yield found


def settings(server: ApiServer, pods: dict[str, str] | None = None, **router: object) -> tuple[Settings, Cluster]:
    told = {"kind": "gateway-api", "address": server.url, "credentials": server.kubeconfig, "gateway": "infra/public",
            "pods": pods or {}, **router}  # fmt: skip
    rules = [{"match": "shop/web-*", "weight": 200}]
    found = Settings(
        app=[
            {"domain": "svc1.net.", "clusters": ["tokyo"], "pods": rules, "endpoint": "{name}.web.{namespace}.svc:8080"}
        ],
        cluster=[{"name": "tokyo", "addresses": ["192.0.2.1"], "router": told}],
    )
    return found, found.cluster[0]


def instruction(server: ApiServer, count: int = 2, **pods: str) -> GatewayEndpoints:
    found, cluster = settings(server, {f"shop/{name.replace('_', '-')}": place for name, place in pods.items()})
    seen = [(f"shop/web-{n}", "n1", 100) for n in range(count)]
    return GatewayEndpoints(cluster, {"svc1.net": endpoints(found.app[0], cluster, seen)}, {"svc1.net": found.app[0]})


async def deployed(server: ApiServer) -> None:
    wanted = instruction(server)
    for each in await wanted.diff():
        await wanted.apply(each)
    server.asked.clear()


@pytest.fixture
async def hand(server: ApiServer) -> AsyncIterator[GatewayApi]:
    made = router(*settings(server))
    assert isinstance(made, GatewayApi)
    yield made
    await made.close()


def to(*stopped: str, **weights: int) -> Target:
    found = {f"shop/{pod.replace('_', '-')}": share for pod, share in weights.items()}
    return Target(RecordTable(1), stopped=frozenset(stopped), weights={"tokyo": found})


def weights(server: ApiServer) -> dict[str, int]:
    refs = server.objects[ROUTE]["spec"]["rules"][0]["backendRefs"]
    return {ref["name"]: ref["weight"] for ref in refs}


async def test_the_deployment_instruction_is_applied_once_and_nothing_differs_then(server: ApiServer) -> None:
    wanted = instruction(server, web_1="10.0.0.21:8081")
    assert [each.said for each in await wanted.diff()] == [
        "Service shop/web-0", "Service shop/web-1", "EndpointSlice shop/web-1", "HTTPRoute shop/svc1-net",
    ]  # fmt: skip
    for each in await wanted.diff():
        await wanted.apply(each)
    assert await wanted.diff() == []
    rendered = json.loads("\n".join(wanted.render()))
    assert [item["kind"] for item in rendered["items"]] == ["Service", "Service", "EndpointSlice", "HTTPRoute"]
    route = server.objects[ROUTE]["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert route["hostnames"] == ["svc1.net"]
    assert weights(server) == {"web-0": 200, "web-1": 200}
    services = [server.objects[f"api/v1/namespaces/shop/services/web-{n}"]["spec"] for n in (0, 1)]
    assert services[0]["selector"] == {"statefulset.kubernetes.io/pod-name": "web-0"}
    assert "selector" not in services[1]
    assert server.objects["apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1"]["endpoints"][0][
        "addresses"
    ] == ["10.0.0.21"]
    moved = instruction(server, web_1="10.0.0.22:8081")
    assert [each.sign for each in await moved.diff()] == ["~"]


async def test_more_pods_than_a_rule_can_hold_are_refused_before_anything_is_sent(server: ApiServer) -> None:
    with pytest.raises(PointsmanError, match="17 pods, and a rule of an HTTPRoute holds 16"):
        await instruction(server, 17).diff()
    assert server.asked == []


async def test_weights_are_applied_and_what_else_stands_in_the_route_stays(server: ApiServer, hand: GatewayApi) -> None:
    await deployed(server)
    assert await hand.carry_out(to(web_0=25, web_1=0)) == "open, 1 routes"
    assert weights(server) == {"web-0": 50, "web-1": 0}
    assert server.objects[ROUTE]["spec"]["hostnames"] == ["svc1.net"]
    assert [asked.split()[0] for asked in server.asked] == ["GET", "PATCH", "GET"]
    await hand.carry_out(to(web_0=25, web_1=0))
    assert [asked.split()[0] for asked in server.asked] == ["GET", "PATCH", "GET", "GET"], "it was so already"


async def test_a_stop_gives_every_pod_weight_0_and_the_end_of_it_gives_them_back(
    server: ApiServer, hand: GatewayApi
) -> None:
    await deployed(server)
    await hand.carry_out(to("tokyo", web_0=100, web_1=100))
    assert weights(server) == {"web-0": 0, "web-1": 0}
    await hand.carry_out(to(web_0=100, web_1=10))
    assert weights(server) == {"web-0": 200, "web-1": 20}


async def test_backends_that_stand_for_no_known_pod_are_left_alone(server: ApiServer, hand: GatewayApi) -> None:
    await deployed(server)
    await hand.carry_out(to(web_0=0))
    assert weights(server) == {"web-0": 0, "web-1": 200}


async def test_what_somebody_else_owns_is_a_conflict_and_not_overwritten(server: ApiServer, hand: GatewayApi) -> None:
    await deployed(server)
    route: dict[str, Any] = json.loads(json.dumps(server.objects[ROUTE]))
    server.put(ROUTE, route, "kubectl-edit")
    with pytest.raises(
        HandError, match=r'conflict with "kubectl-edit" using gateway.networking.k8s.io/v1: .spec.rules'
    ):
        await hand.carry_out(to(web_0=0, web_1=100))
    assert weights(server) == {"web-0": 200, "web-1": 200}


async def test_a_change_between_reading_and_applying_is_a_conflict(server: ApiServer, hand: GatewayApi) -> None:
    await deployed(server)
    real = hand._client.get

    async def get(*words: Any, **more: Any) -> Any:
        found = await real(*words, **more)
        server.put(ROUTE, server.objects[ROUTE], "pointsman")
        return found

    hand._client.get = get  # type: ignore[method-assign] # somebody is quicker than we are
    with pytest.raises(HandError, match="the object has been modified"):
        await hand.carry_out(to(web_0=0, web_1=100))


async def test_one_that_says_done_and_has_something_else_is_not_believed(server: ApiServer, hand: GatewayApi) -> None:
    await deployed(server)

    async def done() -> web.Response:
        return web.json_response(server.objects[ROUTE])

    server.answer = done
    with pytest.raises(HandError, match="was said to be changed, and is not"):
        await hand.carry_out(to(web_0=0, web_1=100))


@pytest.mark.parametrize(
    "body", [{"kind": "Status", "code": 403, "reason": "Forbidden", "message": "httproutes is forbidden"}, {}]
)
async def test_one_that_refuses_says_why(server: ApiServer, hand: GatewayApi, body: dict[str, object]) -> None:
    await deployed(server)

    async def refused() -> web.Response:
        return web.Response(body=json.dumps(body).encode(), status=403, content_type="application/json")

    server.answer = refused
    with pytest.raises(HandError, match="forbidden" if body else "svc1-net"):
        await hand.carry_out(to(web_0=0, web_1=100))


async def test_a_route_that_is_not_there_is_named(hand: GatewayApi) -> None:
    with pytest.raises(HandError, match=r"HTTPRoute shop/svc1-net: .* not found"):
        await hand.carry_out(to(web_0=0))


async def test_one_that_is_slow_or_down_is_not_confirmed(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployed(server)
    monkeypatch.setattr(gateway_api, "WITHIN", 0.3)

    async def never() -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    server.answer = never
    slow = router(*settings(server))
    with pytest.raises(TimeoutError):
        await slow.carry_out(to(web_0=0))
    await slow.close()
    server.url = "https://127.0.0.1:1"
    down = router(*settings(server, credentials=""))
    with pytest.raises(HandError, match="svc1-net"):
        await down.carry_out(to(web_0=0))
    await down.close()


async def test_credentials_that_cannot_be_read_are_an_error_of_the_settings(server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("clusters: [")
    with pytest.raises(ConfigError, match=r"cluster tokyo: router\.credentials"):
        router(*settings(server, credentials=str(tmp_path / "broken")))
