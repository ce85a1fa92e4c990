"""The confirmation over HTTP and HTTPS: one held connection to the router, asked by address (spec S11).

A protocol of its own instead of an HTTP client: ten questions a second to each of hundreds of routers, exact round
trips, a status that counts as soon as the head is read, and a connection whose end is noticed while nothing is asked.
Called by :mod:`core.probes.confirm`.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Sequence
from typing import cast

from core.probes.confirm.response import ResponseReader
from core.probes.rounds import Answer, HeldTarget, NoAnswer


@functools.cache
def tls(verify: bool) -> ssl.SSLContext:
    """One context for all routers: reading the certificate store takes 20 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Connection(asyncio.Protocol):
    """One connection. ``lost`` is set when it ends while nothing was asked, and no "Connection: close" had said so."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.usable = True
        self._reader = ResponseReader()
        self._waiter: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's classes

    @property
    def asked(self) -> bool:
        """Whether an answer is waited for."""
        return self._waiter is not None and not self._waiter.done()

    async def exchange(self, request: bytes) -> int:
        """The status code of the answer. ConnectionError: it ended before one came; NoAnswer: what came is not HTTP."""
        if not self._reader.complete and self._reader.status:
            raise ConnectionAbortedError  # the rest of the last response has not come in a whole interval
        self._reader.next()
        self._waiter = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        waiter = self._waiter if self.asked else None
        if waiter is None and (reader.complete or not reader.status):
            self.lost.set()  # words that answer nothing, as a 408 before the end
            self.abort()
            return
        try:
            reader.feed(data)
        except ValueError as error:
            if waiter:
                waiter.set_exception(NoAnswer(str(error)))
            self.abort()
            return
        if waiter and reader.status:
            waiter.set_result(reader.status)
        if (reader.status and not reader.reusable) or (reader.complete and not reader.idle):
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiter and self.asked:
            self._waiter.set_exception(ConnectionResetError())
        elif self.usable:
            self.lost.set()
        self.usable = False

    def abort(self) -> None:
        """End it from this side, without waiting for the other."""
        self.usable = False
        if self._transport:
            self._transport.abort()


class HttpTarget(HeldTarget):
    """``statuses`` are the ranges that are well. ``name`` is the Host header and the SNI; it is never resolved."""

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        *,
        name: str,
        statuses: Sequence[range],
        context: ssl.SSLContext | None,
    ) -> None:
        self._host, self._port, self._name, self._context = host, port, name, context
        self._statuses = tuple(statuses)
        self._request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: pointsman\r\nAccept: */*\r\n\r\n".encode(
            "ascii"
        )
        self._connection: _Connection | None = None

    @property
    def held(self) -> bool:
        return self._connection is not None and self._connection.usable

    async def open(self) -> None:
        server_name = self._name.strip("[]") if self._context else None
        _, self._connection = await asyncio.get_running_loop().create_connection(
            _Connection, self._host, self._port, ssl=self._context, server_hostname=server_name
        )

    async def query(self) -> Answer:
        assert self._connection is not None
        status = await self._connection.exchange(self._request)
        return Answer(any(status in statuses for statuses in self._statuses), f"status {status}")

    async def until_lost(self) -> None:
        # A connection that was closed on purpose never sets its event.
        await (self._connection.lost.wait() if self._connection else super().until_lost())

    def close(self) -> None:
        if self._connection:
            self._connection.abort()
            self._connection = None
