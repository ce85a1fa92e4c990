"""The control API's server: HTTP and JSON on a Unix socket of this user alone, and over TLS with tokens where asked.

Owns the socket file, who may ask, and how errors look; what is answered is :mod:`core.control.handlers`.
Started and stopped by the composition root on the engine's loop. Must not import the engine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket as sockets
import stat
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from math import ceil
from pathlib import Path

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from core.control.access import Access
from core.control.client import ControlClient
from core.control.handlers import CALLER, Handler, Handlers, Record, allow, answer
from core.control.listener import Listener, Pace, network
from core.control.roles import Caller, Role
from core.control.routes import ROUTES, STREAMS, Refusal
from core.errors import CommandRefused, NotRunning, PointsmanError, StartError

_LARGEST_BODY = 64 * 1024  # octets
_DEADLINE = 10.0  # seconds for the engine to answer
_STOP = 0.5  # seconds for those who are being answered when the server stops
_STOP_ALL = 0.6  # seconds in all
_LOOK = 2.0  # seconds between looks whether the socket is still there
_LINGER = 1.0  # seconds for what is left of a body that nobody wants
_log = structlog.get_logger()


class ControlServer:
    """Serves any control client. ``ready`` tells whether the process can be relied on (``/readyz``); ``access`` is the way in
    over TCP, if there is to be one; ``record`` gives what comes into the engine, for those who record it."""

    def __init__(
        self,
        client: ControlClient,
        socket: Path,
        ready: Callable[[], bool],
        *,
        version: str = "",
        access: Access | None = None,
        record: Record | None = None,
    ) -> None:
        self._socket = socket
        self._inode = 0
        self._access = access
        self._pace = Pace()
        self._handlers = Handlers(client, ready, version, record)
        app = web.Application(middlewares=[self._guard], client_max_size=_LARGEST_BODY)
        handlers = self._handlers.by_name()
        self._roles = {
            app.router.add_route(route.method, route.path, handlers[route.name]): route.role for route in ROUTES
        }
        self._runner = web.AppRunner(
            app, access_log=None, logger=_http_log(), shutdown_timeout=_STOP, lingering_time=_LINGER
        )
        self._listener: Listener | None = None

    @property
    def addresses(self) -> list[object]:
        """Where it listens: the socket's path, and (address, port) for TCP."""
        return [*self._runner.addresses, *([self._listener.address] if self._listener else [])]

    async def admit(self, access: Access | None) -> None:
        """Other tokens and another certificate, from now on; streams that a token opened begin anew. Where to listen is read
        at the start alone."""
        if self._listener and access:
            self._access, self._listener.tls = access, access.tls
            await self._handlers.stop_streams(b"the tokens were read again", of_tokens=True)

    async def start(self) -> None:
        """Listen. Raises :class:`StartError`: the socket is in use or cannot be made, the port is busy."""
        await self._runner.setup()
        try:
            await self._start_socket()
            if self._access:
                assert self._runner.server
                self._listener = Listener(self._access.address, self._access.tls, self._runner.server)
                self._listener.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every connection within :data:`_STOP_ALL` seconds, and remove the socket."""
        if self._is_there():
            with suppress(OSError):
                self._socket.unlink()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_ALL):
                await self._handlers.stop_streams()
                if self._listener:
                    await self._listener.stop()
                await self._runner.cleanup()

    async def keep(self) -> None:
        """Until cancelled: a socket that somebody has removed, with its directory or alone, is made again."""
        while True:
            await asyncio.sleep(_LOOK)
            if not self._is_there():
                with suppress(StartError):  # tried again
                    await self._start_socket()
                    _log.warning("control_socket_made_again", socket=str(self._socket))

    def _is_there(self) -> bool:
        try:
            return self._socket.lstat().st_ino == self._inode
        except OSError:
            return False

    async def _start_socket(self) -> None:
        listener, self._inode = _listen(self._socket)
        await web.SockSite(self._runner, listener).start()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who may ask, how long it may take, and one JSON form for every error."""
        with self._listener.serving(request.protocol) if self._listener else nullcontext():
            try:
                request[CALLER] = self._caller(request)
                response: Awaitable[web.StreamResponse] = handler(request)
                if request.path in STREAMS:
                    return await response
                async with asyncio.timeout(_DEADLINE):
                    return await response
            except Exception as error:
                refused = _refusal(error)
                if refused.status == 500:
                    _log.exception("control_request_failed", path=request.path)
                return refused

    def _caller(self, request: web.Request) -> Caller:
        """Who asks, whose role covers what is asked for. What is wrong is told apart only to those who have a token."""
        asked_on = request.get_extra_info("socket")
        if asked_on is not None and asked_on.family == sockets.AF_UNIX:
            return Caller(Role.ADMIN)
        role = self._roles.get(request.match_info.route, Role.READ)
        known = self._access and self._access.tokens.caller(request.headers.get("Authorization", ""))
        caller = known or Caller(Role.READ, "")
        peer = request.remote or "0.0.0.0"  # noqa: S104 - nobody: the connection has gone
        if wait := self._pace.wait(network(peer), caller.token, asyncio.get_running_loop().time()):
            raise web.HTTPTooManyRequests(
                text="too many requests; ask less often", headers={"Retry-After": str(ceil(wait))}
            )
        if role is not None:
            if not known:
                if "Authorization" in request.headers:
                    _log.warning("control_token_refused", address=peer, path=request.path)
                raise web.HTTPUnauthorized(text="wrong or missing token", headers={"WWW-Authenticate": "Bearer"})
            allow(caller, role)
        return caller


def _http_log() -> logging.Logger:
    """aiohttp's, without requests that are none: it would log what was sent, a token in it, each time that a stranger likes."""
    log = logging.getLogger("pointsman.http")
    log.addFilter(_not_of_broken_requests)
    return log


def _not_of_broken_requests(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _refusal(error: Exception) -> web.Response:
    match error:
        case web.HTTPException():
            response = answer(Refusal(error.text or error.reason), error.status)
            for name in {"Allow", "Retry-After", "WWW-Authenticate"} & error.headers.keys():
                response.headers[name] = error.headers[name]
            return response
        case CommandRefused():
            refusal, status = Refusal(error.reason, error.revision), 409
        case msgspec.ValidationError():
            refusal, status = Refusal(str(error)), 400
        case msgspec.DecodeError():
            refusal, status = Refusal(f"the body is not JSON: {error}"), 400
        case NotRunning():
            refusal, status = Refusal(str(error)), 503
        case TimeoutError():
            refusal, status = Refusal(f"the engine did not answer within {_DEADLINE:.0f} s"), 504
        case PointsmanError():
            refusal, status = Refusal(str(error)), 500
        case _:
            refusal, status = Refusal(f"a defect of pointsman: {type(error).__name__}; see its log"), 500
    return answer(refusal, status)


def _listen(path: Path) -> tuple[sockets.socket, int]:
    """A listening socket that only this user can reach, and its inode. A dead process's socket makes way."""
    listener = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(path)
        before = os.umask(0o177)  # the mode must be right from the first instant on
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(128)
        listener.setblocking(False)
        return listener, path.lstat().st_ino
    except BaseException as error:
        listener.close()
        if isinstance(error, OSError):
            raise StartError(
                f"control socket {path}: cannot be made ({error.strerror or error}); choose another control.socket"
            ) from error
        raise


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StartError(
                f"control socket {path}: there is a file of that name that is not a socket; remove it, or choose another control.socket"
            )
        with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink()
        return
    except OSError as error:
        raise StartError(f"control socket {path}: in use, or not to be tried ({error.strerror or error})") from error
    raise StartError(
        f"control socket {path}: another pointsman answers there; use `pointsman attach`, or another control.socket"
    )
