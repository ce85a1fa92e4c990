"""How sights and orders are written in etcd: JSON, read with suspicion, for others write there too. Pure.

Under ``peers.prefix``: ``instance/NAME`` is what one instance sees, under its lease; ``orders`` is everybody's document. What a newer
version adds is passed over.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from core.errors import PointsmanError
from core.shared import Document, SharedOrder, Sight

INSTANCE = "instance/"
ORDERS = "orders"


class FormError(PointsmanError):
    """What stands in etcd cannot be read."""


class Told(msgspec.Struct, frozen=True):
    """What an instance tells: ``beat`` grows with each, ``at`` is its clock, ``process`` tells two that share a name apart."""

    process: str
    beat: int
    at: float
    sight: Sight


def write_sight(told: Told) -> bytes:
    return msgspec.json.encode(told, order="deterministic")


def read_sight(value: bytes) -> Told:
    """Raises FormError."""
    try:
        return msgspec.json.decode(value, type=Told)
    except msgspec.MsgspecError as error:
        raise FormError(str(error)) from None


def write_orders(document: Document) -> bytes:
    return msgspec.json.encode({name: replace(order, left=None) for name, order in document.orders.items()})


def read_orders(value: bytes | None, revision: int) -> Document:
    """Raises FormError."""
    if value is None:
        return Document(revision)
    try:
        return Document(revision, msgspec.json.decode(value, type=dict[str, SharedOrder]))
    except msgspec.MsgspecError as error:
        raise FormError(f"the orders of all instances ({ORDERS}) cannot be read: {error}") from None
