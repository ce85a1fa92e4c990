"""Real database servers on loopback ports, each in a directory and a process group of its own."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.conftest import require

PASSWORD = "s3cr3t/p@ss"
"""Needs quoting in a URL, so that its quoted form is masked too."""
QUOTED = "s3cr3t%2Fp%40ss"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def as_user(user: str, directory: Path) -> list[str]:
    """What makes a command run as a user that is not root, which these servers insist on."""
    if os.geteuid() != 0:
        return []
    account = pwd.getpwnam(user)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
    for parent in directory.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/tmp") and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o711)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


class Server:
    """A server process; ``port`` is its own."""

    def __init__(self, command: Sequence[str], port: int, ready: Callable[[], bool], log: Path) -> None:
        self.command, self.port, self._ready, self._log = list(command), port, ready, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        while not self._ready():
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        """To every process of the server: PostgreSQL has one for each connection."""
        assert self._process is not None
        for pid in self._family():
            os.kill(pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is None:
            return
        self.send(signal.SIGCONT)
        self._process.send_signal(number)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
        self._process = None

    def _family(self) -> list[int]:
        assert self._process is not None
        family = [self._process.pid]
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(entry.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == self._process.pid:
                family.append(int(entry.parent.name))
        return family


def answers(command: Sequence[str]) -> Callable[[], bool]:
    return lambda: subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


def redis(directory: Path) -> Server:
    port = free_port()
    command = [require("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    command += ["--save", "", "--maxclients", "4", "--requirepass", PASSWORD]
    ping = [require("redis-cli"), "-p", str(port), "-a", PASSWORD, "--no-auth-warning", "ping"]
    return Server(command, port, answers(ping), directory / "log")


def postgresql(directory: Path) -> Server:
    port, data = free_port(), directory / "data"
    user = as_user("postgres", directory)
    (directory / "pw").write_text(PASSWORD)
    as_user("postgres", directory)
    initdb = [*user, require("initdb"), "-D", str(data), "-U", "owner", "-A", "scram-sha-256", "-N", "-E", "UTF8"]
    initdb += [f"--pwfile={directory / 'pw'}", "--no-instructions"]
    subprocess.run(initdb, check=True, capture_output=True, timeout=100, cwd=directory)
    command = [*user, require("postgres"), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    command += ["-c", f"unix_socket_directories={directory}", "-c", "max_connections=6", "-c", "fsync=off"]
    command += ["-c", "superuser_reserved_connections=2", "-c", "shared_buffers=4MB"]
    ready = [require("pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    return Server(command, port, answers(ready), directory / "log")


def mariadb(directory: Path) -> Server:
    port, data = free_port(), directory / "data"
    data.mkdir()
    user = as_user("mysql", directory)
    install = [*user, require("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True, timeout=100, cwd=directory)
    init = directory / "init.sql"
    init.write_text(f"CREATE USER IF NOT EXISTS watch@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n")
    as_user("mysql", directory)
    command = [*user, require("mariadbd"), "--no-defaults", f"--datadir={data}", f"--port={port}"]
    command += ["--bind-address=127.0.0.1", f"--socket={directory}/sock", f"--pid-file={directory}/pid"]
    command += ["--max-connections=10", "--skip-name-resolve", f"--init-file={init}"]
    command += ["--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0"]
    ping = [require("mariadb-admin"), "--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-u", "watch"]
    return Server(command, port, answers([*ping, f"-p{PASSWORD}", "ping"]), directory / "log")
