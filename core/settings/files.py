"""The paths among the settings: made absolute, and looked at. Called by :mod:`core.settings.load`; does file I/O."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from core.settings.base import PathRole, Section
from core.settings.finding import Finding
from core.settings.locate import Loc
from core.settings.root import Settings

_Model = TypeVar("_Model", bound=BaseModel)
_CREDENTIAL = "credential:"
_SOCKET_PATH_OCTETS = 107  # sun_path of unix(7), less the final NUL


def absolute(model: _Model, base: Callable[[Loc], Path], loc: Loc = ()) -> _Model:
    """A copy with every path absolute and ``~`` expanded; ``base`` tells the directory that a place starts from."""
    changed: dict[str, object] = {}
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), (*loc, name)
        if isinstance(value, Section):
            changed[name] = absolute(value, base, here)
        elif isinstance(value, tuple) and any(isinstance(each, Section) for each in value):
            changed[name] = tuple(absolute(each, base, (*here, index)) for index, each in enumerate(value))
        elif any(isinstance(mark, PathRole) for mark in field.metadata):
            if isinstance(value, tuple):
                changed[name] = tuple(absolute_path(each, base((*here, index))) for index, each in enumerate(value))
            else:
                changed[name] = absolute_path(value, base(here))
    return model.model_copy(update=changed)


def findings(settings: Settings) -> Iterator[Finding]:
    """Files that are not there or that others may read, and a socket path that is too long."""
    uses_ssh = any(
        not each.local for cluster in settings.cluster for part in (cluster.node, cluster.machine) for each in part
    )
    trusts_all = settings.ssh.insecure_accept_any_host_key
    for loc, path, role in _paths(settings):
        if role is PathRole.HOST_KEYS and (trusts_all or not uses_ssh):
            continue
        if role is not PathRole.CREATED:
            yield from _look(loc, Path(path), role)
    octets = len(os.fsencode(settings.control_socket))
    if octets > _SOCKET_PATH_OCTETS:
        yield Finding(
            ("control", "socket") if settings.control.socket else ("store", "directory"),
            f"the path of the socket, {settings.control_socket}, is {octets} octets long, and a socket's can be "
            f"{_SOCKET_PATH_OCTETS}: write a shorter control.socket",
        )


def _look(loc: Loc, path: Path, role: PathRole) -> Iterator[Finding]:
    if str(path).startswith(_CREDENTIAL):
        text = "systemd gave this process no credentials (LoadCredential= in the unit, systemd.exec(5))"
        yield Finding(loc, f"{path}: {text}")
        return
    try:
        mode = path.stat().st_mode
    except ValueError as error:
        yield Finding(loc, f"{path}: not a path: {error}")
        return
    except OSError as error:
        missing_default = role is PathRole.HOST_KEYS and path == Path("~/.ssh/known_hosts").expanduser()
        advice = ": no SSH server is trusted until its key stands there (ssh-keyscan)" if missing_default else ""
        yield Finding(loc, f"{path}: {error.strerror}{advice}", note=missing_default)
        return
    if not path.is_file():
        yield Finding(loc, f"{path}: not a file")
    elif not os.access(path, os.R_OK):
        yield Finding(loc, f"{path}: this user may not read it")
    elif role is PathRole.PRIVATE and mode & 0o077 and path.parent != _credentials():
        yield Finding(loc, f"{path}: others may read it (mode {mode & 0o777:04o}): chmod 600", note=True)


def _paths(model: BaseModel, loc: Loc = ()) -> Iterator[tuple[Loc, str, PathRole]]:
    """Every path that is set, with its place."""
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), (*loc, name)
        role = next((mark for mark in field.metadata if isinstance(mark, PathRole)), None)
        for at, each in (
            [((*here, i), each) for i, each in enumerate(value)] if isinstance(value, tuple) else [(here, value)]
        ):
            if isinstance(each, Section):
                yield from _paths(each, at)
            elif role and each:
                yield at, each, role


def absolute_path(path: str, base: Path) -> str:
    """``credential:NAME`` is what systemd put there under that name. Where there are no credentials that stays as it is, and
    so does ``~nobody``, a home that is not there: the look at the file will tell."""
    if not path:
        return ""
    if path.startswith(_CREDENTIAL):
        directory = _credentials()
        return str(directory / path.removeprefix(_CREDENTIAL)) if directory else path
    try:
        return str(base / Path(path).expanduser())
    except RuntimeError:
        return str(base / path)


def _credentials() -> Path | None:
    """Only this user can reach into it, whatever the modes there say: with ACLs they show what the mask allows."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None
