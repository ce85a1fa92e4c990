"""The confirmation over HTTP and HTTPS: one held connection to the router, asked by address (spec S11).

A protocol of its own instead of an HTTP client: ten questions a second to each of hundreds of routers, exact round
trips, a status that counts as soon as the head is read, and a connection whose end is noticed while nothing is asked.
A question that waits for long is asked once more over a new connection, and the first answer counts: a lost packet holds up
the connection that it was lost on, and no other. Called by :mod:`core.probes.confirm`.
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

    def settle(self, status: int | Exception) -> None:
        """Somebody else knows what it would have answered."""
        if self._waiter and not self._waiter.done():
            if isinstance(status, Exception):
                self._waiter.set_exception(status)
            else:
                self._waiter.set_result(status)

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
        if self.asked:
            self.settle(ConnectionResetError())
        elif self.usable:
            self.lost.set()
        self.usable = False

    def abort(self) -> None:
        """End it from this side, without waiting for the other."""
        self.usable = False
        if self._transport:
            self._transport.abort()


class HttpTarget(HeldTarget):
    """``statuses`` are the ranges that are well. ``name`` is the Host header and the SNI; it is never resolved. ``again``: seconds
    without an answer until the question is asked once more."""

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        *,
        name: str,
        statuses: Sequence[range],
        context: ssl.SSLContext | None,
        again: float,
    ) -> None:
        self._host, self._port, self._name, self._context = host, port, name, context
        self._statuses, self._again = tuple(statuses), again
        self._second: asyncio.Task[None] | None = None
        self._request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: pointsman\r\nAccept: */*\r\n\r\n".encode(
            "ascii"
        )
        self._connection: _Connection | None = None

    @property
    def held(self) -> bool:
        return self._connection is not None and self._connection.usable

    @property
    def asked_twice(self) -> bool:
        return self._second is not None

    async def open(self) -> None:
        self._connection = await self._opened()

    async def query(self) -> Answer:
        connection = self._connection
        assert connection is not None
        timer = asyncio.get_running_loop().call_later(self._again, self._ask_again, connection)
        try:
            status = await connection.exchange(self._request)
        except Exception:
            self._forget_second()
            raise
        finally:
            timer.cancel()
        self._forget_second()
        return Answer(any(status in statuses for statuses in self._statuses), f"status {status}")

    async def _opened(self) -> _Connection:
        server_name = self._name.strip("[]") if self._context else None
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, self._host, self._port, ssl=self._context, server_hostname=server_name
        )
        return connection

    def _ask_again(self, first: _Connection) -> None:
        self._second = asyncio.get_running_loop().create_task(self._answer_instead(first), name="confirm again")

    async def _answer_instead(self, first: _Connection) -> None:
        """The same question over a connection of its own, which is held from now on when it is answered first."""
        connection = None
        try:
            connection = await self._opened()
            status = await connection.exchange(self._request)
            first.settle(status)
            self._connection, connection = connection, None
        except ConnectionError as error:  # whoever asked tries once more, and tells what it means
            first.settle(error)
        except Exception:
            return  # no answer: the first may have one yet
        finally:
            if connection:
                connection.abort()
        first.abort()  # what it may answer yet is no answer to the next question

    def _forget_second(self) -> None:
        if self._second:
            self._second.cancel()
            self._second = None

    async def until_lost(self) -> None:
        # A connection that was closed on purpose never sets its event.
        await (self._connection.lost.wait() if self._connection else super().until_lost())

    def close(self) -> None:
        self._forget_second()
        if self._connection:
            self._connection.abort()
            self._connection = None
