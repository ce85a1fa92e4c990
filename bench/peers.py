"""What others would have noticed, on the same bed at the same time: for :mod:`bench.bed`.

- *gdnsd*, the real one, with the shortest interval it takes (2 s, timeout 1 s) and the first failure counting;
- a *kubelet-like prober*: an HTTP readiness probe of each web pod, from its node's side of the router, with the shortest setting that a
  kubelet takes (1 s, 1 failure) and with its defaults (10 s, 3 failures), timeout 1 s. It stands in for the kubelet, which there
  is no package of; it decides that a pod is not ready, and nothing here carries that to clients.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.bed.bed import NODE_PORT, Bed
from tests.bed.shell import wait_until
from tests.bed.trial import BedWatcher

GDNSD_PORT = 5354
_CONFIG = """
options => {{ listen => [ 127.0.0.1:{port} ], run_dir => {directory}/run, state_dir => {directory}/state, zones_default_ttl => 5 }}
service_types => {{ web => {{ plugin => http_status, port => 80, url_path => /healthz, ok_codes => [ 200 ],
  interval => 2, timeout => 1, up_thresh => 1, ok_thresh => 1, down_thresh => 1 }} }}
plugins => {{ multifo => {{ svc => {{ service_types => web, up_thresh => 0.01, {addresses} }} }} }}
"""
_ZONE = "@ SOA ns1 hostmaster 1 7200 1800 259200 5\n@ NS ns1\nns1 A 127.0.0.1\n@ 5 DYNA multifo!svc\n"


@dataclass
class Prober(threading.Thread):
    """Probes one pod for ever: when it was found not ready, as a list of instants."""

    bed: Bed
    address: str
    period: float
    failures: int
    not_ready: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()

    def run(self) -> None:
        in_row = 0
        with self.bed.space.inside():
            self.over.wait(random.uniform(0, self.period))  # kubelets spread theirs, too
            while not self.over.is_set():
                began = time.monotonic()
                in_row = 0 if self._ready() else in_row + 1
                if in_row == self.failures:
                    self.not_ready.append(time.time())
                self.over.wait(self.period - (time.monotonic() - began))

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection(self.address, NODE_PORT, timeout=1)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/index.html")
            return connection.getresponse().status < 400
        return False

    __hash__ = threading.Thread.__hash__


class Peers:
    """``names`` are columns; :meth:`since` tells for each the seconds from a fault to its own decision."""

    names = ("gdnsd", "probe 1 s × 1", "probe 10 s × 3")

    def __init__(self, bed: Bed, watcher: BedWatcher, probers: dict[str, tuple[Prober, Prober]]) -> None:
        self._bed, self._watcher, self._probers = bed, watcher, probers

    def since(self, cluster: str, fault_at: float) -> tuple[float | None, ...]:
        """None where it has not decided yet."""
        address = next(one.address for one in self._bed.clusters if one.name == cluster)
        answers = (at for at, held in reversed(self._watcher.answers) if at >= fault_at and address not in held)
        first = min(answers, default=None)
        others = (next((at for at in prober.not_ready if at >= fault_at), None) for prober in self._probers[cluster])
        return tuple(at - fault_at if at else None for at in (first, *others))


@contextmanager
def peers(bed: Bed) -> Iterator[Peers]:
    """gdnsd and the probers, running beside pointsman."""
    directory = bed.directory / "gdnsd"
    (directory / "zones").mkdir(parents=True, exist_ok=True)
    addresses = ", ".join(f"{cluster.name} => {cluster.address}" for cluster in bed.clusters)
    (directory / "config").write_text(_CONFIG.format(port=GDNSD_PORT, directory=directory, addresses=addresses))
    (directory / "zones" / "svc1.net").write_text(_ZONE)
    bed.space.start("gdnsd", "gdnsd", "-c", str(directory), "start")
    watcher = BedWatcher(bed, 0.02, GDNSD_PORT)
    watcher.start()
    wait_until(
        "gdnsd answers every address", lambda: watcher.answers and len(watcher.answers[-1][1]) == len(bed.clusters)
    )
    probers = {
        cluster.name: (
            Prober(bed, cluster.nodes[0].address, 1, 1),
            Prober(bed, cluster.nodes[0].address, 10, 3),
        )
        for cluster in bed.clusters
    }
    every = [prober for pair in probers.values() for prober in pair]
    for prober in every:
        prober.start()
    try:
        yield Peers(bed, watcher, probers)
    finally:
        for prober in every:
            prober.over.set()
        watcher.end()
        bed.space.end("gdnsd")
