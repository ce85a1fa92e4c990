"""How a console or a command talks to the engine: one interface, a local and a socket form.

Owns :class:`ControlClient`, the protocol, and :class:`Remote`, a place that is not a socket of this machine. The forms live in :mod:`core.control.local` (same process, other thread)
and :mod:`core.control.remote` (HTTP and JSON over the Unix socket). Imports the model and nothing that does I/O.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from core.model import Event, Order, OrderResult
from core.snapshot import AnswerView, Preview, Snapshot, Update


@dataclass(frozen=True, slots=True)
class Remote:
    """A control API over TLS: ``https://HOST:PORT``, the file with the token, and that with the CA which is trusted."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None

    def __str__(self) -> str:
        return self.url


Place: TypeAlias = Path | Remote
"""A Unix socket, or a control API over TLS."""


class ControlClient(Protocol):
    """Every method raises :class:`core.errors.NotRunning` when the engine cannot be reached."""

    async def snapshot(self) -> Snapshot: ...

    async def events(
        self,
        *,
        since: float = 0.0,
        after: int = 0,
        before: int = 0,
        cluster: str = "",
        name: str = "",
        limit: int = 500,
    ) -> list[Event]:
        """The newest ``limit`` events from ``since`` on with an id over ``after``, and under ``before`` unless it is 0,
        oldest first."""
        ...

    async def past(self, event: int) -> Snapshot:
        """What the snapshot was when the event with this id had happened. Raises CommandRefused when it was not kept."""
        ...

    def stream(self) -> AsyncIterator[Update]:
        """A whole snapshot first, then a snapshot and the new events at each change, at least twice a second."""
        ...

    async def look_at(self, clusters: frozenset[str] | None) -> None:
        """Whose sources, pods and why-chains the streams of this client have to carry from now on; None, as at first, is
        everybody's. A form that copies nothing may go on sending all."""
        ...

    async def preview(self, order: Order) -> Preview: ...

    async def order(self, order: Order) -> OrderResult:
        """Carry out an order; raises :class:`core.errors.CommandRefused` with the reason."""
        ...

    async def answers(self, name: str, qtype: str = "A", without: tuple[str, ...] = ()) -> AnswerView:
        """What DNS answers now, or would answer were the clusters in ``without`` erased.

        Raises CommandRefused for what is no domain name, no type or no cluster.
        """
        ...

    async def reload(self) -> str:
        """Read the settings again; the line that says what changed. Raises CommandRefused with the problems."""
        ...

    async def close(self) -> None: ...
