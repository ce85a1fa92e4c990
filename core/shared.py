"""What several pointsmans tell each other: what each sees, and what their operators have ordered. Pure values.

Each instance has one :class:`Sight`, which ends with its lease; the orders of all stand in one document, each as a
:class:`SharedOrder`, that is changed by compare-and-swap on its revision. Carried by :mod:`core.sharing`; what follows
from them is in :mod:`core.detection.peers` and :mod:`core.switching.shared`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.model import Action


@dataclass(frozen=True, slots=True, order=True)
class Objection:
    """Definite evidence of one instance against a cluster: for one app, or for all where ``app`` is ""."""

    cluster: str
    app: str
    rule: str
    where: str
    said: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What one instance sees by itself, never what it has from others. ``silent`` are the clusters that are silent for it.

    ``blind``: it suspects itself, or has not asked everybody yet: its silence is no vote, and nobody waits for it.
    ``serial`` is that of its record table.
    """

    silent: frozenset[str] = frozenset()
    against: tuple[Objection, ...] = ()
    blind: bool = False
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Peers:
    """An input: the other instances whose lease holds, whole. ``reachable``: whether etcd answers; without it there are none."""

    reachable: bool
    sights: Mapping[str, Sight] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SharedOrder:
    """The newest order for one cluster. ``by`` is the instance that took it, ``at`` when, on that one's clock; together they tell
    orders apart. ``lasts`` is how many seconds it holds, None: until restored by hand.

    What is left of these is asked of etcd's own clock, which ``timer`` is the lease for: clocks of instances may differ. ``left``
    is None where there is no end.
    """

    action: Action
    who: str
    why: str
    by: str
    at: float
    force: bool = False
    lasts: float | None = None
    timer: int = field(default=0, compare=False)
    left: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """An input: everybody's orders by cluster, as they stand at a revision; 0 where nothing was ever written."""

    revision: int
    orders: Mapping[str, SharedOrder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Overruled:
    """An order of ours that was given without knowing of another's, and does not hold."""

    at: float
    said: str


@dataclass(frozen=True, slots=True)
class Sharing:
    """What is known of the others. ``peers`` and ``document`` are None until something of them was heard since the start.

    ``since`` is when each objection of another was first heard. ``adopted`` are the shared orders that this instance has acted on,
    ``unshared`` its own that do not stand in the document yet; both outlive a restart. ``overruled`` is the newest by cluster.
    """

    peers: Peers | None = None
    document: Document | None = None
    since: Mapping[tuple[str, Objection], float] = field(default_factory=dict)
    adopted: Mapping[str, SharedOrder] = field(default_factory=dict)
    unshared: Mapping[str, SharedOrder] = field(default_factory=dict)
    overruled: Mapping[str, Overruled] = field(default_factory=dict)

    @property
    def sights(self) -> Mapping[str, Sight]:
        """Of the others that can be heard now."""
        return self.peers.sights if self.peers else {}

    @property
    def wanted(self) -> Document | None:
        """The document as it is to be written over that of its revision; None while it is so, or not known."""
        if self.document is None or not self.unshared:
            return None
        return Document(self.document.revision, {**self.document.orders, **self.unshared})


ALONE = Sharing()
