"""What the roles are and what each may order: the one table beside :data:`core.control.routes.ROUTES`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.model import Action


class Role(StrEnum):
    """Each covers those before it."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


ORDERS = {
    Action.DRAIN: Role.OPERATE,
    Action.ERASE: Role.OPERATE,
    Action.RESTORE: Role.OPERATE,
    Action.FREEZE: Role.OPERATE,
    Action.THAW: Role.OPERATE,
}
FORCE = Role.ADMIN
"""Breaking the glass: what an order with ``force`` needs, whichever it is."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the role, and the name of the token that gave it; "" for who came over the Unix socket."""

    role: Role
    token: str = ""


def needed(action: Action, *, force: bool) -> Role:
    """The role that may give an order."""
    return FORCE if force else ORDERS[action]
