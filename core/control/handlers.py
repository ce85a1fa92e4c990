"""What each route of the control API does: reads the request, asks the control client, answers JSON.

Called by :mod:`core.control.server`, which turns the errors raised here into answers. Must not import the engine.
"""

from __future__ import annotations

import asyncio
import pwd
import socket as sockets
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Meta

from core.control.client import ControlClient
from core.control.openapi import document
from core.control.roles import Caller, Role, needed
from core.control.routes import LARGEST_ID, AnswersQuery, EventsQuery, OrderBody, OrdersBody, Ready, Said, StreamQuery
from core.errors import CommandRefused, PointsmanError
from core.model import Action, Order
from core.outline import outline
from core.snapshot import Snapshot, Update

_STREAMS = 64
_SLOW = 5.0  # seconds for a stream's reader to take a message
_BODY = 5.0  # seconds for a body to come in
CALLER = web.RequestKey("caller", Caller)
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = structlog.get_logger()
T = TypeVar("T", bound=msgspec.Struct)
Record = Callable[[], AsyncIterator[bytes]]


def answer(value: object, status: int = 200) -> web.Response:
    """The value as JSON."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


class _Reader:
    """Of one stream: whose clusters it wants whole, and the newest snapshot, for when that changes."""

    def __init__(self, whole: frozenset[str] | None) -> None:
        self.whole = whole
        self.newest: Snapshot | None = None

    def text(self, update: Update) -> bytes:
        self.newest = update.snapshot or self.newest
        if update.snapshot is not None:
            update = replace(update, snapshot=outline(update.snapshot, self.whole))
        return msgspec.json.encode(update)


class Handlers:
    """The operations of one server, by the names that the routes give them."""

    def __init__(self, client: ControlClient, ready: Callable[[], bool], version: str, record: Record | None) -> None:
        self._client = client
        self._tape = record
        self._ready = ready
        self._version = version
        self._streams: dict[web.WebSocketResponse, Caller] = {}
        self._events: Counter[str] = Counter()
        self._counted = 0
        self._counting = asyncio.Lock()

    def by_name(self) -> dict[str, Handler]:
        """Every handler."""
        return {
            "snapshot": self._snapshot,
            "events": self._history,
            "past": self._past,
            "stream": self._stream,
            "record": self._record,
            **{action: partial(self._order_one, Action(action)) for action in ("drain", "erase", "restore")},
            **{action: partial(self._order_all, Action(action)) for action in ("freeze", "thaw")},
            "orders": self._orders,
            "preview": self._preview,
            "reload": self._reload,
            "answers": self._answers,
            "caller": self._caller,
            "openapi": self._openapi,
            "metrics": self._metrics,
            "healthz": self._healthz,
            "readyz": self._readyz,
        }

    async def stop_streams(self, why: bytes = b"pointsman stops", *, of_tokens: bool = False) -> None:
        """Tell every reader of the stream, or those who have theirs by a token, that it ends."""
        readers = [ws for ws, caller in self._streams.items() if caller.token or not of_tokens]
        closing = (ws.close(code=WSCloseCode.GOING_AWAY, message=why) for ws in readers)
        await asyncio.gather(*closing, return_exceptions=True)

    # --- reading --------------------------------------------------------------------------------------------------

    async def _snapshot(self, _: web.Request) -> web.Response:
        return answer(await self._client.snapshot())

    async def _history(self, request: web.Request) -> web.Response:
        query = _query(request, EventsQuery)
        return answer(await self._client.events(**msgspec.structs.asdict(query)))

    async def _past(self, request: web.Request) -> web.Response:
        event = msgspec.convert(request.match_info["event"], Annotated[int, Meta(ge=1, le=LARGEST_ID)], strict=False)
        try:
            return answer(await self._client.past(event))
        except CommandRefused as error:
            raise web.HTTPNotFound(text=error.reason) from error

    async def _answers(self, request: web.Request) -> web.Response:
        query = _query(request, AnswersQuery)
        without = tuple(filter(None, query.without.split(",")))
        _known(await self._client.snapshot(), without)
        try:
            view = await self._client.answers(request.match_info["domain"], query.type.upper(), without)
        except CommandRefused as error:
            raise web.HTTPNotFound(text=error.reason) from error
        if view.rcode == "REFUSED":
            raise web.HTTPNotFound(text=f"{view.name} lies in no zone of this server: DNS answers REFUSED")
        return answer(view)

    async def _caller(self, request: web.Request) -> web.Response:
        return answer(request[CALLER])

    async def _openapi(self, _: web.Request) -> web.Response:
        return answer(document(self._version))

    async def _healthz(self, _: web.Request) -> web.Response:
        return answer(Said("alive"))

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._ready()
        return answer(Ready(ready), 200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        from core.control import metrics  # noqa: PLC0415  # only who is scraped pays for the import

        snapshot = await self._client.snapshot()
        async with self._counting:
            since = 0.0 if self._counted else snapshot.started_at
            for event in await self._client.events(since=since, after=self._counted, limit=100_000):
                self._events[event.name] += 1
                self._counted = max(self._counted, event.id)
            counted = self._events.copy()
        body = await asyncio.to_thread(metrics.render, snapshot, counted)  # of thousands of nodes it takes seconds
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    # --- the stream -----------------------------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        reader = _Reader(_query(request, StreamQuery).whole)
        async with self._opened(request) as ws, asyncio.TaskGroup() as group:
            sending = group.create_task(self._send(ws, self._updates(reader), request.transport))
            async for message in ws:  # ends when either side closes
                if message.type is not WSMsgType.TEXT:
                    break
                try:
                    reader.whole = msgspec.json.decode(message.data, type=StreamQuery).whole
                except msgspec.DecodeError as error:
                    await ws.close(code=WSCloseCode.POLICY_VIOLATION, message=str(error).encode()[:120])
                    break
                if reader.newest is not None:
                    with suppress(ConnectionError):
                        await ws.send_frame(reader.text(Update(reader.newest)), WSMsgType.TEXT)
            sending.cancel()
        return ws

    async def _record(self, request: web.Request) -> web.StreamResponse:
        if self._tape is None:
            raise web.HTTPServiceUnavailable(text="there is nothing to record here")
        async with self._opened(request) as ws, asyncio.TaskGroup() as group:
            sending = group.create_task(self._send(ws, self._tape(), request.transport))
            await ws.receive()  # nothing is to be said: it is the end
            sending.cancel()
        return ws

    @asynccontextmanager
    async def _opened(self, request: web.Request) -> AsyncIterator[web.WebSocketResponse]:
        if len(self._streams) >= _STREAMS:
            raise web.HTTPServiceUnavailable(text=f"{_STREAMS} streams are open already")
        ws = web.WebSocketResponse(heartbeat=20.0, timeout=1.0, max_msg_size=1024, compress=False)
        self._streams[ws] = request[CALLER]
        try:
            await ws.prepare(request)
            yield ws
        finally:
            del self._streams[ws]

    async def _updates(self, reader: _Reader) -> AsyncIterator[bytes]:
        updates = self._client.stream()
        try:
            async for update in updates:
                yield reader.text(update)
        finally:
            if (close := getattr(updates, "aclose", None)) is not None:  # generators have it, other iterators may not
                await close()

    async def _send(
        self, ws: web.WebSocketResponse, texts: AsyncIterator[bytes], transport: asyncio.Transport | None
    ) -> None:
        """A reader that does not keep up is dropped: it starts anew, and nothing piles up here."""
        reason = "the engine ended the stream"
        try:
            async for text in texts:
                try:
                    async with asyncio.timeout(_SLOW):
                        await ws.send_frame(text, WSMsgType.TEXT)
                except (TimeoutError, ConnectionError):
                    if transport is not None:
                        transport.abort()
                    return
        except PointsmanError as error:
            reason = str(error)
        except Exception as error:
            _log.exception("control_stream_failed")
            reason = f"a defect of pointsman: {type(error).__name__}"
        finally:
            if (close := getattr(texts, "aclose", None)) is not None:
                await close()
        await ws.close(code=WSCloseCode.INTERNAL_ERROR, message=reason.encode()[:120])

    # --- orders ---------------------------------------------------------------------------------------------------

    async def _order_one(self, action: Action, request: web.Request) -> web.Response:
        body = await _body(request, OrderBody)
        return await self._give(request, await self._order(request, body, action, (request.match_info["name"],)))

    async def _order_all(self, action: Action, request: web.Request) -> web.Response:
        body = await _body(request, OrderBody)
        return await self._give(request, await self._order(request, body, action, ()))

    async def _orders(self, request: web.Request) -> web.Response:
        body = await _body(request, OrdersBody)
        return await self._give(request, await self._order(request, body, body.action, body.clusters))

    async def _give(self, request: web.Request, order: Order) -> web.Response:
        allow(request[CALLER], needed(order.action, force=order.force))
        return answer(await self._client.order(order))

    async def _preview(self, request: web.Request) -> web.Response:
        body = await _body(request, OrdersBody)
        return answer(await self._client.preview(await self._order(request, body, body.action, body.clusters)))

    async def _reload(self, _: web.Request) -> web.Response:
        return answer(Said(await self._client.reload()))

    async def _order(self, request: web.Request, body: OrderBody, action: Action, clusters: tuple[str, ...]) -> Order:
        if bool(clusters) is (action in {Action.FREEZE, Action.THAW}):
            raise msgspec.ValidationError(f"{action} names {'no' if clusters else 'the'} clusters - at `$.clusters`")
        snapshot = await self._client.snapshot()
        _known(snapshot, clusters)
        order = body.order(action, clusters, await _peer(request), snapshot.at)
        caller = request[CALLER]
        return replace(order, who=f"{order.who} (token {caller.token})") if caller.token else order


def allow(caller: Caller, role: Role) -> None:
    """Raises HTTPForbidden when the caller's role does not cover this one."""
    if not caller.role.covers(role):
        raise web.HTTPForbidden(text=f"the token {caller.token!r} has the role {caller.role}, and this needs {role}")


def _known(snapshot: Snapshot, clusters: tuple[str, ...]) -> None:
    names = [cluster.name for cluster in snapshot.clusters]
    for unknown in set(clusters).difference(names):
        raise web.HTTPNotFound(text=f"there is no cluster {unknown!r}; there are: {', '.join(names)}")


def _query(request: web.Request, shape: type[T]) -> T:
    return msgspec.convert(dict(request.query), shape, strict=False)


async def _body(request: web.Request, shape: type[T]) -> T:
    try:
        async with asyncio.timeout(_BODY):
            octets = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body did not come in within {_BODY:.0f} s") from None
    return msgspec.json.decode(octets or b"{}", type=shape)


async def _peer(request: web.Request) -> str:
    """Who asks: the user behind the Unix socket, as the kernel tells; over TCP the address."""
    if request[CALLER].token:
        return str(request.remote)
    peer: Any = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None:
        return "somebody who has gone"
    credentials = peer.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(credentials)
    try:
        return (await asyncio.to_thread(pwd.getpwuid, uid)).pw_name  # may ask a directory over the network
    except KeyError:
        return f"uid {uid}"
