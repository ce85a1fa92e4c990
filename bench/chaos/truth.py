"""What is true of the lab, and what an answer may hold then. Pure: notes and answers in, in the order of time; wrongs out.

The judge knows nothing of pointsman's opinion: only what the soak broke, mended and ordered, and when each was begun and when it was
acknowledged. Between the two everything goes. Then, for each app and cluster:

==============================  ==============================================================================================
the cluster                     an answer
==============================  ==============================================================================================
was taken out by hand           never holds it: not one that was asked for after the acknowledgement (``stale_order``)
is broken                       no longer holds it once ``LIMIT`` is over (``stale_fault``), and never again once it was gone
                                (``returned_broken``)
is well, and was wholly in      always holds it (``wrong_erase``), also while silent nodes or our own cut uplink lie
is well                         holds it again after ``RETURN`` (``missing``)
any                             while frozen everything stays as it was when the freeze was acknowledged
any                             is never empty (``empty``), and never fails to come while the process is up (``unanswered``)
==============================  ==============================================================================================

Where no cluster of an app is known to be well, it may fail open: then brokenness counts for nothing there. Instants are seconds
since the epoch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

LIMIT = 10.0
"""Seconds from a fault to answers without the cluster, on a machine that does other work as well; the times that it took are a figure."""
RETURN = 60.0
"""Seconds from a mend to answers with the cluster: the longest hold of the soak (16), the ramp (3), and the next attempt of a session
that has backed off (15), twice a check's interval, and as much again."""
AFTER_START = 6.0
"""Seconds after a start in which the first round may still be under way (``safety.first_round`` and a moment)."""
DEAF = 25.0
"""Seconds after a cut in which sessions may not be back (``ssh.connect_timeout``, ``ssh.backoff_limit`` and their jitter)."""
FRESH = 3.0
"""Seconds after a mend in which an erase may still go by what was seen before it (held by the velocity budget, say): a check's interval
and its time."""
STARVED = 5.0
"""Seconds after a router was seen not to answer, though nobody broke it, in which its erase is told apart from wrong ones."""
WHOLE = 60
"""Answers in a row with a cluster until it is wholly in: at a ramp's 75 % that is one chance in 30 million."""
GONE = 100
"""Answers in a row without it until it is gone: at a ramp's 25 % alike."""


class Sort(Enum):
    """What a fault asks for."""

    ERASE = "erase"
    EITHER = "either"
    """a slow network: depends on how slow the machine is besides"""
    NOTHING = "nothing"
    """one silent node: no outage"""


class Answer(NamedTuple):
    """``held`` None: none came until ``came``."""

    app: str
    sent: float
    came: float
    held: frozenset[str] | None


class Wrong(NamedTuple):
    rule: str
    at: float
    app: str
    cluster: str
    said: str


@dataclass(slots=True)
class Fault:
    """``apps`` None: all. ``there`` False: it is being made or mended."""

    sort: Sort
    apps: frozenset[str] | None
    since: float
    what: str
    there: bool = False


@dataclass(slots=True)
class Place:
    """One cluster under one app, as its answers were so far."""

    settled: bool = True
    gone: bool = False
    streak: int = 0
    """answers in a row with it, or without it where negative"""
    timing: tuple[str, float] | None = None
    """the fault whose first clean answer is waited for"""


@dataclass(slots=True)
class Cluster:
    faults: dict[str, Fault] = field(default_factory=dict)
    hand: str = "in"
    """``in``, ``out``, or ``grey`` while an order is under way"""
    since: float = 0.0
    """when anything of this last changed"""
    deaf_until: float = 0.0
    slow_until: float = 0.0
    """when its router, asked by the soak itself, was last seen not to answer in time"""


class Judge:
    """Notes (``fault``, ``order``, …) and :meth:`answer` have to come in the order of their times."""

    def __init__(self, apps: Iterable[str], clusters: Iterable[str]) -> None:
        self.clusters = {name: Cluster() for name in clusters}
        self.places = {(app, name): Place() for app in apps for name in self.clusters}
        self.answers = 0
        self.excused = 0
        self.starved = 0
        self.wrongs: list[Wrong] = []
        self.clean: dict[str, list[float]] = defaultdict(list)
        self.returned: list[float] = []
        self.rules: Counter[str] = Counter()
        self._up_since = 0.0
        self._downs: list[tuple[float, float]] = []
        self._frozen = ""
        self._later: list[tuple[str, str, Fault | None]] = []
        self._base = 0.0
        self._uplink = False

    # --- what happens to the lab -----------------------------------------------------------------------------------

    def fault_begun(self, at: float, cluster: str, key: str, sort: Sort, what: str) -> None:
        self._fault(at, cluster, key, Fault(sort, None, at, what))

    def fault_there(
        self, at: float, cluster: str, key: str, sort: Sort, what: str, apps: frozenset[str] | None
    ) -> None:
        self._fault(at, cluster, key, Fault(sort, apps, at, what, there=True))

    def mend_begun(self, at: float, cluster: str, key: str) -> None:
        found = self._latest(cluster, key)
        self._fault(at, cluster, key, Fault(found.sort, found.apps, at, found.what) if found else None)

    def mended(self, at: float, cluster: str, key: str) -> None:
        self._fault(at, cluster, key, None)

    def uplink(self, at: float, cut: bool) -> None:
        """All clusters are cut off together, or are joined again: our own fault, and nobody's outage (spec S28)."""
        self._uplink = cut
        self._base = at
        for name, cluster in self.clusters.items():
            cluster.deaf_until = at + DEAF
            self._untimed(name)

    def _latest(self, cluster: str, key: str) -> Fault | None:
        for name, which, fault in reversed(self._later):
            if (name, which) == (cluster, key):
                return fault
        return self.clusters[cluster].faults.get(key)

    def _fault(self, at: float, name: str, key: str, fault: Fault | None) -> None:
        if self._frozen:  # nothing may come of it until the thaw
            self._later.append((name, key, fault))
            return
        cluster = self.clusters[name]
        old = cluster.faults.pop(key, None)
        if fault:
            cluster.faults[key] = fault
        found = fault or old
        if found is None:
            return
        if found.sort is Sort.NOTHING:
            cluster.deaf_until = at + DEAF
            return
        if fault is None and found.what.startswith(("network", "slow")):
            cluster.deaf_until = at + DEAF
        cluster.since = at
        for (app, other), place in self.places.items():
            if other != name:
                continue
            if fault and fault.there and place.settled and self._counts(fault, app) and len(cluster.faults) == 1:
                place.timing = (fault.what, at)
            elif not (fault and not fault.there and place.settled):
                place.timing = None
            if fault is None or fault.there:  # what is begun may never be made
                place.settled = place.settled and not self._counts(found, app)
            if not (fault and fault.there):
                place.gone = False

    @staticmethod
    def _counts(fault: Fault, app: str) -> bool:
        return fault.apps is None or app in fault.apps

    # --- what operators order --------------------------------------------------------------------------------------

    def order_begun(self, at: float, name: str) -> None:
        self._hand(at, name, "grey")

    def order_done(self, at: float, name: str, out: bool) -> None:
        """Acknowledged, refused, or found out after a kill: it is out by hand now, or it is not."""
        self._hand(at, name, "out" if out else "in")

    def _hand(self, at: float, name: str, hand: str) -> None:
        cluster = self.clusters[name]
        cluster.hand, cluster.since = hand, at
        for (_, other), place in self.places.items():
            if other == name:
                place.settled = place.gone = False
                place.streak, place.timing = 0, None

    def freeze(self, at: float, stage: str) -> None:
        """``begun``, ``done``, ``thaw_begun`` or ``thawed``. No fault is made while one of these is under way."""
        self._base = at
        if stage in {"begun", "done"}:
            self._frozen = stage
            for name in self.clusters:
                self._untimed(name)
            return
        touched = {name for name, _, _ in self._later}
        for name in touched:
            self.clusters[name].since = float("inf")  # it goes by what it last saw, or by what it sees now
        if stage == "thaw_begun":
            return
        self._frozen = ""
        later, self._later = self._later, []
        for name, key, fault in later:
            self._fault(at, name, key, fault)
        for name in touched:
            self.clusters[name].since = at
            self._untimed(name)
        for (_, name), place in self.places.items():
            if name in touched:
                place.settled, place.gone, place.streak = False, False, 0

    # --- what befalls pointsman ------------------------------------------------------------------------------------

    def router_slow(self, at: float, name: str, until: float) -> None:
        """Its router did not answer somebody else either, though nobody broke it: the machine has other work."""
        del at
        if not self._uplink:
            self.clusters[name].slow_until = until

    def down(self, at: float) -> None:
        """From now on no answer is owed: killed, or stopped."""
        self._downs.append((at, float("inf")))
        self._up_since = float("inf")
        for name in self.clusters:
            self._untimed(name)

    def up(self, at: float) -> None:
        self._downs[-1] = (self._downs[-1][0], at)
        self._up_since = at

    def _untimed(self, name: str) -> None:
        for (_, other), place in self.places.items():
            if other == name:
                place.timing = None

    # --- what is answered ------------------------------------------------------------------------------------------

    def answer(self, answer: Answer) -> None:
        """Hold one answer against the truth."""
        if answer.held is None:
            if any(answer.sent <= until and answer.came >= since for since, until in self._downs[-3:]):
                self.excused += 1
            else:
                self._wrong("unanswered", answer, "", f"no answer in {answer.came - answer.sent:.2f} s")
            return
        self.answers += 1
        if not answer.held:
            self._wrong("empty", answer, "", "an answer without an address")
        doubtful = self._doubtful(answer.app)
        for name, cluster in self.clusters.items():
            place = self.places[answer.app, name]
            held = name in answer.held
            place.streak = max(place.streak, 0) + 1 if held else min(place.streak, 0) - 1
            if cluster.since <= answer.sent:
                self._judge(answer, name, cluster, place, held, doubtful)

    def _doubtful(self, app: str) -> bool:
        """Whether no cluster is known to be well: the app may fail open."""
        return not any(
            self.places[app, name].settled and cluster.hand == "in" and not self._broken(cluster, app)
            for name, cluster in self.clusters.items()
        )

    def _broken(self, cluster: Cluster, app: str) -> list[Fault]:
        return [f for f in cluster.faults.values() if f.sort is not Sort.NOTHING and self._counts(f, app)]

    def _judge(self, answer: Answer, name: str, cluster: Cluster, place: Place, held: bool, doubtful: bool) -> None:
        if cluster.hand == "out":
            self.rules["out by hand"] += 1
            if held:
                self._wrong("stale_order", answer, name, f"ordered out {answer.sent - cluster.since:.3f} s before")
            return
        broken = self._broken(cluster, answer.app)
        if cluster.hand == "grey" or any(not fault.there or fault.sort is Sort.EITHER for fault in broken):
            return
        if broken:
            self._judge_broken(answer, name, cluster, place, held, doubtful, broken)
        else:
            self._judge_well(answer, name, cluster, place, held, doubtful)

    def _judge_broken(
        self, answer: Answer, name: str, cluster: Cluster, place: Place, held: bool, doubtful: bool, broken: list[Fault]
    ) -> None:
        if place.timing and not held and not doubtful:
            what, since = place.timing
            self.clean[what].append(answer.came - since)
            place.timing = None
        if doubtful:
            place.gone = False
            place.streak = 0
            return
        what = ", ".join(fault.what for fault in broken)
        if place.gone:
            self.rules["broken and gone"] += 1
            if held:
                self._wrong("returned_broken", answer, name, f"{what} since {answer.sent - cluster.since:.1f} s")
            return
        if place.streak <= -GONE and not self._frozen:
            place.gone = True
        begins = max(cluster.since, self._base, self._up_since + AFTER_START, cluster.deaf_until)
        if held and not self._frozen and not self._uplink and answer.sent > begins + LIMIT:
            self._wrong("stale_fault", answer, name, f"{what} since {answer.sent - cluster.since:.1f} s")

    def _judge_well(
        self, answer: Answer, name: str, cluster: Cluster, place: Place, held: bool, doubtful: bool
    ) -> None:
        if place.settled:
            self.rules["well and wholly in"] += 1
            if not held:
                slow = answer.came - cluster.slow_until < STARVED
                rule = "starved_router" if slow else "wrong_erase"
                self._wrong(rule, answer, name, f"well for {answer.sent - cluster.since:.1f} s")
                place.settled, place.streak = False, 0  # one wrong, not one for each answer; it has RETURN to mend
                cluster.since = answer.came
            return
        begins = max(cluster.since, self._base, self._up_since, cluster.deaf_until, cluster.slow_until)
        late = not self._frozen and not self._uplink and answer.sent > begins + RETURN
        if late and not held:
            self._wrong("missing", answer, name, f"well for {answer.sent - cluster.since:.1f} s")
            cluster.since = answer.came
        sure = late if doubtful else place.streak >= WHOLE and answer.sent > cluster.since + FRESH
        if held and sure and not self._frozen:
            place.settled = True
            if not doubtful:
                self.returned.append(answer.came - cluster.since)

    def _wrong(self, rule: str, answer: Answer, cluster: str, said: str) -> None:
        if rule == "starved_router":
            self.starved += 1
            return
        self.wrongs.append(Wrong(rule, answer.came, answer.app, cluster, said))
