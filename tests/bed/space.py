"""The namespaces of one bed: how a command gets into them, and how a program is left running there."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bed.keeper import sweep
from tests.bed.shell import BASE, BedError, call, wait_until

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
ROOT = Path(__file__).parents[2]


class Space:
    """``directory`` holds everything of this bed. Network namespaces inside have names; "" is the bed's own, in which
    pointsman runs, and which has no way out."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = directory.name
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def up(self) -> bool:
        return self.pid != 0 and Path(f"/proc/{self.pid}").exists()

    @property
    def pid(self) -> int:
        """The bed's first process, as this machine counts."""
        try:
            return int((self.directory / "pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def open(self, *, stay: bool) -> None:
        """Starts the keeper. ``stay``: until :meth:`close`; otherwise no longer than this process."""
        self.directory.mkdir(parents=True)
        log = self.directory / "keeper.log"
        command = [sys.executable, "-m", "tests.bed.keeper", str(self.directory)]
        # A pipe that nobody writes to: it closes when its last holder ends. To stay, the keeper holds both ends itself.
        theirs, ours = os.pipe()
        with log.open("wb") as errors:
            self._keeper = subprocess.Popen(
                command, cwd=ROOT, stdin=theirs, stdout=errors, stderr=errors, start_new_session=True,
                pass_fds=[ours] if stay else [],
            )  # fmt: skip
        os.close(theirs)
        (self.directory / "keeper").write_text(str(self._keeper.pid))
        if stay:
            os.close(ours)
        else:
            self._hold = ours

        def ready() -> bool:
            assert self._keeper is not None
            if self._keeper.poll() is not None:
                raise SystemExit("bed: no namespaces to be had here (is this root?)")
            return self.up

        wait_until("the bed's first process", ready, 30)

    def close(self) -> None:
        """Ends all of it, and waits until it is gone."""
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int((self.directory / "keeper").read_text()), signal.SIGTERM)
        if self._keeper is not None:
            self._keeper.wait(30)
            with suppress(AttributeError, OSError):
                os.close(self._hold)
        with suppress(BedError):
            wait_until("the end of the bed", lambda: not self.directory.exists(), 30)

    # --- commands -------------------------------------------------------------------------------------------------

    def words(self, within: str = "") -> list[str]:
        """What stands before a command that is to run in the bed, in one of its network namespaces."""
        into = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net"]
        return [*into, "nsenter", f"--net=/run/netns/{within}"] if within else into

    def near(self) -> list[str]:
        """What stands before a program of this machine that is to have the bed's network, and nothing else of it."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net"]

    def run(
        self, *command: str, within: str = "", timeout: float = 60, given: str | None = None, check: bool = True
    ) -> str:
        return call(*self.words(within), *command, timeout=timeout, given=given, check=check)

    def script(self, text: str, *arguments: str, within: str = "", timeout: float = 60) -> str:
        return self.run("sh", "-ec", text, "sh", *arguments, within=within, timeout=timeout)

    def start(self, name: str, *command: str, within: str = "") -> None:
        """Leaves a program running under a name: its log and its process id are files of that name."""
        log = shlex.quote(str(self.directory / f"{name}.log"))
        pid = shlex.quote(str(self.directory / f"{name}.pid"))
        self.script(f'setsid "$@" >>{log} 2>&1 </dev/null & echo $! >{pid}', *command, within=within)

    def pid_of(self, name: str) -> int:
        """The process id, as the bed counts."""
        return int((self.directory / f"{name}.pid").read_text())

    def signal(self, name: str, number: str) -> float:
        """Sends a signal to what :meth:`start` started; when it was sent, in seconds since the epoch."""
        return float(self.script('kill "-$1" "$2"; date +%s.%N', number, str(self.pid_of(name))).split()[-1])

    def alive(self, name: str) -> bool:
        state = self.script('cat "/proc/$1/stat" 2>/dev/null || true', str(self.pid_of(name)))
        return bool(state) and state.rpartition(") ")[2][0] not in "ZX"

    def end(self, name: str) -> None:
        """Ends a program, at once where it does not listen."""
        with suppress(BedError):
            self.signal(name, "CONT")
            self.signal(name, "TERM")
        deadline = time.monotonic() + 10
        while self.alive(name):
            if time.monotonic() > deadline:
                self.signal(name, "KILL")
            time.sleep(0.05)

    # --- network --------------------------------------------------------------------------------------------------

    def namespace(self, name: str) -> None:
        self.run("ip", "netns", "add", name)
        self.run("ip", "-n", name, "link", "set", "lo", "up")

    def wire(self, bridge: str, where: str, name: str, address: str) -> None:
        """A link ``name`` from a bridge (of the namespace ``where``) to ``eth0`` of the namespace ``name``, with an address."""
        at = ["-n", where] if where else []
        self.run("ip", *at, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        self.run("ip", *at, "link", "set", name, "master", bridge, "up")
        self.run("ip", "-n", name, "addr", "add", address, "dev", "eth0")
        self.run("ip", "-n", name, "link", "set", "eth0", "up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread's sockets are made in the bed's own network namespace (setns(2))."""
        home, there = (os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", f"/proc/{self.pid}/ns/net"))
        try:
            if _libc.setns(there, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            _libc.setns(home, _CLONE_NEWNET)
            os.close(home)
            os.close(there)


def sweep_dead() -> None:
    """Removes what beds left whose keepers were killed."""
    for directory in BASE.glob("bed-*"):
        keeper = directory / "keeper"
        if keeper.exists() and not Path(f"/proc/{keeper.read_text()}").exists():
            sweep(directory)
