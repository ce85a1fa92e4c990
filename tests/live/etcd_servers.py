"""Real etcd for the tests, a cluster of one or three, and wires to it that can be cut. Each member in a directory of its own, on free ports."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import threading
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import require
from tests.live.app_program import eventually
from tests.live.name_servers import free_ports


@dataclass
class Member:
    """One that runs. ``more`` are flags beside the usual ones."""

    name: str
    directory: Path
    port: int
    peer_port: int
    cluster: str
    more: Sequence[str] = ()
    scheme: str = "http"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        peer = f"http://127.0.0.1:{self.peer_port}"
        flags = {
            "name": self.name,
            "data-dir": str(self.directory),
            "listen-client-urls": self.endpoint,
            "advertise-client-urls": self.endpoint,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": self.cluster,
            "log-level": "warn",
            "logger": "zap",
        }
        words = [require("etcd"), *(word for name, value in flags.items() for word in (f"--{name}", value)), *self.more]
        with self.directory.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It hangs: connections are there, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def ask(self, call: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(f"{self.endpoint}/v3/{call}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def keys(self, prefix: str = "/") -> list[str]:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        body = {"key": b64encode(prefix.encode()).decode(), "range_end": b64encode(end.encode()).decode()}
        return [b64decode(each["key"]).decode() for each in self.ask("kv/range", body).get("kvs", ())]

    def has(self, key: str) -> bool:
        with suppress(OSError):
            return key in self.keys()
        return False

    def put(self, key: str, value: str) -> None:
        self.ask("kv/put", {"key": b64encode(key.encode()).decode(), "value": b64encode(value.encode()).decode()})

    def value(self, key: str) -> str:
        [found] = self.ask("kv/range", {"key": b64encode(key.encode()).decode()})["kvs"]
        return b64decode(found["value"]).decode()

    @property
    def leads(self) -> bool:
        told = self.ask("maintenance/status", {})
        return bool(told.get("leader") == told["header"]["member_id"])

    def answers(self) -> bool:
        with suppress(OSError, ValueError):
            return bool(self.keys() or True)
        return False


@contextmanager
def etcd(
    directory: Path, count: int = 1, more: Sequence[str] = (), *, kind: type[Member] = Member, scheme: str = "http"
) -> Iterator[list[Member]]:
    """A cluster that answers."""
    ports = free_ports(2 * count)
    names = [f"e{number}" for number in range(count)]
    peers = dict(zip(names, ports[count:], strict=True))
    cluster = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in peers.items())
    members = [
        kind(name, directory / name, port, peers[name], cluster, more, scheme)
        for name, port in zip(names, ports[:count], strict=True)
    ]
    with ExitStack() as stack:
        for member in members:
            member.start()
            stack.callback(member.kill)
        for member in members:
            eventually(member.answers)
        yield members


class Wire:
    """A TCP forwarder to one place, on a thread of its own. Cut, nothing comes through and nobody is told, as when packets are
    dropped; what was held back is lost."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._whole = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(5)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        """Connections from before are reset: what they carried is gone."""

        def mend() -> None:
            for writer in self._writers:
                writer.close()
            self._whole.set()

        self._loop.call_soon_threadsafe(mend)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._whole.set()
        ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            await self._whole.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers |= {writer, back}
            try:
                await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
            finally:
                self._writers -= {writer, back}
                writer.close()
                back.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self._whole.is_set():
                await self._whole.wait()
                return
            writer.write(data)
            await writer.drain()
        writer.close()


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    found = Wire(port)
    try:
        yield found
    finally:
        found.close()
