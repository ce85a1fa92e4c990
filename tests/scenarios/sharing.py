"""The words of scenario files for several instances: what others see, and the orders that all share.

1.0 peer osaka · peer osaka silent a b     another instance is heard, and these clusters are silent for it
1.0 peer osaka against a: no rules         it has definite evidence; ``blind a``: it cannot see; ``gone``: its lease has ended
1.0 etcd gone · etcd back                  etcd does not answer, and nobody is heard; all are heard again
1.0 theirs osaka drain a: why              an order that another instance has written
1.0 theirs-for 30 osaka drain a: why       of which so many seconds are left
1.0 write                                  ours are written, as nobody was faster
2.0 unshared: a b                          whose orders are not written yet
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.model import Action
from core.shared import Document, Objection, Peers, SharedOrder, Sight
from tests.scenarios.runner import Run


def _peer(run: Run, text: str) -> None:
    head, _, said = text.partition(": ")
    name, *rest = head.split()
    if rest == ["gone"]:
        del run.sights[name]
    else:
        what, clusters = (rest[0], rest[1:]) if rest else ("", [])
        against = tuple(Objection(each, "", "internal_anomaly", f"{each}/n1/routes", said) for each in clusters)
        run.sights[name] = Sight(
            frozenset(clusters) if what in {"silent", "blind"} else frozenset(),
            against if what == "against" else (),
            what == "blind",
        )
    run.feed(Peers(True, dict(run.sights)))


def _etcd(run: Run, text: str) -> None:
    run.feed(Peers(True, dict(run.sights)) if text == "back" else Peers(False))


def _theirs(run: Run, text: str, left: float | None = None) -> None:
    head, _, why = text.partition(": ")
    name, action, cluster = head.split()
    order = SharedOrder(Action(action), "bob", why, name, run.now, lasts=left, left=left)
    _take(run, {**run.document.orders, cluster: order})


def _theirs_for(run: Run, text: str) -> None:
    left, _, rest = text.partition(" ")
    _theirs(run, rest, float(left))


def _write(run: Run, text: str) -> None:
    wanted = run.state.sharing.wanted
    assert wanted is not None, "nothing is to be written"
    assert wanted.revision == run.document.revision, "somebody was faster"
    _take(run, wanted.orders)


def _take(run: Run, orders: Any) -> None:
    run.document = Document(run.document.revision + 1, orders)
    run.feed(replace(run.document))


def _lost(run: Run, text: str) -> None:
    run.document = Document(-1)
    _take(run, {})


def _unshared(run: Run, text: str) -> None:
    assert {*run.state.sharing.unshared} == {*text.split()}, run.state.sharing.unshared


WORDS = {
    "peer": _peer,
    "etcd": _etcd,
    "theirs": _theirs,
    "theirs-for": _theirs_for,
    "lost": _lost,
    "write": _write,
    "unshared:": _unshared,
}
