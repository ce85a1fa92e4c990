"""Alerts to real HTTP servers and real programs, also to such that fail (spec S36)."""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.alerts import alerts as module
from core.alerts.alerts import Alerts
from core.alerts.receivers import receivers
from core.clock import Clock
from core.errors import ConfigError
from core.model import Event, EventName
from core.settings import Alerts as AlertSettings
from core.settings import Settings

pytestmark = pytest.mark.live


class Receiver:
    """An HTTP server that takes what it gets; ``answers`` are what it does first: a status, or "hang"."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0

    async def __aenter__(self) -> Receiver:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        self.seen.append((request.path, dict(request.headers), await request.read()))
        does = self.answers.pop(0) if self.answers else 200
        if does == "hang":
            await asyncio.sleep(60)
        assert isinstance(does, int)
        return web.Response(status=does, headers={"Location": "/elsewhere"} if does == 302 else {})


def event(name: EventName = EventName.ADDRESS_ERASED, number: int = 1) -> Event:
    return Event(name, Clock().now(), "tokyo", "svc1.net.", "internal_anomaly", "tokyo-1: gone", id=number)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def told(**alerts: Any) -> AsyncIterator[Alerts]:
    settings = Settings(alerts=AlertSettings(**alerts))
    found = Alerts(receivers(settings), settings.alerts, Clock(), lambda: 1.0)
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF", 0.01)


async def test_a_webhook_is_posted_signed_and_repeated_until_it_is_taken(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    async with Receiver(500, 429, 302, 200) as server:
        webhook = {
            "url": f"http://127.0.0.1:{server.port}/in",
            "secret_file": str(secret),
            "events": ["address_erased"],
        }
        async with told(webhook=[webhook]) as alerts:
            alerts.take(event(EventName.FAULT_SEEN))
            alerts.take(event())
            await until(lambda: len(server.seen) == 3)
            await until(lambda: "HTTP 302; 0 wait, 1 dropped" in "".join(alerts.trouble))  # a redirect is not followed
            alerts.take(event(number=2))
            await until(lambda: alerts.trouble == ())
    assert [json.loads(body)["id"] for _, _, body in server.seen] == [1, 1, 1, 2]
    _, headers, body = server.seen[0]
    at, digest = (part.partition("=")[2] for part in headers["X-Pointsman-Signature"].split(","))
    assert digest == hmac.new(b"s3cret", at.encode() + b"." + body, "sha256").hexdigest()
    assert headers["X-Pointsman-Event"] == "1"


async def test_a_receiver_that_hangs_or_is_down_delays_no_other() -> None:
    async with Receiver(*["hang"] * 100) as stuck, Receiver() as well:
        webhooks = [
            {"url": f"http://127.0.0.1:{stuck.port}/", "timeout": 0.05},
            {"url": "http://127.0.0.1:1/"},
            {"url": f"http://127.0.0.1:{well.port}/"},
        ]
        async with told(webhook=webhooks) as alerts:
            for number in range(1, 21):
                alerts.take(event(number=number))
            await until(lambda: len(well.seen) == 20)
            await until(lambda: len(alerts.trouble) == 2 and len(stuck.seen) > 1)
            assert all("wait" in line for line in alerts.trouble)


async def test_alertmanager_is_asked_at_its_path_with_its_token_and_told_of_the_end() -> None:
    async with Receiver() as server:
        webhook = {"url": f"http://127.0.0.1:{server.port}/am/", "format": "alertmanager", "secret": "token"}
        async with told(webhook=[webhook]) as alerts:
            alerts.take(event())
            alerts.take(event(EventName.ADDRESS_RESTORED))
            await until(lambda: len(server.seen) == 2)
    assert {path for path, _, _ in server.seen} == {"/am/api/v2/alerts"}
    assert server.seen[0][1]["Authorization"] == "Bearer token"
    begun, ended = (json.loads(body)[0] for _, _, body in server.seen)
    assert begun["labels"] == ended["labels"]


def script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "hook.py"
    path.write_text(text)
    return [sys.executable, str(path), str(tmp_path / "out")]


async def test_a_command_reads_the_event_on_its_input_and_sees_no_secret_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_CONTROL__TOKEN_FILE", "/secret")
    run = script(
        tmp_path,
        "import json, os, sys\n"
        "names = sorted(name for name in os.environ if name.startswith('POINTSMAN'))\n"
        "open(sys.argv[1], 'a').write(json.dumps([json.load(sys.stdin), names]) + '\\n')\n",
    )
    async with told(command=[{"run": run}]) as alerts:
        alerts.take(event())
        out = tmp_path / "out"
        await until(lambda: out.exists() and out.read_text().endswith("\n"))
        assert alerts.trouble == ()
    read, names = json.loads(out.read_text())
    assert read["name"] == "address_erased"
    assert names == ["POINTSMAN_EVENT"]


async def test_a_command_that_hangs_is_killed_with_what_it_started_and_run_again(tmp_path: Path) -> None:
    run = script(
        tmp_path,
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open(sys.argv[1], 'a').write(f'{child.pid}\\n')\n"
        "time.sleep(600)\n",
    )
    out = tmp_path / "out"
    async with told(command=[{"run": run, "timeout": 0.4}]) as alerts:
        alerts.take(event())
        await until(lambda: out.exists() and out.read_text().count("\n") >= 2)
        assert "no answer in time" in alerts.trouble[0]
        first = int(out.read_text().split()[0])
        await until(lambda: not _runs(first))
    await until(lambda: not any(_runs(int(pid)) for pid in out.read_text().split()))


async def test_a_command_that_fails_or_is_not_there_is_told(tmp_path: Path) -> None:
    commands = [{"run": ["false"]}, {"run": [str(tmp_path / "none")]}]
    async with told(command=commands) as alerts:
        alerts.take(event())
        await until(lambda: len(alerts.trouble) == 2)
        assert "exit code 1" in alerts.trouble[0]
        assert "No such file" in alerts.trouble[1]


def test_a_file_that_cannot_be_read_or_holds_no_url_is_an_error_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("not a url")
    for webhook in ({"url_file": str(file)}, {"url_file": str(tmp_path / "none")}):
        with pytest.raises(ConfigError, match=str(tmp_path)):
            receivers(Settings(alerts=AlertSettings(webhook=(webhook,))))


def _runs(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
