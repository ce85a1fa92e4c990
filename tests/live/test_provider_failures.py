"""A provider that is down, slow, wrong or refuses: it is said, and nothing of it is read as "there is nothing" (spec S33)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from aiohttp import web

from core.errors import ConfigError
from core.hands.hand import HandError
from core.hands.provider.hand import provider
from core.settings import Provider as Settings
from tests.live.name_servers import free_ports, new_key
from tests.live.stand_ins import name_server
from tests.live.test_providers import ZONE, target

pytestmark = pytest.mark.live
Seen = list[dns.message.Message]


def says(rcode: dns.rcode.Rcode, *, authority: bool = True, updates: Seen | None = None) -> Callable[..., Any]:
    """A server that answers every question like this; ``updates`` keeps those that came all the same."""

    def behave(query: dns.message.Message) -> dns.message.Message:
        if query.opcode() == dns.opcode.UPDATE and updates is not None:
            updates.append(query)
        reply = dns.message.make_response(query)
        reply.set_rcode(rcode)
        if authority:
            reply.flags |= dns.flags.AA
        return reply

    return behave


async def attempt(**settings: Any) -> str:
    """What the hand says, which must not be that it is done."""
    hand = provider(Settings(**{"name": "theirs", "zone": ZONE, "timeout": 0.3, **settings}))
    try:
        with pytest.raises(HandError) as raised:
            await hand.carry_out(target(1, 1))
    finally:
        await hand.close()
    return str(raised.value)


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (says(dns.rcode.SERVFAIL), "answers SERVFAIL"),
        (says(dns.rcode.REFUSED), "answers REFUSED"),
        (says(dns.rcode.NXDOMAIN, authority=False), "is no authority"),
        (lambda query: None, "does not answer"),
    ],
)
async def test_what_cannot_be_read_is_never_taken_for_empty(behave: Callable[..., Any], said: str) -> None:
    updates: Seen = []

    def spy(query: dns.message.Message) -> Any:
        if query.opcode() == dns.opcode.UPDATE:
            updates.append(query)
        return behave(query)

    async with name_server(spy) as port:
        assert said in await attempt(server=f"127.0.0.1:{port}")
    assert updates == []


@pytest.mark.parametrize(
    ("rcode", "said"),
    [
        (dns.rcode.REFUSED, "answered REFUSED to the update"),
        (dns.rcode.NOTAUTH, "answered NOTAUTH to the update"),
        (dns.rcode.YXRRSET, "changed by somebody else meanwhile"),
        (None, "has not answered the update"),
    ],
)
async def test_an_update_that_is_refused_or_lost_is_told(rcode: dns.rcode.Rcode | None, said: str) -> None:
    def behave(query: dns.message.Message) -> Any:
        if query.opcode() != dns.opcode.UPDATE:
            return says(dns.rcode.NXDOMAIN)(query)
        return None if rcode is None else says(rcode)(query)

    async with name_server(behave) as port:
        assert said in await attempt(server=f"127.0.0.1:{port}")


async def test_one_that_says_done_and_answers_as_before_has_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.hands.asking.until.__defaults__", (0.2,))

    def lies(query: dns.message.Message) -> Any:
        return says(dns.rcode.NOERROR if query.opcode() == dns.opcode.UPDATE else dns.rcode.NXDOMAIN)(query)

    async with name_server(lies) as port:
        assert "does not answer 192.0.2.1, 2001:db8::1" in await attempt(server=f"127.0.0.1:{port}")


async def test_a_key_that_the_server_does_not_know_is_told(tmp_path: Path) -> None:
    mine, _ = new_key(tmp_path, "mine")

    def behave(query: dns.message.Message) -> Any:
        return says(dns.rcode.NXDOMAIN if query.opcode() == dns.opcode.QUERY else dns.rcode.NOTAUTH)(query)

    async with name_server(behave) as port:
        said = await attempt(server=f"127.0.0.1:{port}", tsig=str(mine))
        assert "update" in said


@pytest.mark.parametrize("answer", [500, 401, 404, "garbage", "hang", "redirect"])
async def test_an_api_that_fails_is_told_and_nothing_is_written(answer: object, tmp_path: Path) -> None:
    written: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        if request.method != "GET":
            written.append(request.method)
        if answer == "hang":
            await asyncio.sleep(60)
        if answer == "redirect":
            raise web.HTTPFound("/elsewhere")
        return web.Response(status=200, text="{") if answer == "garbage" else web.Response(status=int(str(answer)))

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        api_key = tmp_path / "key"
        api_key.write_text("k")
        port = runner.addresses[0][1]
        settings = {"kind": "powerdns", "url": f"http://127.0.0.1:{port}", "api_key_file": str(api_key)}
        said = await attempt(server="127.0.0.1:1", **settings)
    finally:
        await runner.cleanup()
    assert said.startswith("the API")
    assert written == []


async def test_one_that_is_down_is_told(tmp_path: Path) -> None:
    dead = free_ports(1)[0]
    assert "does not answer" in await attempt(server=f"127.0.0.1:{dead}")
    api_key = tmp_path / "key"
    with pytest.raises(ConfigError, match="the API key cannot be read"):
        await attempt(server="127.0.0.1:1", kind="powerdns", url="http://127.0.0.1:1", api_key_file=str(api_key))
    api_key.write_text("k")
    said = await attempt(
        server="127.0.0.1:1", kind="powerdns", url=f"http://127.0.0.1:{dead}", api_key_file=str(api_key)
    )
    assert "Connect call failed" in said or "Cannot connect" in said
