"""HAProxy's runtime API: a line of command and the text of its answer, and what we read of it.

https://docs.haproxy.org/2.6/management.html section 9.3. Called by :mod:`core.routers.haproxy` alone.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from core.hands.hand import HandError
from core.settings.base import host_and_port

WITHIN = 3.0
"""Seconds that the API may take for one batch of commands, connection included."""
LONGEST = 16 * 1024 * 1024
_PROMPT = b"\n> "
MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20
"""Bits of ``srv_admin_state``: forced, inherited, by configuration, by DNS."""
DRAIN = 0x08 | 0x10
"""Forced, inherited."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a backend. ``weight`` is what it has now, ``full`` what the configuration set; ``state`` is one of
    ``ready``, ``drain`` and ``maint``; ``sessions`` are those it serves now."""

    backend: str
    name: str
    address: str
    weight: int
    full: int
    state: str = "ready"
    sessions: int = 0


class RuntimeApi:
    """``address`` is HOST:PORT or the path of a Unix socket. A connection for each batch, for HAProxy ends idle ones."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def ask(self, commands: Sequence[str]) -> list[str]:
        """The answers to these commands, without blank ends. Raises HandError, OSError or TimeoutError."""
        if not commands:
            return []
        async with asyncio.timeout(WITHIN):
            if self._address.startswith("/"):
                reader, writer = await asyncio.open_unix_connection(self._address, limit=LONGEST)
            else:
                reader, writer = await asyncio.open_connection(*host_and_port(self._address), limit=LONGEST)
            try:
                writer.write("".join(f"{command}\n" for command in ("prompt", *commands)).encode())
                await reader.readuntil(b"> ")
                return [await self._answer(reader, command) for command in commands]
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                raise HandError("the runtime API broke off, or this is none") from error
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    @staticmethod
    async def _answer(reader: asyncio.StreamReader, command: str) -> str:
        text = (await reader.readuntil(_PROMPT))[: -len(_PROMPT)].decode(errors="replace").strip()
        if text.startswith("Permission denied"):
            raise HandError("permission denied: the stats socket needs `level admin`")
        if text.startswith("Unknown command"):
            raise HandError(f"it does not know `{command.split(' ', maxsplit=1)[0]}`")
        return text


def servers(backend: str, state: str, stat: str) -> tuple[Server, ...]:
    """From ``show servers state BACKEND`` and ``show stat``. Raises HandError for a backend that is not there, and for text
    that is something else."""
    lines = state.splitlines()
    if len(lines) < 2 or not lines[1].startswith("# "):
        raise HandError(f"backend {backend}: {lines[0] if lines else 'no answer'}")
    columns = lines[1][2:].split()
    sessions = {row["svname"]: int(row["scur"] or 0) for row in _stat(stat) if row["# pxname"] == backend}
    found = []
    for line in lines[2:]:
        row = dict(zip(columns, line.split(), strict=False))
        try:
            address = row["srv_fqdn"] if row["srv_fqdn"] != "-" else row["srv_addr"]
            address = f"[{address}]" if ":" in address else address
            found.append(
                Server(
                    backend,
                    row["srv_name"],
                    f"{address}:{row['srv_port']}",
                    int(row["srv_uweight"]),
                    int(row["srv_iweight"]),
                    _state(int(row["srv_admin_state"])),
                    sessions.get(row["srv_name"], 0),
                )
            )
        except (KeyError, ValueError) as error:
            raise HandError(f"backend {backend}: not the state of a server: {line[:80]}") from error
    return tuple(found)


def _state(bits: int) -> str:
    return "maint" if bits & MAINTENANCE else "drain" if bits & DRAIN else "ready"


def open_frontends(wanted: Iterable[str], stat: str) -> dict[str, bool]:
    """Whether each of these frontends takes connections, from ``show stat``. Raises HandError for one that is not there."""
    status = {row["# pxname"]: row["status"] for row in _stat(stat) if row["svname"] == "FRONTEND"}
    for name in wanted:
        if name not in status:
            raise HandError(f"no frontend {name}; there are {', '.join(status) or 'none'}")
    return {name: status[name] == "OPEN" for name in wanted}


def _stat(text: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader(text.splitlines()))
    if rows and not {"# pxname", "svname", "status", "scur"} <= rows[0].keys():
        raise HandError("`show stat` is not answered with statistics")
    return rows
