"""The control API over TCP, on real TLS sockets: who gets in, who may do what, and how much one client can take."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from core.control import access, listener
from core.control.client import Remote
from core.control.remote import RemoteClient
from core.control.roles import ORDERS, Role
from core.control.routes import ROUTES, STREAMS, Route
from core.control.server import ControlServer
from core.errors import CommandRefused, NotRunning, PointsmanError, StartError
from core.model import Action, Order
from tests.live.certificates import TOKENS, Files, made
from tests.live.scripted_engine import ScriptedEngine, served

pytestmark = pytest.mark.live


@dataclass
class Door:
    """A server with its port, and how to knock."""

    engine: ScriptedEngine
    server: ControlServer
    files: Files
    port: int

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        return access.trusting(self.files.certificate)

    @asynccontextmanager
    async def client(self, role: str) -> AsyncIterator[RemoteClient]:
        client = RemoteClient(Remote(self.url, self.files.token_file(role), self.files.certificate))
        try:
            yield client
        finally:
            await client.close()

    async def ask(
        self, method: str, path: str, authorization: str | None = None, body: object = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        headers = {} if authorization is None else {"Authorization": authorization}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.trust)) as session,
            session.request(method, self.url + path, headers=headers, data=json.dumps(body or {})) as response,
        ):
            text = await response.read()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text, response.headers

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    files, engine = made(tmp_path), ScriptedEngine()
    async with served(tmp_path, engine, access=access.read(files.control)) as (server, _):
        [(_, port)] = [address for address in server.addresses if isinstance(address, tuple)]
        yield Door(engine, server, files, port)


def bearer(role: str) -> str:
    return f"Bearer {TOKENS[role]}"


# --- who gets in ------------------------------------------------------------------------------------------------------


async def test_only_a_token_opens_and_health_is_for_all(door: Door) -> None:
    for wrong in (None, "", "Bearer ", "Bearer", TOKENS["admin"], f"Basic {TOKENS['admin']}", bearer("admin")[:-1]):
        status, refusal, headers = await door.ask("GET", "/v1/snapshot", wrong)
        assert (status, refusal["error"], headers["WWW-Authenticate"]) == (401, "wrong or missing token", "Bearer")
    assert (await door.ask("GET", "/v1/no-such-path"))[0] == 401, "which paths there are is not a stranger's to know"
    for path in ("/healthz", "/readyz"):
        assert (await door.ask("GET", path))[0] == 200
    for role in TOKENS:
        assert (await door.ask("GET", "/v1/snapshot", bearer(role)))[0] == 200
        assert (await door.ask("GET", "/v1/caller", bearer(role)))[1] == {"role": role, "token": f"its-{role}"}


async def test_nothing_is_said_in_the_clear(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: " + bearer("admin").encode() + b"\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    writer.close()
    assert (await door.ask("GET", "/healthz"))[0] == 200


async def test_old_tls_is_refused(door: Door) -> None:
    old = door.trust
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", door.port, ssl=old)


# --- who may do what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [r for r in ROUTES if r.path not in STREAMS], ids=lambda route: route.name)
async def test_a_route_is_for_the_roles_that_cover_its_own(door: Door, route: Route) -> None:
    path = re.sub(r"\{(\w+)\}", lambda m: {"event": "1", "domain": "svc1.net."}.get(m[1], "tokyo"), route.path)
    body = {"action": "drain", "clusters": ["tokyo"]} if route.name in {"orders", "preview"} else {}
    for role in Role:
        status, said, _ = await door.ask(route.method, path, bearer(role), body)
        if route.role is None or role.covers(route.role):
            assert status == 200, said
        else:
            assert (status, f"this needs {route.role}" in said["error"]) == (403, True)
    if route.role is not Role.READ and route.role is not None:
        assert all(
            order.who.endswith(f"(token its-{r})")
            for order, r in zip(door.engine.orders, ("operate", "admin"), strict=False)
        )


@pytest.mark.parametrize("action", list(Action))
async def test_an_order_is_for_the_roles_that_cover_its_own_and_force_for_admins(door: Door, action: Action) -> None:
    order = {"action": action, "clusters": [] if action in {"freeze", "thaw"} else ["tokyo"], "who": "ann"}
    for force in (False, True):
        for role in Role:
            may = role.covers(Role.ADMIN if force else ORDERS[action])
            before = len(door.engine.orders)
            status, _, _ = await door.ask("POST", "/v1/orders", bearer(role), order | {"force": force})
            assert (status, len(door.engine.orders) - before) == ((200, 1) if may else (403, 0))
    assert {o.who for o in door.engine.orders} == {"ann (token its-operate)", "ann (token its-admin)"}


async def test_the_document_names_the_role_of_every_operation(door: Door) -> None:
    _, document, _ = await door.ask("GET", "/v1/openapi.json", bearer("read"))
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["security"] == [*([{"token": [route.role]}] if route.role else []), {}]
        assert ("403" in operation["responses"]) is (route.role is not None)


async def test_the_client_speaks_it_and_a_stream_comes_through(door: Door) -> None:
    async with door.client("operate") as client:
        assert (await client.caller()).role is Role.OPERATE
        stream = client.stream()
        assert (await anext(stream)).snapshot == door.engine.now
        await client.order(Order(Action.DRAIN, ("tokyo",), "ann"))
        with pytest.raises(CommandRefused, match="'its-operate' has the role operate, and this needs admin"):
            await client.reload()
    assert [order.who for order in door.engine.orders] == ["ann (token its-operate)"]


# --- what the client trusts -------------------------------------------------------------------------------------------


@contextmanager
def no_trust() -> Iterator[None]:
    with pytest.raises(NotRunning, match="no trust in what answers there") as refused:
        yield
    assert not any(token in str(refused.value) for token in TOKENS.values())


async def test_a_client_tells_nothing_to_who_has_another_certificate(door: Door, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for ca in (made(tmp_path / "other").certificate, None):
        client = RemoteClient(Remote(door.url, door.files.token_file("admin"), ca))
        with no_trust():
            await client.snapshot()
        await client.close()
    named = RemoteClient(Remote(f"https://localhost:{door.port}", None, door.files.certificate))
    with no_trust():
        await named.snapshot()  # the certificate is for 127.0.0.1
    await named.close()


async def test_a_redirection_is_not_followed_with_the_token(door: Door) -> None:
    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {door.url}/v1/snapshot\r\nContent-Length: 0\r\n\r\n".encode())

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(door.files.certificate, door.files.key)
    async with await asyncio.start_server(elsewhere, "127.0.0.1", 0, ssl=tls) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = RemoteClient(Remote(url, door.files.token_file("admin"), door.files.certificate))
        with pytest.raises(PointsmanError, match="another version"):
            await client.snapshot()
        await client.close()


# --- how much one client can take -------------------------------------------------------------------------------------


async def test_who_asks_too_much_is_told_to_wait_and_nobody_else_is(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_RATE", 0.001)
    monkeypatch.setattr(listener, "_BURST", 5)
    assert [(await door.ask("GET", "/v1/snapshot", "Bearer wrong"))[0] for _ in range(7)] == [401] * 5 + [429] * 2
    status, refusal, headers = await door.ask("GET", "/healthz")
    assert (status, int(headers["Retry-After"]) > 0) == (429, True), "strangers of one address are one caller"
    assert "too many requests" in refusal["error"]
    statuses = [(await door.ask("GET", "/v1/snapshot", bearer("read")))[0] for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2, "who has a token is not held back by who guesses at one"
    assert (await door.ask("GET", "/v1/snapshot", bearer("admin")))[0] == 200


async def test_connections_are_bounded_and_the_idlest_makes_room(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_PER_NETWORK", 3)
    async with door.client("read") as client:
        stream = client.stream()
        await anext(stream)  # it keeps its place
        first, second, third = [await door.connect() for _ in range(3)]
        assert await first[0].read() == b"", "closed, as the third had no room"
        for _, writer in (second, third):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await second[0].readline()
        assert b"200" in await third[0].readline()
        door.engine.updates.put_nowait(await door.engine.stream().__anext__())
        await anext(stream)
        for _, writer in (first, second, third):
            writer.close()


async def test_a_connection_whose_request_never_comes_whole_is_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_IDLE", 0.2)
    monkeypatch.setattr(listener, "_LOOK", 0.05)
    monkeypatch.setattr(listener, "_HANDSHAKE", 0.2)
    silent = await asyncio.open_connection("127.0.0.1", door.port)
    idle, trickling = await door.connect(), await door.connect()
    trickling[1].write(b"GET /v1/snapshot HTTP/1.1\r\nX-A: ")
    for reader, writer in (silent, idle, trickling):
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
    assert (await door.ask("GET", "/healthz"))[0] == 200


async def test_a_body_that_does_not_come_or_is_too_long_is_refused(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.control.handlers._BODY", 0.2)
    head = f"POST /v1/freeze HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer('admin')}\r\n".encode()
    for length, status in (
        (b"Content-Length: 100\r\n\r\n{", b"408"),
        (b"Content-Length: 70000\r\n\r\n" + b" " * 70000, b"413"),
    ):
        reader, writer = await door.connect()
        writer.write(head + length)
        assert status in await asyncio.wait_for(reader.readline(), 30)
        writer.close()
    assert door.engine.orders == []


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_no_token_is_ever_logged_or_told(
    door: Door, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [
        repr(door.server),
        repr(access.read(door.files.control)),
        repr(Remote(door.url, door.files.token_file("admin"))),
    ]
    for role in TOKENS:
        said.append(str((await door.ask("POST", "/v1/reload", bearer(role) + "x"))[1]))
        said.append(str((await door.ask("POST", "/v1/reload", bearer(role)))[1]))
        said.append(str((await door.ask("DANCE", f"/v1/{role}", bearer(role)))[1]))
        for broken in (
            b"GET / HTTP/1.1\r\nAuthorization " + bearer(role).encode() + b"\r\n\r\n",
            b"GET / HTTP/9\r\nAuthorization: " + bearer(role).encode() + b"\r\n\r\n",
            bearer(role).encode() + b"\r\n\r\n",
            b"POST /v1/freeze HTTP/1.1\r\nAuthorization: " + bearer(role).encode() + b"\r\nContent-Length: x\r\n\r\n",
        ):
            reader, writer = await door.connect()
            writer.write(broken)
            writer.write_eof() if writer.can_write_eof() else None
            await asyncio.wait_for(reader.read(300), 30)
            writer.close()
    told = caplog.text + capsys.readouterr().out + "".join(said)
    assert "control_token_refused" in told
    assert not [role for role, token in TOKENS.items() if token in told]


async def test_tokens_that_were_taken_away_end_with_their_streams(door: Door) -> None:
    async with door.client("read") as client:
        stream = client.stream()
        await anext(stream)
        door.files.tokens.write_text("read new-one 0123456789abcdef\n")
        await door.server.admit(access.read(door.files.control))
        with pytest.raises(NotRunning, match="the tokens were read again"):
            while True:
                await anext(stream)
        with pytest.raises(CommandRefused, match="wrong or missing token"):
            await client.snapshot()
        with pytest.raises(NotRunning, match="gives no stream: Unauthorized"):
            await anext(client.stream())
    assert (await door.ask("GET", "/v1/snapshot", "Bearer 0123456789abcdef"))[0] == 200


async def test_the_end_ends_every_connection(door: Door) -> None:
    async with door.client("read") as client:
        stream = client.stream()
        await anext(stream)
        silent, idle = await asyncio.open_connection("127.0.0.1", door.port), await door.connect()
        async with asyncio.timeout(10):
            await door.server.stop()
            for reader, writer in (idle, silent):
                assert await reader.read() == b""
                writer.close()
            with pytest.raises(NotRunning):
                await anext(stream)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", door.port)


async def test_a_busy_port_is_one_line_and_leaves_no_socket(door: Door, tmp_path: Path) -> None:
    control = door.files.control.model_copy(update={"tcp": f"127.0.0.1:{door.port}"})
    socket = tmp_path / "other.sock"
    server = ControlServer(ScriptedEngine(), socket, lambda: True, access=access.read(control))
    with pytest.raises(StartError, match=f"control.tcp 127.0.0.1:{door.port}: .*in use"):
        await server.start()
    assert not socket.exists()
