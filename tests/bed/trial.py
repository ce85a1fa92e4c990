"""One fault on a bed with pointsman running: what was decided, how fast, who else was hit, and how it came back."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from bench.failover import Watcher
from core.control.client import ControlClient
from core.control.remote import RemoteClient
from core.model import Event, EventName
from core.snapshot import ClusterState, Snapshot
from tests.bed import settings
from tests.bed.bed import Bed, Cluster
from tests.bed.faults import Fault, Scene
from tests.bed.shell import BedError, wait_until
from tests.bed.space import ROOT

T = TypeVar("T")
PATIENCE = 90.0
"""Seconds until something that must happen is given up."""
STAYS = 3.0
"""Seconds for which a cluster that must stay is watched after the silence was seen."""


@dataclass(frozen=True)
class Outcome:
    """``decision`` is the event that decided, with its cause; ``ms`` from the fault to the first clean answer and ``back_ms`` from
    the beginning of the mending to the answer that holds the address again, None where it never left. ``wrong``: answers that lacked another cluster."""

    fault: str
    cluster: str
    decision: str
    evidence: str
    ms: float | None
    back_ms: float | None
    wrong: int
    fault_at: float


class BedWatcher(Watcher):
    """Asks from inside the bed's namespace, where the DNS server listens on the loopback address."""

    def __init__(self, bed: Bed, pace: float, port: int = 5353) -> None:
        super().__init__(port, pace)
        self._bed = bed

    def run(self) -> None:
        with self._bed.space.inside():
            super().run()


class Pointsman:
    """The program, running in the bed."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed

    def ask(self, question: Callable[[ControlClient], Awaitable[T]]) -> T:
        async def asking() -> T:
            client = RemoteClient(self.bed.control)
            try:
                return await question(client)
            finally:
                await client.close()

        return asyncio.run(asking())

    def snapshot(self) -> Snapshot:
        return self.ask(lambda client: client.snapshot())

    def events(self, since: float, cluster: str) -> list[Event]:
        return self.ask(lambda client: client.events(since=since, cluster=cluster))

    def all_well(self) -> bool:
        snapshot = self.snapshot()
        return not snapshot.starting and all(view.state is ClusterState.OK for view in snapshot.clusters)


@contextmanager
def pointsman(bed: Bed, *, patient: bool) -> Iterator[Pointsman]:
    """``pointsman run --headless`` on the bed's settings, once every cluster is well."""
    file = settings.write(bed, patient=patient)
    words = ["setpriv", "--pdeathsig", "KILL", *bed.space.near(), sys.executable, "-m", "core.cli", "run", "--headless"]
    log = bed.directory / "pointsman.log"
    with log.open("ab") as errors:
        process = subprocess.Popen([*words, "--config", str(file)], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise BedError(f"pointsman did not start: {log.read_text()[-800:]}")
        running = Pointsman(bed)
        wait_until("every cluster is well", running.all_well, PATIENCE)
        yield running
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def trial(
    running: Pointsman,
    fault: Fault,
    cluster: Cluster,
    pace: float = 0.002,
    hold: Callable[[float], None] | None = None,
) -> Outcome:
    """Makes the fault, watches, mends it, watches. BedError when what must happen does not; it is mended all the same.
    ``hold`` is called with the fault's instant before the mending, and may keep it waiting."""
    wait_until("every cluster is well", running.all_well, PATIENCE)
    everybody = {one.address for one in running.bed.clusters}
    others = everybody - {cluster.address}
    watcher = BedWatcher(running.bed, pace)
    watcher.start()
    scene = Scene(running.bed, cluster)
    try:
        wait_until(
            "every address is answered", lambda: watcher.answers and everybody <= watcher.answers[-1][1], PATIENCE
        )
        whole = len(watcher.answers)
        began = time.time()
        try:
            fault_at = fault.make(scene)
            decided, clean = _decided(running, fault, cluster, watcher, began, fault_at)
            if hold:
                hold(fault_at)
        finally:
            mended_at = time.time()
            fault.mend(scene)
            scene.undo.close()
        wait_until("every address is answered again", lambda: everybody <= watcher.answers[-1][1], PATIENCE)
        back = _last_return(watcher.answers[whole:], cluster.address)
        wait_until("every cluster is well again", running.all_well, PATIENCE)
    finally:
        watcher.end()
    return Outcome(
        fault.name,
        cluster.name,
        f"{decided.name}: {decided.cause}",
        decided.evidence,
        (clean - fault_at) * 1000 if clean else None,
        (back - mended_at) * 1000 if back else None,
        sum(not others <= held for _, held in watcher.answers[whole:]),
        fault_at,
    )


def _decided(
    running: Pointsman, fault: Fault, cluster: Cluster, watcher: Watcher, began: float, fault_at: float
) -> tuple[Event, float | None]:
    """The deciding event, and when the first clean answer came."""
    wanted = EventName.ADDRESS_ERASED if fault.erased else EventName.CHECK_SILENT
    found: list[Event] = []
    clean: float | None = None

    def happened() -> bool:
        nonlocal clean
        if clean is None:
            clean = next((at for at, held in watcher.answers if at >= fault_at and cluster.address not in held), None)
        if fault.erased and clean is None:
            return False
        events = running.events(began - 0.2, cluster.name)
        found[:] = [
            one for one in events if one.name is wanted and re.search(fault.evidence, f"{one.cause} {one.evidence}")
        ]
        return bool(found)

    try:
        wait_until(f"{fault.name}: {wanted}", happened, PATIENCE)
    except BedError as error:
        events = "\n".join(f"{one.name} {one.cause} {one.evidence}" for one in running.events(began - 0.2, ""))
        raise BedError(f"{error}; what happened instead:\n{events}") from None
    if not fault.erased:
        time.sleep(STAYS)
        if any(cluster.address not in held for at, held in watcher.answers if at >= began):
            raise BedError(f"{fault.name}: the cluster was erased for a silence that nothing corroborates")
    return found[0], clean


def _last_return(answers: list[tuple[float, frozenset[str]]], address: str) -> float | None:
    """When the address stood in an answer again after the last that lacked it."""
    missing = next((n for n in range(len(answers) - 1, -1, -1) if address not in answers[n][1]), None)
    return None if missing is None else answers[missing + 1][0]
