"""Those who are told: a webhook over HTTP, a command of the operator's. I/O.

A receiver is harmless to ask again: each delivery is whole, and carries the event's id.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Hashable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from core.alerts.message import Format, message, wanted
from core.errors import ConfigError
from core.model import Event
from core.settings import Settings
from core.settings.alerts import Command, Webhook

COMMAND_AT_ONCE = 4
"""How many runs of one command there may be at a time."""
_LONGEST_WAIT = 300.0  # seconds that a receiver may ask us to wait


class Undelivered(Exception):
    """It was not taken. ``final``: it never will be; ``after``: seconds that the receiver wants us to wait."""

    def __init__(self, said: str, *, final: bool = False, after: float = 0.0) -> None:
        super().__init__(said)
        self.final = final
        self.after = after


class Receiver(Protocol):
    """``name`` is shown, and holds no secret; ``at_once`` deliveries may be under way together; the same ``settings`` mean
    the same receiver."""

    name: str
    settings: Hashable
    at_once: int

    def wants(self, event: Event) -> bool: ...

    async def deliver(self, event: Event) -> None:
        """Raises Undelivered, OSError or TimeoutError; ends by a deadline of its own."""
        ...

    async def close(self) -> None: ...


def receivers(settings: Settings) -> tuple[Receiver, ...]:
    """Everyone who is told. Raises ConfigError for a file that cannot be read."""
    alerts = settings.alerts
    installation = settings.console.installation or socket.gethostname()
    return (
        *(HttpReceiver(webhook, installation) for webhook in alerts.webhook),
        *(CommandReceiver(command, installation) for command in alerts.command),
    )


class HttpReceiver:
    """Posts each event; one at a time, in their order."""

    at_once = 1

    def __init__(self, webhook: Webhook, installation: str) -> None:
        self.settings: Hashable = webhook
        self._url = URL(webhook.url or _read(webhook.url_file))
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ConfigError(f"{webhook.url_file}: holds no URL: write https://… on one line")
        self._secret = webhook.secret.get_secret_value() or (_read(webhook.secret_file) if webhook.secret_file else "")
        self._format: Format = webhook.format
        self._events = frozenset(webhook.events)
        self._timeout = webhook.timeout
        self._installation = installation
        self._session: aiohttp.ClientSession | None = None
        self.name = f"{self._format} at {urlsplit(str(self._url)).netloc.rpartition('@')[2]}"  # paths may be secret

    def wants(self, event: Event) -> bool:
        return wanted(event, self._events, self._format)

    async def deliver(self, event: Event) -> None:
        sent = message(event, self._format, self._installation, self._secret)
        url = self._url
        if sent.path and not url.path.endswith(sent.path):
            url = url.with_path(url.path.rstrip("/") + sent.path)
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))
        try:
            async with self._session.post(url, data=sent.body, headers=sent.headers, allow_redirects=False) as answer:
                if answer.status >= 300:
                    raise self._undelivered(answer)
        except aiohttp.ClientError as error:
            raise Undelivered(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    @staticmethod
    def _undelivered(answer: aiohttp.ClientResponse) -> Undelivered:
        later = answer.headers.get("Retry-After", "")
        after = min(float(later), _LONGEST_WAIT) if later.isascii() and later.isdigit() else 0.0
        final = answer.status < 500 and answer.status not in (408, 425, 429)
        return Undelivered(f"HTTP {answer.status}", final=final, after=after)


class CommandReceiver:
    """Runs a program for each event, which it reads as JSON on its standard input. No shell is in between."""

    at_once = COMMAND_AT_ONCE

    def __init__(self, command: Command, installation: str) -> None:
        self.settings: Hashable = command
        self._run: Sequence[str] = command.run
        self._events = frozenset(command.events)
        self._timeout = command.timeout
        self._installation = installation
        self.name = f"command {Path(command.run[0]).name}"

    def wants(self, event: Event) -> bool:
        return event.name in self._events

    async def deliver(self, event: Event) -> None:
        text = message(event, "json", self._installation, "").body + b"\n"
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("POINTSMAN_")}
        nowhere = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *self._run,
            stdin=asyncio.subprocess.PIPE,
            stdout=nowhere,
            stderr=nowhere,
            env=environment | {"POINTSMAN_EVENT": event.name},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._timeout):
                with suppress(RuntimeError):  # uvloop, where the program has ended before it read a word
                    await process.communicate(text)
                await process.wait()
        finally:
            if process.returncode is None:  # what it started goes with it
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            raise Undelivered(f"exit code {process.returncode}")

    async def close(self) -> None:
        """Nothing is held open."""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
