"""What the chaos soak does to the lab and to pointsman, at random; each act is told to the judge, before and after.

Three hands work at once: one breaks and mends the lab, one gives orders as an operator, one kills, stops and restarts pointsman.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.chaos.process import Pointsman
from bench.chaos.truth import Judge, Sort, Wrong
from core.control.remote import RemoteClient
from core.errors import CommandRefused, PointsmanError
from core.lab.client import LabClient
from core.model import Action, Order

DEFINITE = ("containers", "routes", "vswitch", "runtime", "machine", "database", "router")
NODES = ("node1", "node2")
HANG = "hang"
"""A router that is stopped: it accepts and never answers. Made here, with SIGSTOP."""
AFTER = 3.0
"""Seconds that notes may come late: answers are judged when they are this old."""


@dataclass
class Books:
    """Notes for the judge, in the order of their times."""

    judge: Judge
    notes: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    over: bool = False
    """The hands end what they have begun and stop."""
    resting: bool = False
    """The hands make everything well and hold still, until something is known to be well again."""
    done: Counter[str] = field(default_factory=Counter)
    slow: dict[str, list[float]] = field(default_factory=dict)

    def note(self, at: float, act: Callable[..., None], *words: object) -> None:
        self.notes.append((at, partial(act, at, *words)))

    def wrong(self, rule: str, cluster: str, said: str) -> None:
        self.judge.wrongs.append(Wrong(rule, time.time(), "", cluster, said))


class Breaker:
    """Breaks and mends the lab. ``calm`` is held while a freeze begins or ends."""

    def __init__(
        self, lab: LabClient, books: Books, clusters: tuple[str, ...], apps: tuple[str, ...], dice: random.Random
    ) -> None:
        self._lab, self._books, self._clusters, self._apps, self._dice = lab, books, clusters, apps, dice
        self._ends: dict[tuple[str, str, str], float] = {}
        self.calm = asyncio.Lock()

    async def run(self, pace: float) -> None:
        """``pace``: mean seconds from one fault to the next."""
        while not self._books.over:
            await asyncio.sleep(0.1)
            async with self.calm:
                now, resting = time.time(), self._books.resting
                for place in [place for place, ends in self._ends.items() if ends <= now or resting]:
                    await self._mend(*place)
                if not resting and self._dice.random() < 0.1 / pace:
                    await self._something()

    async def rest(self) -> None:
        """Mend everything."""
        async with self.calm:
            for place in list(self._ends):
                await self._mend(*place)

    async def _something(self) -> None:
        broken = {cluster for cluster, _, _ in self._ends}
        lying = [kind for _, kind, node in self._ends if kind in {"network", "slow", HANG} and not node]
        choice = self._dice.choices(
            ("definite", "network", HANG, "slow", "one node", "uplink", "all"), (60, 10, 6, 6, 10, 3, 2)
        )[0]
        if choice == "uplink":
            await self._uplink()
        elif choice == "all":
            for cluster in self._clusters:
                if cluster not in broken:
                    await self._break(cluster, "router", "", 12)
        elif choice == "definite":
            able = [c for c in self._clusters if not any(who == c and k not in DEFINITE for who, k, _ in self._ends)]
            if able and len(broken) <= len(self._clusters) * 2 // 3:
                kind = self._dice.choice(DEFINITE)
                node = "" if kind in {"database", "router"} else self._dice.choice(NODES)
                await self._break(self._dice.choice(able), kind, node, self._dice.uniform(1, 25))
        elif (able := [c for c in self._clusters if c not in broken]) and len(lying) < len(self._clusters) // 3:
            node = self._dice.choice(NODES) if choice == "one node" else ""
            kind = "network" if choice == "one node" else choice
            await self._break(self._dice.choice(able), kind, node, self._dice.uniform(2, 20))

    async def _break(self, cluster: str, kind: str, node: str, lasts: float) -> None:
        if (cluster, kind, node) in self._ends:
            return
        sort = Sort.NOTHING if kind == "network" and node else Sort.EITHER if kind == "slow" else Sort.ERASE
        what = kind if sort is not Sort.NOTHING else "one node"
        key, judge = f"{kind}/{node}", self._books.judge
        self._books.note(time.time(), judge.fault_begun, cluster, key, sort, what)
        apps = None
        if kind == HANG:
            at = time.time()
            os.kill(await self._router(cluster), signal.SIGSTOP)
        else:
            fault = await self._lab.break_(cluster, kind, node or None)
            at = fault.at
            if kind == "containers":
                apps = frozenset(app for app in self._apps if app.partition(".")[0] in fault.said)
                assert apps, fault.said
        self._books.note(at, judge.fault_there, cluster, key, sort, what, apps)
        self._books.done[f"fault {what}"] += 1
        self._ends[cluster, kind, node] = time.time() + lasts

    async def _mend(self, cluster: str, kind: str, node: str) -> None:
        key, judge = f"{kind}/{node}", self._books.judge
        self._books.note(time.time(), judge.mend_begun, cluster, key)
        if kind == HANG:
            os.kill(await self._router(cluster), signal.SIGCONT)
        else:
            await self._lab.mend(cluster, kind, node or None)
        self._books.note(time.time(), judge.mended, cluster, key)
        del self._ends[cluster, kind, node]
        self._books.done["mend"] += 1

    async def _uplink(self) -> None:
        """Everything falls silent at once, as when our own cable is pulled."""
        cut = [c for c in self._clusters if (c, "network", "") not in self._ends]
        self._books.note(time.time(), self._books.judge.uplink, True)
        await asyncio.gather(*(self._lab.break_(cluster, "network") for cluster in cut))
        await asyncio.sleep(self._dice.uniform(2, 15))
        await asyncio.gather(*(self._lab.mend(cluster, "network") for cluster in cut))
        self._books.note(time.time(), self._books.judge.uplink, False)
        self._books.done["uplink cut"] += 1

    async def _router(self, cluster: str) -> int:
        views = await self._lab.list()
        view = next(view for view in views if view.name == cluster)
        return next(process.pid for process in view.processes if process.name == "router")


class Operator:
    """Gives orders, each with a key, and again with the same key when pointsman died over it; looks whether they still stand."""

    def __init__(
        self, pointsman: Pointsman, breaker: Breaker, books: Books, clusters: tuple[str, ...], dice: random.Random
    ) -> None:
        self._pointsman, self._breaker, self._books, self._clusters, self._dice = (
            pointsman,
            breaker,
            books,
            clusters,
            dice,
        )
        self._client = RemoteClient(pointsman.socket)
        self._standing: dict[str, tuple[Action, str]] = {}
        self._frozen = False

    async def run(self, pace: float) -> None:
        """``pace``: mean seconds from one order to the next."""
        while not self._books.over:
            await asyncio.sleep(self._dice.expovariate(1 / pace))
            if self._books.resting:
                for cluster in list(self._standing):
                    await self._give(Action.RESTORE, cluster)
            elif self._dice.random() < 0.06:
                await self._freeze()
            else:
                await self._order()
            await self.look()

    async def rest(self) -> None:
        if self._frozen:
            await self._switch(Action.THAW)
        for cluster in list(self._standing):
            await self._give(Action.RESTORE, cluster)
        await self._client.close()

    async def _order(self) -> None:
        if self._standing and (len(self._standing) > 1 or self._dice.random() < 0.6):
            await self._give(Action.RESTORE, self._dice.choice(sorted(self._standing)))
        else:
            await self._give(self._dice.choice([Action.DRAIN, Action.ERASE]), self._dice.choice(self._clusters))

    async def _give(self, action: Action, cluster: str) -> None:
        judge, why = self._books.judge, secrets.token_hex(4)
        self._books.note(time.time(), judge.order_begun, cluster)
        began = time.time()
        if await self._insist(Order(action, (cluster,), "chaos", why, key=why)):
            if action is Action.RESTORE:
                self._standing.pop(cluster, None)
            else:
                self._standing[cluster] = (action, why)
            self._books.slow.setdefault("order acknowledged", []).append(time.time() - began)
        self._books.note(time.time(), judge.order_done, cluster, cluster in self._standing)

    async def _insist(self, order: Order) -> bool:
        """Give it until it is acknowledged or refused, whatever dies meanwhile."""
        while True:
            try:
                await self._client.order(order)
            except CommandRefused as error:
                if str(error).startswith("carried out, but"):  # not acknowledged: the disk is slow
                    self._books.done["order not on disk in time"] += 1
                    continue
                if "defect" in str(error):
                    self._books.wrong("order_failed", "", str(error))
                self._books.done[f"refused {order.action}"] += 1
                return False
            except PointsmanError:
                self._books.done["order given again"] += 1
                await asyncio.sleep(0.2)
            else:
                self._books.done[f"{order.action}"] += 1
                return True

    async def _freeze(self) -> None:
        await self._switch(Action.FREEZE)
        await asyncio.sleep(self._dice.uniform(2, 20))
        await self.look()
        await self._switch(Action.THAW)

    async def _switch(self, action: Action) -> None:
        freezes = action is Action.FREEZE
        async with self._breaker.calm:
            self._books.note(time.time(), self._books.judge.freeze, "begun" if freezes else "thaw_begun")
            await self._insist(Order(action, (), "chaos", "for a while", key=secrets.token_hex(4)))
            self._books.note(time.time(), self._books.judge.freeze, "done" if freezes else "thawed")
            self._frozen = freezes

    async def look(self) -> None:
        """No override is lost, and none is there that nobody ordered (spec S34)."""
        try:
            snapshot = await self._client.snapshot()
        except PointsmanError:
            return
        found = {view.name: (view.override.action, view.override.why) for view in snapshot.clusters if view.override}
        for cluster in found.keys() | self._standing.keys():
            if found.get(cluster) != self._standing.get(cluster):
                said = f"ordered {self._standing.get(cluster)}, there is {found.get(cluster)}"
                self._books.wrong("lost_override", cluster, said)
        if bool(snapshot.frozen) != self._frozen:
            self._books.wrong("lost_freeze", "", f"frozen is {bool(snapshot.frozen)}")
        self._books.done["looked at the overrides"] += 1


class Killer:
    """Kills, ends, stops and reloads pointsman. ``forget`` is the planted bug: the state is lost at each kill."""

    def __init__(self, pointsman: Pointsman, books: Books, dice: random.Random, forget: Path | None) -> None:
        self._pointsman, self._books, self._dice, self._forget = pointsman, books, dice, forget

    async def run(self, pace: float) -> None:
        """``pace``: mean seconds from one act to the next."""
        while not self._books.over:
            await asyncio.sleep(1 + self._dice.expovariate(1 / pace))
            acts = (self._kill, self._end, self._stall, self._reload)
            if self._books.resting:
                continue
            await self._dice.choices(acts, (50, 10, 30, 10))[0]()

    async def _kill(self) -> None:
        await self._again("kill -9", signal.SIGKILL)

    async def _end(self) -> None:
        await self._again("SIGTERM", signal.SIGTERM)

    async def _again(self, what: str, number: signal.Signals) -> None:
        self._books.note(time.time(), self._books.judge.down)
        began = time.time()
        await asyncio.to_thread(self._pointsman.end, number)
        if self._forget:
            for file in self._forget.glob("state.db*"):
                file.unlink()
        await asyncio.to_thread(self._pointsman.start)
        self._books.slow.setdefault("kill to ready", []).append(time.time() - began)
        self._books.note(time.time(), self._books.judge.up)
        self._books.done[what] += 1

    async def _stall(self) -> None:
        """The whole process stands still: nobody else was silent (spec S25)."""
        self._books.note(time.time(), self._books.judge.down)
        self._pointsman.send(signal.SIGSTOP)
        await asyncio.sleep(self._dice.uniform(0.3, 5))
        with suppress(ProcessLookupError):
            self._pointsman.send(signal.SIGCONT)
        await asyncio.sleep(0.5)
        self._books.note(time.time(), self._books.judge.up)
        self._books.done["stall"] += 1

    async def _reload(self) -> None:
        self._pointsman.send(signal.SIGHUP)
        self._books.done["reload"] += 1
