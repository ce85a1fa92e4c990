"""A real OpenSSH server on a loopback port, and what the live tests of the probes look at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from core.clock import Clock
from core.model import CheckId, Evidence, Kind, Result, Silence, SourceId, SourceStatus, Verdict
from core.probes.check import Check, Judgement, Output, Sentinel
from core.probes.session import Session
from core.probes.ssh import Ssh, Target
from core.probes.transport import Transport
from core.probes.turns import Turns
from core.settings import Detection
from core.settings import Ssh as SshSettings

SOURCE = SourceId("tokyo", "node1")
WATCH = CheckId(SOURCE, Kind.WATCH)
_Kind = TypeVar("_Kind", Evidence, Silence)


def need_sshd() -> str:
    path = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        reason = "no OpenSSH server is installed (Debian: openssh-server)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@dataclass
class Sshd:
    """One server with keys of its own. Every process it starts carries ``mark`` in its environment."""

    directory: Path
    port: int
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls, directory: Path) -> Sshd:
        for name in ("host", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
        (directory / "home").mkdir()
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            server = cls(directory, sock.getsockname()[1])
        server.allow()
        server.trust((directory / "host.pub").read_text())
        return server

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def allow(self, options: str = "") -> None:
        (self.directory / "authorized_keys").write_text(f"{options} {(self.directory / 'id.pub').read_text()}".lstrip())

    def force(self, script: str) -> None:
        """Only this shell script runs for our key, whatever is asked for."""
        path = self.directory / "only"
        executable(path, script)
        self.allow(f'command="{path}"')

    def trust(self, key: str) -> None:
        (self.directory / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}" if key else "")

    def start(self, *options: str, path: str = "") -> None:
        config = self.directory / "sshd_config"
        environment = f"SetEnv MARK={self.mark} HOME={self.home} TMPDIR={self.home}" + (f" PATH={path}" if path else "")
        lines = (
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.directory}/host",
            f"AuthorizedKeysFile {self.directory}/authorized_keys",
            "PidFile none",
            "UsePAM no",
            "PasswordAuthentication no",
            "StrictModes no",
            environment,
            *options,
        )
        config.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen([need_sshd(), "-D", "-e", "-f", str(config)], stderr=log)
        log.close()
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self.process.poll() is not None:
                break
            signal.sigtimedwait((), 0.05)
        pytest.fail(f"sshd did not start: {(self.directory / 'log').read_text()}")

    def sessions(self) -> list[int]:
        """The server's own processes that serve connections."""
        assert self.process is not None
        found, parents = [], {self.process.pid}
        for pid, parent, name in sorted(_processes()):
            if parent in parents and name.startswith("sshd"):
                found.append(pid)
                parents.add(pid)
        return found

    def processes(self) -> list[str]:
        """What runs on the "node": every living process below the server's sessions, found by its environment."""
        return marked(self.mark)

    def stop(self) -> None:
        if self.process is None:
            return
        left = [int(line.split()[0]) for line in self.processes()]  # a forced command cannot be ended over SSH
        for pid in [*self.sessions(), self.process.pid, *left]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def settings(self, **changes: object) -> SshSettings:
        values: dict[str, object] = {
            "keys": (str(self.directory / "id"),),
            "known_hosts": str(self.directory / "known_hosts"),
            "backoff": 0.05,
            "backoff_limit": 0.2,
        }
        return SshSettings.model_validate(values | changes)

    @property
    def target(self) -> Target:
        return Target.parse(f"127.0.0.1:{self.port}", os.environ.get("USER") or subprocess.getoutput("id -un"))


def marked(mark: str) -> list[str]:
    """Every living process with ``mark`` in its environment: its number and its command."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"MARK={mark}".encode() in (entry / "environ").read_bytes():
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found.append(f"{entry.name} {command}")
    return found


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _processes() -> Iterator[tuple[int, int, str]]:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            head, _, tail = (entry / "stat").read_text().rpartition(")")
            yield int(entry.name), int(tail.split()[1]), head.partition("(")[2]


@dataclass
class Command:
    """A check of a test: well when its command ends with 0, its sentinels the numbers on lines that begin with "pid"."""

    command: str
    name: str = "check"
    kind: Kind = Kind.COMMAND
    interval: float = 30.0
    timeout: float = 20.0
    events: str = ""

    @property
    def id(self) -> CheckId:
        return CheckId(SOURCE, self.kind, self.name)

    def judge(self, output: Output) -> Sequence[Judgement]:
        verdict = Verdict.OK if output.exit_code == 0 else Verdict.FAIL
        return [Judgement(self.id, verdict, (output.stdout + output.stderr).strip()[:300])]

    def pids_command(self, output: Output) -> str:
        return ""

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]:
        lines = [line.split() for line in output.stdout.splitlines()]
        return tuple(Sentinel(int(line[1]), "process") for line in lines if line[:1] == ["pid"])


class Seen:
    """A sink that keeps everything and lets a test wait for it."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.statuses: list[SourceStatus] = []
        self.beats = 0
        self._news = asyncio.Event()

    def result(self, result: Result) -> None:
        self.results.append(result)
        self._news.set()

    def heard(self, source: SourceId, at: float) -> None:
        self.beats += 1
        self._news.set()

    def status(self, status: SourceStatus) -> None:
        self.statuses.append(status)
        self._news.set()

    async def until(self, happened: Callable[[], bool], within: float = 40.0) -> None:
        async with asyncio.timeout(within):
            while not happened():
                self._news.clear()
                await self._news.wait()

    async def beating(self, count: int = 5) -> None:
        wanted = self.beats + count
        await self.until(lambda: self.beats >= wanted)

    async def evidence(self, check: CheckId = WATCH, number: int = 1) -> Evidence:
        await self.until(lambda: len(self.of(check, Evidence)) >= number)
        return self.of(check, Evidence)[number - 1]

    async def silence(self, check: CheckId = WATCH, number: int = 1) -> Silence:
        await self.until(lambda: len(self.of(check, Silence)) >= number)
        return self.of(check, Silence)[number - 1]

    def of(self, check: CheckId, kind: type[_Kind]) -> list[_Kind]:
        return [r for r in self.results if isinstance(r, kind) and r.check == check]


@contextlib.asynccontextmanager
async def watching(
    connect: Callable[[], Awaitable[Transport]], *checks: Check, ssh: SshSettings, **detection: object
) -> AsyncIterator[Seen]:
    """A session under way, and what it says."""
    seen = Seen()
    session = Session(
        SOURCE,
        checks,
        connect,
        detection=Detection.model_validate(detection),
        ssh=ssh,
        sink=seen,
        clock=Clock(),
        random=Random(1),
        turns=Turns(),
        first_round=asyncio.Event(),
    )
    task = asyncio.create_task(session.run())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait((task,))


@contextlib.asynccontextmanager
async def over_ssh(
    server: Sshd, *checks: Check, ssh: dict[str, object] | None = None, **detection: object
) -> AsyncIterator[Seen]:
    """The same over a server of this module."""
    settings = server.settings(**(ssh or {}))
    hub = Ssh(settings)

    async def connect() -> Transport:
        return await hub.connect(server.target)

    async with watching(connect, *checks, ssh=settings, **detection) as seen:
        yield seen
    await hub.close()


async def eventually(happened: Callable[[], bool], within: float = 30.0) -> bool:
    """Whether it happened in time, for what tells nobody."""
    async with asyncio.timeout(within + 5):
        for _ in range(int(within / 0.05)):
            if happened():
                return True
            await asyncio.sleep(0.05)
    return False
