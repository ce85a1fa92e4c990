"""Where the settings file and a running process are, without reading all settings: a command has to be quick."""

from __future__ import annotations

import os
import socket as sockets
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import NotRunning

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


def control_socket(given: Path | None) -> Path:
    """The socket named, or $POINTSMAN_SOCKET, or the one that answers: of the settings' process, or of a demo.

    Raises NotRunning when nothing was named and neither answers.
    """
    if given is None and (named := os.environ.get("POINTSMAN_SOCKET")):
        given = Path(named)
    if given is not None:
        return given.expanduser()
    places = (_of_settings(), demo_directory() / "control.sock")
    for place in places:
        if _answers(place):
            return place
    raise NotRunning(
        f"no pointsman answers on {places[0]} nor {places[1]}; start one with `pointsman run` or `pointsman demo`,"
        " or say where it is with --socket"
    )


def _of_settings() -> Path:
    file = settings_file(None)
    data: dict[str, Any] = {}
    if file is not None:
        with suppress(OSError, ValueError):
            data = tomllib.loads(file.read_text())

    def value(section: str, key: str) -> Path | None:
        if from_environment := os.environ.get(f"POINTSMAN_{section}__{key}".upper()):
            return Path(from_environment).expanduser().absolute()
        table = data.get(section)
        in_file = table.get(key) if isinstance(table, dict) else None
        if file is None or not isinstance(in_file, str) or not in_file:
            return None
        return (file.parent / Path(in_file).expanduser()).absolute()

    return value("control", "socket") or ((value("store", "directory") or Path(_USUAL).expanduser()) / "control.sock")


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
