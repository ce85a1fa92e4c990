"""What one step wants done, gathered while it decides. Pure: a list with words for what goes in."""

from __future__ import annotations

from typing import Any

from core.model import Event, EventName
from core.records import RecordTable
from core.state import Effect, Emit, Publish, Reply, Save, Tell
from core.switching.table import StandingKey


class Journal:
    """The effects of one step, in the order in which they were decided."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.effects: list[Effect] = []

    def emit(self, name: EventName, *, at: float = 0.0, fault_at: float = 0.0, **fields: Any) -> None:
        """An event of now, or of ``at``; ``fields`` as in :class:`core.model.Event`."""
        at = at or self.now
        since = (at - fault_at) * 1000 if fault_at else None
        self.effects.append(Emit(Event(name, at, since_fault_ms=since, **fields)))

    def save(self, key: str, value: Any) -> None:
        self.effects.append(Save(key, value))

    def publish(self, table: RecordTable, erased: tuple[StandingKey, ...]) -> None:
        self.effects.append(Publish(table, erased))

    def tell(self) -> None:
        self.effects.append(Tell())

    def reply(self, *said: str) -> None:
        self.effects.append(Reply(said))

    def refuse(self, reason: str, revision: int | None = None) -> None:
        self.effects.append(Reply(refused=reason, revision=revision))
