"""The socket form of the control client: HTTP and JSON over the Unix socket of a running process, or over TLS.

Used by the commands and by an attached console; each client belongs to the event loop it is first used on.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from core.control import access
from core.control.client import Place, Remote
from core.control.roles import Caller
from core.control.routes import Refusal, Said
from core.errors import CommandRefused, NotRunning, PointsmanError
from core.model import Event, Order, OrderResult
from core.snapshot import AnswerView, Preview, Snapshot, Update

_DEADLINE = aiohttp.ClientTimeout(total=15.0, sock_connect=3.0)
_QUIET = 10.0  # seconds; the stream speaks at least twice a second
_LARGEST_MESSAGE = 64 << 20  # octets
T = TypeVar("T")


class RemoteClient:
    """A :class:`core.control.client.ControlClient` of the process behind ``place``. Raises ConfigError when a file that it
    names cannot be read."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._headers: dict[str, str] = {}
        if isinstance(place, Remote):
            self._tls = access.trusting(place.ca_file)
            if place.token_file:
                self._headers = {"Authorization": f"Bearer {access.one_token(place.token_file)}"}
        self._opened: aiohttp.ClientSession | None = None
        self._looked_at: frozenset[str] | None = None
        self._streams: set[aiohttp.ClientWebSocketResponse] = set()

    async def caller(self) -> Caller:
        """Who we are to it."""
        return await self._ask("GET", "/v1/caller", Caller)

    async def snapshot(self) -> Snapshot:
        return await self._ask("GET", "/v1/snapshot", Snapshot)

    async def events(
        self,
        *,
        since: float = 0.0,
        after: int = 0,
        before: int = 0,
        cluster: str = "",
        name: str = "",
        limit: int = 500,
    ) -> list[Event]:
        query = {"since": repr(since), "after": str(after), "before": str(before)}
        query |= {"cluster": cluster, "name": name, "limit": str(limit)}
        return await self._ask("GET", "/v1/events", list[Event], query)

    async def past(self, event: int) -> Snapshot:
        return await self._ask("GET", f"/v1/past/{event}", Snapshot)

    async def preview(self, order: Order) -> Preview:
        return await self._ask("POST", "/v1/preview", Preview, body=_body(order))

    async def order(self, order: Order) -> OrderResult:
        """Carry out an order. One with a key is sent once more when the connection breaks; it is carried out once."""
        try:
            return await self._ask("POST", *_place(order))
        except NotRunning:
            if not order.key:
                raise
        return await self._ask("POST", *_place(order))

    async def answers(self, name: str, qtype: str = "A", without: tuple[str, ...] = ()) -> AnswerView:
        query = {"type": qtype, "without": ",".join(without)}
        return await self._ask("GET", f"/v1/answers/{quote(name, safe='')}", AnswerView, query)

    async def reload(self) -> str:
        return (await self._ask("POST", "/v1/reload", Said)).said

    async def metrics(self) -> str:
        """The text that Prometheus reads."""
        return (await self._read("GET", "/metrics")).decode()

    async def look_at(self, clusters: frozenset[str] | None) -> None:
        self._looked_at = clusters
        for ws in tuple(self._streams):
            with suppress(ConnectionError):  # the stream itself tells that it has ended
                await ws.send_str(msgspec.json.encode(self._look()).decode())

    def _look(self) -> dict[str, str]:
        return {} if self._looked_at is None else {"clusters": ",".join(sorted(self._looked_at))}

    async def stream(self) -> AsyncIterator[Update]:
        try:
            async with self._session.ws_connect(
                "/v1/stream",
                params=self._look(),
                max_msg_size=_LARGEST_MESSAGE,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            ) as ws:
                self._streams.add(ws)
                try:
                    while (message := await ws.receive(timeout=_QUIET)).type is aiohttp.WSMsgType.TEXT:
                        yield msgspec.json.decode(message.data, type=Update)
                finally:
                    self._streams.discard(ws)
                reason = f"the stream ended: {message.extra or 'the connection was closed'}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._not_running(error) from error
        except msgspec.DecodeError as error:
            raise _other_version(error) from error
        raise NotRunning(reason)

    async def record(self) -> AsyncIterator[str]:
        """What comes into the engine from now on, as JSON lines, some at a time (:mod:`core.recording.lines`)."""
        try:
            async with self._session.ws_connect("/v1/record", max_msg_size=_LARGEST_MESSAGE) as ws:
                while (message := await ws.receive(timeout=_QUIET)).type is aiohttp.WSMsgType.TEXT:
                    yield message.data
                reason = message.extra
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._not_running(error) from error
        raise NotRunning(f"the recording ended: {reason or 'pointsman has closed the connection'}")

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            url: str = "http://pointsman"
            connector: aiohttp.BaseConnector
            if isinstance(self._place, Remote):
                url, connector = self._place.url, aiohttp.TCPConnector(ssl=self._tls)
            else:
                connector = aiohttp.UnixConnector(str(self._place))
            self._opened = aiohttp.ClientSession(url, connector=connector, headers=self._headers, timeout=_DEADLINE)
        return self._opened

    async def _ask(
        self, method: str, path: str, shape: type[T], query: Mapping[str, str] | None = None, body: object = None
    ) -> T:
        text = await self._read(method, path, query, body)
        try:
            return msgspec.json.decode(text, type=shape)
        except msgspec.DecodeError as error:
            raise _other_version(error) from error

    async def _read(self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._session.request(method, path, params=query, data=data, allow_redirects=False) as response:
                text = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._not_running(error) from error
        if response.status < 400:
            return text
        try:
            refusal = msgspec.json.decode(text, type=Refusal)
        except msgspec.DecodeError as error:
            raise _other_version(error) from error
        if response.status < 500:
            raise CommandRefused(refusal.error, refusal.revision)
        raise (NotRunning if response.status in {503, 504} else PointsmanError)(refusal.error)

    def _not_running(self, error: Exception) -> NotRunning:
        match error:
            case TimeoutError():
                return NotRunning(f"the pointsman behind {self._place} does not answer in time")
            case aiohttp.ClientSSLError():
                why = getattr(error, "certificate_error", None) or error
                return NotRunning(f"{self._place}: no trust in what answers there ({why}); remote.ca_file names its CA")
            case aiohttp.WSServerHandshakeError():
                return NotRunning(f"{self._place} gives no stream: {HTTPStatus(error.status).phrase}")
            case OSError(errno=errno.EACCES):
                return NotRunning(f"{self._place} belongs to another user; ask as that user, or with sudo")
        if isinstance(self._place, Remote):
            return NotRunning(f"no pointsman answers on {self._place} ({error}); is control.tcp set there?")
        return NotRunning(
            f"no pointsman answers on {self._place}; start one with `pointsman run` or `pointsman demo`,"
            " or say where it is with --socket"
        )


def _place(order: Order) -> tuple[str, type[OrderResult], None, dict[str, Any]]:
    return "/v1/orders", OrderResult, None, _body(order)


def _body(order: Order) -> dict[str, Any]:
    return {
        "action": order.action,
        "clusters": order.clusters,
        "who": order.who,
        "why": order.why,
        "until": order.until,
        "expected": dict(order.expected),
        "key": order.key,
        "force": order.force,
    }


def _other_version(error: Exception) -> PointsmanError:
    return PointsmanError(f"the running pointsman speaks another version of the control API ({error})")
