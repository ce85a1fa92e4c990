"""What the tests of the whole program share: pointsman and its commands as processes, asked as operators and clients ask."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import TypeVar

import dns.message
import dns.query

from core.control.client import ControlClient
from core.control.remote import RemoteClient
from core.model import Action, Order
from core.settings.load import load
from core.snapshot import ClusterView, Snapshot

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
STARTS_WITHIN = 30.0
ENDS_WITHIN = 6.0
"""Seconds from the signal to the end: three times what the project promises, for a machine that is busy with other tests."""
CONFIG = """
[dns]
listen = ["127.0.0.1:0"]
[store]
directory = "state"
[control]
socket = "control.sock"
[[cluster]]
name = "a"
addresses = ["192.0.2.1"]
[[cluster]]
name = "b"
addresses = ["192.0.2.2"]
[[app]]
domain = "svc1.net."
clusters = ["a", "b"]
"""
"""Clusters that nothing checks: what is there to fail is pointsman itself."""


def written(directory: Path, text: str = CONFIG) -> Path:
    config = directory / "config.toml"
    config.write_text(text)
    return config


def environment(directory: Path, more: Mapping[str, str] = {}) -> dict[str, str]:
    """Nothing of the machine's own pointsman, and a home of the test's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POINTSMAN_", "XDG_", "SUDO_"))}
    return {**kept, "HOME": str(directory), "XDG_RUNTIME_DIR": str(directory), "PYTHONPATH": str(ROOT), **more}


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """What was said, as the one line that a failure is to be."""
        assert self.out == "", self.out
        assert self.err.startswith("pointsman: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err


def pointsman(directory: Path, *words: str, under: Sequence[str] = (), **env: str) -> Done:
    """Run a command to its end, in ``directory`` and without a terminal; ``under`` is what it is called through."""
    done = subprocess.run(
        [*under, sys.executable, "-m", "core.cli", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(directory, env),
        cwd=directory,
    )
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


class Program:
    """A pointsman that runs: ``words`` are those of a command that serves."""

    def __init__(self, directory: Path, socket: Path, *words: str, under: Sequence[str] = (), **env: str) -> None:
        self.directory, self.socket = directory, socket
        self.log = directory / "stderr"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*under, sys.executable, "-m", "core.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(directory, env),
                cwd=directory,
            )
        assert self.process.stdout is not None
        try:
            heard, _, _ = select.select([self.process.stdout], [], [], STARTS_WITHIN)
            assert heard, "not ready in time"
            assert self.process.stdout.readline() == b"ready\n", self.said()
            [(_, self.port), *_] = [place.rsplit(":", 1) for place in self.snapshot().listen]
        except BaseException:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            raise

    def said(self) -> str:
        return self.log.read_text()

    def ask(self, question: Callable[[ControlClient], Awaitable[T]]) -> T:
        async def asking() -> T:
            client = RemoteClient(self.socket)
            try:
                return await question(client)
            finally:
                await client.close()

        return asyncio.run(asking())

    def snapshot(self) -> Snapshot:
        return self.ask(lambda client: client.snapshot())

    def cluster(self, name: str) -> ClusterView:
        return next(view for view in self.snapshot().clusters if view.name == name)

    def order(self, action: Action, *clusters: str, why: str = "", force: bool = True) -> None:
        self.ask(lambda client: client.order(Order(action, clusters, "alice", why, force=force)))

    def answer(self, name: str = "svc1.net.", qtype: str = "A") -> dns.message.Message:
        return dns.query.udp(dns.message.make_query(name, qtype), "127.0.0.1", port=int(self.port), timeout=5)

    def addresses(self, name: str = "svc1.net.") -> set[str]:
        return {str(record) for rrset in self.answer(name).answer for record in rrset}

    def command(self, *words: str) -> Done:
        return pointsman(self.directory, *words, "--socket", str(self.socket))

    def end(self, number: int = SIGTERM) -> float:
        """Seconds it took to end, which it must do without complaint."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(30)
        took = time.monotonic() - began
        assert self.process.stdout is not None
        rest = self.process.stdout.read()
        assert (code, rest) == (0, b""), self.said()
        assert "Traceback" not in self.said(), self.said()
        return took

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def program(config: Path, *words: str, under: Sequence[str] = (), **env: str) -> Iterator[Program]:
    """``run --headless`` on a settings file, killed at the end if it still runs."""
    socket = load(config, environ=env).control_socket
    found = Program(config.parent, socket, "run", "--headless", "--config", str(config), *words, under=under, **env)
    try:
        yield found
    finally:
        found.close()


def eventually(condition: Callable[[], object], within: float = 15.0) -> None:
    """Wait until it holds; the assertion fails when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
