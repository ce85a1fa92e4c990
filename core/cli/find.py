"""Where the settings file and a running process are, without reading all settings: a command has to be quick."""

from __future__ import annotations

import os
import socket as sockets
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.control.client import Place, Remote
from core.errors import ConfigError, NotRunning

_USUAL = "~/.local/state/pointsman"


def settings_file(given: Path | None) -> Path | None:
    """The file named, or the first that exists of $POINTSMAN_CONFIG, ./config.toml and the usual places; else None."""
    if given is None and (named := os.environ.get("POINTSMAN_CONFIG")):
        given = Path(named)
    if given is not None:
        return given.expanduser()
    usual = (
        Path("config.toml"),
        Path("~/.config/pointsman/config.toml").expanduser(),
        Path("/etc/pointsman/config.toml"),
    )
    return next((path for path in usual if path.is_file()), None)


def demo_directory() -> Path:
    """Where a demo lives that was not told otherwise."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"pointsman-demo-{os.getuid()}"  # noqa: S108  # of mode 0700, and looked at before use


def control_place(given: str | None) -> Place:
    """The socket or https://HOST:PORT named, or $POINTSMAN_SOCKET, or [remote] of the settings, or the socket that answers: of
    the settings' process, or of a demo.

    Raises NotRunning when nothing was named and neither answers.
    """
    found = _Written()
    given = given or os.environ.get("POINTSMAN_SOCKET")
    if given and "://" not in given:
        return Path(given).expanduser()
    if url := given or found.text("remote", "url"):
        if not url.startswith("https://"):
            raise ConfigError(f"{url}: write https://HOST:PORT; a token never goes over the network in the clear")
        return Remote(url, found.path("remote", "token_file"), found.path("remote", "ca_file"))
    usual = (found.path("store", "directory") or Path(_USUAL).expanduser()) / "control.sock"
    places = (found.path("control", "socket") or usual, demo_directory() / "control.sock")
    for place in places:
        if _answers(place):
            return place
    raise NotRunning(
        f"no pointsman answers on {places[0]} nor {places[1]}; start one with `pointsman run` or `pointsman demo`,"
        " or say where it is with --socket"
    )


class _Written:
    """What environment and settings file say, as far as it can be read."""

    def __init__(self) -> None:
        self._file = settings_file(None)
        self._data: dict[str, Any] = {}
        if self._file is not None:
            with suppress(OSError, ValueError):
                self._data = tomllib.loads(self._file.read_text())

    def text(self, section: str, key: str) -> str:
        if from_environment := os.environ.get(_variable(section, key)):
            return from_environment
        table = self._data.get(section)
        value = table.get(key) if isinstance(table, dict) else None
        return value if isinstance(value, str) else ""

    def path(self, section: str, key: str) -> Path | None:
        """Those of the file are relative to it, others to the working directory."""
        text = self.text(section, key)
        if not text:
            return None
        base = self._file.parent if self._file and not os.environ.get(_variable(section, key)) else Path()
        return (base / Path(text).expanduser()).absolute()


def _variable(section: str, key: str) -> str:
    return f"POINTSMAN_{section}__{key}".upper()


def _answers(place: Path) -> bool:
    """Whether a process of this user (or of root) listens there; /tmp is everybody's. Root may talk to anyone's."""
    try:
        if os.getuid() != 0 and place.stat().st_uid not in {os.getuid(), 0}:
            return False
        with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(str(place))
    except PermissionError:
        return True  # the client says it better
    except OSError:
        return False
    return True
