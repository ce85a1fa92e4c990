"""What goes into a support bundle: a text for each file, made whether pointsman runs or not. Does I/O.

Nothing here may fail as a whole: what cannot be had is a line in ``bundle.txt``. The store is opened to be read alone.
"""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from core.cli import render
from core.errors import PointsmanError
from core.model import Event
from core.settings import Settings
from core.settings.files import absolute_path
from core.settings.load import problems
from core.snapshot import Snapshot
from core.store import MIGRATIONS
from core.support.mask import Masker
from core.text import utc

EVENTS = 5000
LOG_OCTETS = 2 << 20
_WITHIN = 10.0
_PREFIX = "POINTSMAN_"
_ABOUT = """\
A support bundle of pointsman. Secrets are masked as ***: of commands only the program is shown, of webhooks only the host.
Names, addresses and what nodes said are in it: look through it before you give it away.
"""


class Bundle:
    """The texts gathered so far, by the names of their files."""

    def __init__(self) -> None:
        self.masker = Masker()
        self.files: dict[str, str] = {}
        self.missing: list[str] = []

    def add(self, name: str, text: Callable[[], str]) -> None:
        """A file; or a line that says why there is none."""
        try:
            self.files[name] = text()
        except (OSError, ValueError, PointsmanError, sqlite3.Error, subprocess.SubprocessError) as error:
            self.missing.append(f"{name}: {getattr(error, 'strerror', None) or error or type(error).__name__}")

    def pack(self, at: float) -> bytes:
        """All of it as tar.gz, masked last of all: what is found in one file may stand in any other."""
        missing = "".join(f"not in it: {line}\n" for line in self.missing)
        texts = {"bundle.txt": f"{_ABOUT}made {utc(at)}\n{missing}", **self.files}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, text in texts.items():
                octets = self.masker.text(text).encode(errors="backslashreplace")
                info = tarfile.TarInfo(f"pointsman-support/{name}")
                info.size, info.mtime, info.mode = len(octets), int(at), 0o600
                tar.addfile(info, io.BytesIO(octets))
        return packed.getvalue()


def settings(bundle: Bundle, path: Path | None) -> None:
    """The settings as they are written, masked, and what is wrong with them. Before all else: it teaches what is secret."""
    bundle.add("settings.json", lambda: _json(_settings(bundle.masker, path)))
    bundle.add("environment.json", lambda: _json(_environment(bundle.masker)))
    base = path.absolute().parent if path else Path.cwd()
    for file in dict.fromkeys(bundle.masker.files):
        try:
            bundle.masker.learn(Path(absolute_path(file, base)).read_text(errors="replace"))
        except OSError as error:
            bundle.missing.append(f"{file}: not read to be masked: {error.strerror}")
    bundle.add("problems.txt", lambda: "".join(f"{problem}\n" for problem in problems(path)))


def running(bundle: Bundle, snapshot: Snapshot, events: list[Event], metrics: str) -> None:
    """What a running process told."""
    bundle.add("status.txt", lambda: "\n".join([*render.status(snapshot), "", *_explanations(snapshot)]) + "\n")
    bundle.add("snapshot.json", lambda: _json(msgspec.to_builtins(snapshot)))
    bundle.add("metrics.txt", lambda: metrics)
    bundle.add("events.txt", lambda: _event_lines(events))


def host(bundle: Bundle, pid: int | None) -> None:
    """Versions, the machine, and the process."""
    bundle.add("version.json", lambda: _json(_versions()))
    bundle.add("host.txt", lambda: "".join(f"{line}\n" for line in _host()))
    if pid is not None:
        for name in ("status", "limits", "cgroup"):
            bundle.add(f"process-{name}.txt", lambda name=name: Path(f"/proc/{pid}/{name}").read_text())  # type: ignore[misc]  # mypy does not see the default


def store(bundle: Bundle, directory: Path, *, with_events: bool) -> None:
    """What is in the state directory, and without a running process the history too."""
    bundle.add("store.txt", lambda: "".join(f"{line}\n" for line in _store(directory)))
    bundle.add("state.json", lambda: _json(dict(_state(directory))))
    if with_events:
        bundle.add("events.txt", lambda: _event_lines(_history(directory)))


def logs(bundle: Bundle, file: Path, unit: str) -> None:
    """The newest of the console's log file, and of the journal of systemd where there is one."""
    bundle.add("log.txt", lambda: _tail(file))
    if shutil.which("journalctl"):
        words = ["journalctl", "--no-pager", "-o", "short-iso-precise", "-n", "5000", "-u", unit]
        bundle.add("journal.txt", lambda: _run(words))
    else:
        bundle.missing.append("journal.txt: there is no journalctl")


def owner(directory: Path) -> int | None:
    """The process that has the state directory, where one runs."""
    try:
        pid = int((directory / "lock").read_text())
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (OSError, ValueError):
        return None
    return pid


def _settings(masker: Masker, path: Path | None) -> object:
    if path is None:
        return {}
    try:
        return masker.settings(tomllib.loads(path.read_text()), Settings)
    except tomllib.TOMLDecodeError as error:
        raise PointsmanError(f"not TOML, so that nobody can tell what is secret in it: {error}") from None


def _environment(masker: Masker) -> object:
    found: dict[str, object] = {}
    for variable, text in os.environ.items():
        if not variable.upper().startswith(_PREFIX):
            continue
        *tables, key = variable[len(_PREFIX) :].lower().split("__")
        try:
            value: Any = json.loads(text)
        except ValueError:
            value = text
        data: dict[str, Any] = {key: value}
        for table in reversed(tables):
            data = {table: data}
        found[variable] = masker.settings(data, Settings) if tables or key in Settings.model_fields else "(no setting)"
    return found


def _versions() -> dict[str, object]:
    found: dict[str, object] = {"python": sys.version, "platform": platform.platform()}
    for dist in ("pointsman", *(line.split(">")[0].split(";")[0] for line in metadata.requires("pointsman") or ())):
        try:
            found[dist] = metadata.version(dist)
        except metadata.PackageNotFoundError:
            found[dist] = None
    return found


def _host() -> Iterator[str]:
    yield f"host      {platform.node()}  {' '.join(platform.uname()[0:3])}"
    yield f"load      {' '.join(f'{value:.2f}' for value in os.getloadavg())}  on {os.cpu_count()} cores"
    for name in ("/etc/os-release", "/proc/meminfo", "/proc/uptime", "/proc/pressure/cpu", "/proc/pressure/io"):
        try:
            lines = Path(name).read_text().splitlines()[:8]
        except OSError as error:
            lines = [str(error.strerror)]
        yield from (name, *(f"  {line}" for line in lines))


def _store(directory: Path) -> Iterator[str]:
    usage = shutil.disk_usage(directory)
    yield f"{directory}: {usage.free >> 20} MiB free of {usage.total >> 20}"
    for file in sorted(directory.iterdir()):
        stat = file.lstat()
        yield f"  {stat.st_mode:o} {stat.st_uid}:{stat.st_gid} {stat.st_size:>10} {utc(stat.st_mtime)} {file.name}"
    with closing(_opened(directory)) as database:
        [(version,)] = database.execute("PRAGMA user_version")
        yield f"schema {version}, this pointsman knows {len(MIGRATIONS)}"
        [(checked,)] = database.execute("PRAGMA quick_check(1)")
        yield f"quick_check: {checked}"
        for table in ("state", "events", "past"):
            try:
                [(rows,)] = database.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  # one of three words
            except sqlite3.Error as error:
                rows = error
            yield f"{table}: {rows}"


def _state(directory: Path) -> Iterator[tuple[str, object]]:
    with closing(_opened(directory)) as database:
        for key, value in database.execute("SELECT key, value FROM state WHERE key NOT LIKE 'order/%' ORDER BY key"):
            yield key, json.loads(value)


def _history(directory: Path) -> list[Event]:
    with closing(_opened(directory)) as database:
        rows = [*database.execute("SELECT body FROM events ORDER BY id DESC LIMIT ?", (EVENTS,))]
    return [msgspec.json.decode(body, type=Event) for (body,) in reversed(rows)]


def _opened(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{(directory / 'state.db').absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)


def _event_lines(events: list[Event]) -> str:
    return "".join(f"{render.event_line(event)}\n" for event in events)


def _explanations(snapshot: Snapshot) -> Iterator[str]:
    for cluster in snapshot.clusters:
        yield from (*render.explanation(snapshot, cluster.name), "")


def _tail(file: Path) -> str:
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - LOG_OCTETS))
        return log.read().decode(errors="replace")


def _run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=_WITHIN, check=False)  # noqa: S603  # one fixed program
    if done.returncode:
        raise PointsmanError(done.stderr.strip().partition("\n")[0] or f"exit code {done.returncode}")
    return done.stdout


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"
