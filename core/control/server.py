"""The control API's server: HTTP and JSON on a Unix socket of this user alone, and on TCP with a token where asked.

Owns the socket file, who may ask, and how errors look; what is answered is :mod:`core.control.handlers`.
Started and stopped by the composition root on the engine's loop. Must not import the engine.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import socket as sockets
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

from core.control.client import ControlClient
from core.control.handlers import Handler, Handlers, answer
from core.control.routes import OPEN, ROUTES, Refusal
from core.errors import CommandRefused, NotRunning, PointsmanError, StartError

_LARGEST_BODY = 64 * 1024  # octets
_DEADLINE = 10.0  # seconds for the engine to answer
_STOP = 0.5  # seconds for those who are being answered when the server stops
_STOP_ALL = 0.6  # seconds in all
_LOOK = 2.0  # seconds between looks whether the socket is still there
_log = structlog.get_logger()


class ControlServer:
    """Serves any control client. ``ready`` tells whether the process can be relied on (``/readyz``).

    ``tcp`` is ADDRESS:PORT or [IPv6]:PORT, and needs ``token_file``.
    """

    def __init__(
        self,
        client: ControlClient,
        socket: Path,
        ready: Callable[[], bool],
        *,
        version: str = "",
        tcp: str = "",
        token_file: Path | None = None,
    ) -> None:
        self._socket = socket
        self._inode = 0
        self._tcp = tcp
        self._token_file = token_file
        self._token = b""
        self._handlers = Handlers(client, ready, version)
        app = web.Application(middlewares=[self._guard], client_max_size=_LARGEST_BODY)
        handlers = self._handlers.by_name()
        for route in ROUTES:
            app.router.add_route(route.method, route.path, handlers[route.name])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP)

    @property
    def addresses(self) -> list[object]:
        """Where it listens: the socket's path, and (address, port) for TCP."""
        return self._runner.addresses

    async def start(self) -> None:
        """Listen. Raises :class:`StartError`: the socket is in use or cannot be made, the port is busy, no token."""
        if self._tcp:
            self._token = _token(self._token_file)
        await self._runner.setup()
        try:
            await self._start_socket()
            if self._tcp:
                await self._start_tcp()
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

    async def _start_tcp(self) -> None:
        host, _, port = self._tcp.rpartition(":")
        try:
            await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise StartError(f"control.tcp {self._tcp}: {reason}; choose another in control.tcp") from error

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who may ask, how long it may take, and one JSON form for every error."""
        try:
            self._authorise(request)
            response: Awaitable[web.StreamResponse] = handler(request)
            if request.path == "/v1/stream":
                return await response
            async with asyncio.timeout(_DEADLINE):
                return await response
        except Exception as error:
            refused = _refusal(error)
            if refused.status == 500:
                _log.exception("control_request_failed", path=request.path)
            return refused

    def _authorise(self, request: web.Request) -> None:
        transport = request.transport
        asked_on = transport.get_extra_info("socket") if transport else None
        if request.path in OPEN or (asked_on is not None and asked_on.family == sockets.AF_UNIX):
            return
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            raise web.HTTPUnauthorized(text="wrong or missing token", headers={"WWW-Authenticate": "Bearer"})


def _refusal(error: Exception) -> web.Response:
    match error:
        case web.HTTPException():
            response = answer(Refusal(error.text or error.reason), error.status)
            for name in {"Allow", "WWW-Authenticate"} & error.headers.keys():
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


def _token(file: Path | None) -> bytes:
    if file is None:
        raise StartError("control.tcp needs control.token_file")
    try:
        token = file.read_bytes().strip()
    except OSError as error:
        raise StartError(f"control.token_file {file}: {error.strerror}") from error
    if len(token) < 16:
        raise StartError(f"control.token_file {file}: a token has 16 characters or more")
    return token
