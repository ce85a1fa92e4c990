"""A real HAProxy with backends of its own, for tests and benches: pods are frontends of the same process that return their name.

Frontend ``web`` balances over the pods of backend ``svc1.net``; each pod ``default/NAME`` is server ``default.NAME`` and answers
its name. The runtime API is a Unix socket.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.routers.runtime_api import RuntimeApi
from core.settings import Cluster, Settings
from tests.conftest import require


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Haproxy:
    """One process. ``extra`` are lines of the backend, ``inside`` of the global section; ``elsewhere`` gives pods that
    other processes serve."""

    def __init__(
        self,
        directory: Path,
        pods: Sequence[str] = ("web-0", "web-1"),
        *,
        extra: str = "",
        inside: str = "",
        level: str = "admin",
        elsewhere: dict[str, int] | None = None,
    ) -> None:
        self.program = require("haproxy")
        self.socket = directory / "haproxy.sock"
        self.port = free_port()
        self.pods = {pod: (elsewhere or {}).get(pod) or free_port() for pod in pods}
        self._config = directory / "haproxy.cfg"
        self._config.write_text(self._text(extra, inside, level, elsewhere or {}))
        self._process: subprocess.Popen[bytes] | None = None
        self.api = RuntimeApi(str(self.socket))

    def _text(self, extra: str, inside: str, level: str, elsewhere: dict[str, int]) -> str:
        pods = "".join(
            f"frontend {pod}\n  bind 127.0.0.1:{port}\n  http-request return status 200 content-type text/plain string {pod}\n"
            for pod, port in self.pods.items()
            if pod not in elsewhere
        )
        servers = "".join(f"  server default.{pod} 127.0.0.1:{port} weight 100\n" for pod, port in self.pods.items())
        return (
            f"global\n  stats socket {self.socket} mode 600 level {level}\n  {inside}\n"
            "defaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  timeout server 30s\n"
            f"frontend web\n  bind 127.0.0.1:{self.port}\n  default_backend svc1.net\n"
            f"{pods}backend svc1.net\n  balance roundrobin\n  {extra}\n{servers}"
        )

    async def start(self) -> None:
        self._process = subprocess.Popen(
            [self.program, "-db", "-q", "-f", str(self._config)], stderr=subprocess.DEVNULL
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    await self.api.ask(["show info"])
                except OSError:
                    await asyncio.sleep(0.01)
                else:
                    return

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.socket.unlink(missing_ok=True)

    def pause(self) -> None:
        """It answers nothing any more, as one that hangs."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    async def weights(self) -> dict[str, int]:
        """What the pods have, read with HAProxy's own words."""
        (text,) = await self.api.ask(["show servers state svc1.net"])
        rows = [line.split() for line in text.splitlines()[2:]]
        return {row[3].removeprefix("default."): int(row[7]) for row in rows}

    def start_now(self) -> None:
        """The same as :meth:`start` where no loop runs; so are the next two."""
        asyncio.run(self.start())

    def weights_now(self) -> dict[str, int]:
        return asyncio.run(self.weights())

    def is_open(self) -> bool:
        """Whether it lets a new client in."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    async def ask(self) -> str:
        """What a new client gets: the pod's name, a status that is not 200, or why it was not let in."""
        client = Client(self.port)
        try:
            return await client.ask()
        except ConnectionError as error:
            return type(error).__name__
        finally:
            await client.close()


class Client:
    """One client that keeps its connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str = "/") -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: svc1.net\r\n\r\n".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        except asyncio.IncompleteReadError as error:
            await self.close()
            raise ConnectionResetError("closed") from error
        length = int(head.partition("content-length:")[2].split()[0])
        body = (await reader.readexactly(length)).decode()
        if "connection: close" in head:
            await self.close()
        status = head.split()[1]
        return body.strip() if status == "200" else status

    async def close(self) -> None:
        if self._streams:
            (_, writer), self._streams = self._streams, None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def cluster(haproxy: Haproxy, **router: object) -> tuple[Settings, Cluster]:
    """Settings with this HAProxy as the router of cluster tokyo."""
    told = {"kind": "haproxy", "address": str(haproxy.socket), "frontends": ["web"], **router}
    settings = Settings(
        app=[{"domain": "svc1.net.", "clusters": ["tokyo"], "pods": ["default/web-*"]}],
        cluster=[{"name": "tokyo", "addresses": ["192.0.2.1"], "router": told}],
    )
    return settings, settings.cluster[0]
