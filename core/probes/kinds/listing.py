"""What the container runtimes list: ``crictl ps``, ``docker ps`` and ``podman ps`` read into one shape. Pure.

Fields are hostile: a wrong type makes the listing unreadable (None), never an exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from core.probes.kinds.text import json_values, printable

NAMESPACE, POD, UID, CONTAINER = (
    "io.kubernetes.pod.namespace",
    "io.kubernetes.pod.name",
    "io.kubernetes.pod.uid",
    "io.kubernetes.container.name",
)
_ID = re.compile(r"[0-9a-f]{8,64}")
_EXIT = re.compile(r"Exited \((\d+)\)")


@dataclass(frozen=True, slots=True)
class Listed:
    """One container, one attempt. ``since`` orders attempts; ``group`` is what its containers share a start with (the
    sandbox); ``age`` changes when the container is started again under the same id; ``exit_code`` None: not told."""

    id: str
    pod: str
    uid: str
    group: str
    name: str
    attempt: int
    since: tuple[str | int, ...]
    state: str
    exit_code: int | None = None
    pid: int = 0
    age: str = ""

    @property
    def running(self) -> bool:
        return self.state == "Running"


Reader = Callable[[str], list[Listed] | None]


class _Unreadable(Exception):
    pass


def _text(fields: Mapping[str, object], key: str, limit: int = 200) -> str:
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Unreadable
    return printable(value, limit)


def _number(fields: Mapping[str, object], key: str) -> int:
    value = fields.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"-?\d{1,19}", str(value)):
        raise _Unreadable
    return int(value)


def _map(fields: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = fields.get(key) or {}
    if not isinstance(value, dict):
        raise _Unreadable
    return value


def _id(fields: Mapping[str, object], key: str) -> str:
    value = _text(fields, key)
    # Ids go into a command line of ours.
    if not _ID.fullmatch(value):
        raise _Unreadable
    return value


def _state(word: str) -> str:
    if not word:
        raise _Unreadable
    return word.capitalize()


def _pod(labels: Mapping[str, object], fallback: str) -> str:
    pod = _text(labels, POD) or fallback
    if not pod:
        raise _Unreadable
    return f"{_text(labels, NAMESPACE) or 'default'}/{pod}"


def _all(documents: list[object], read: Callable[[Mapping[str, object]], Listed | None]) -> list[Listed] | None:
    found = []
    try:
        for document in documents:
            if not isinstance(document, dict):
                return None
            if listed := read(document):
                found.append(listed)
    except _Unreadable:
        return None
    return found


def crictl(text: str) -> list[Listed] | None:
    """``crictl ps -a -o json``: {"containers": [runtime.v1.Container, …]}."""
    for value in json_values(text):
        containers = value.get("containers") if isinstance(value, dict) else None
        if isinstance(containers, list):
            return _all(containers, _crictl)
    return None


def _crictl(fields: Mapping[str, object]) -> Listed:
    labels, metadata = _map(fields, "labels"), _map(fields, "metadata")
    name = _text(labels, CONTAINER) or _text(metadata, "name")
    return Listed(
        id=_id(fields, "id"),
        pod=_pod(labels, name),
        uid=_text(labels, UID),
        group=_text(fields, "podSandboxId"),
        name=name,
        attempt=_number(metadata, "attempt"),
        since=(_number(fields, "createdAt"),),
        state=_state(_text(fields, "state").removeprefix("CONTAINER_")),
    )


def podman(text: str) -> list[Listed] | None:
    """``podman ps -a --format json``: an array; ``Pid`` is the container's own process."""
    for value in json_values(text):
        if isinstance(value, list):
            return _all(value, _podman)
    return None


def _podman(fields: Mapping[str, object]) -> Listed | None:
    if fields.get("IsInfra"):
        return None
    labels = _map(fields, "Labels")
    names = fields.get("Names")
    name = printable(names[0], 200) if isinstance(names, list) and names and isinstance(names[0], str) else ""
    pod = _text(fields, "PodName")
    return Listed(
        id=_id(fields, "Id"),
        pod=_pod(labels, pod or name),
        uid=_text(labels, UID),
        group=_text(fields, "Pod"),
        name=_text(labels, CONTAINER) or name,
        attempt=_number(fields, "Restarts"),
        since=(_number(fields, "Created"),),
        state=_state(_text(fields, "State")),
        exit_code=_number(fields, "ExitCode"),
        pid=_number(fields, "Pid"),
    )


def docker(text: str) -> list[Listed] | None:
    """``docker ps -a --format '{{json .}}'``: an object a line, newest first; nothing at all where there is no container.

    Not ``--format json``, which before 23.0 is a template like any other: it prints the word, a line for each container.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        documents: list[object] = [json.loads(line) for line in lines if line.lstrip().startswith("{")]
    except (ValueError, RecursionError):
        return None
    if lines and not documents:
        return None
    # CreatedAt has whole seconds: the place in the list tells the rest.
    listed = _all(documents[::-1], _docker)
    return listed and [replace(one, since=(*one.since, place)) for place, one in enumerate(listed)]


def _docker(fields: Mapping[str, object]) -> Listed | None:
    # Labels are joined with commas, and values may hold commas too.
    joined = "," + _text(fields, "Labels", 20_000)

    def label(key: str) -> str:
        match = re.search(rf",{re.escape(key)}=([^,]*)", joined)
        return match[1] if match else ""

    if label("io.kubernetes.docker.type") == "podsandbox":
        return None
    labels = {key: label(key) for key in (NAMESPACE, POD, UID, CONTAINER)}
    status = _text(fields, "Status")
    name = next((n for n in _text(fields, "Names").split(",") if "/" not in n), "")
    code = _EXIT.match(status)
    restarts = label("annotation.io.kubernetes.container.restartCount")
    return Listed(
        id=_id(fields, "ID"),
        pod=_pod(labels, name),
        uid=labels[UID],
        group=label("io.kubernetes.sandbox.id"),
        name=labels[CONTAINER] or name,
        attempt=int(restarts) if re.fullmatch(r"\d{1,9}", restarts) else 0,
        since=(_text(fields, "CreatedAt"),),
        # Before 20.10 there was no State: what is up is running, unless it is paused.
        state=_state(_text(fields, "State") or _word(status)),
        exit_code=int(code[1]) if code else None,
        age=status,
    )


def _word(status: str) -> str:
    if status.endswith("(Paused)"):
        return "paused"
    first = status.split(" ", 1)[0]
    return "running" if first == "Up" else first
