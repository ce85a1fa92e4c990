"""What a bad network makes pointsman do: ``make bench-network``

For each kind of trouble in network namespaces (:mod:`bench.netns`): which addresses left the answers, and after how many
milliseconds, asked from outside every 5 ms. Detection runs at its default settings; the way back is shortened.
*Healthy erased* counts the clusters that were well, and could be reached at all, and were taken out; none is allowed.

    python -m bench.network [--seconds 20] [--only NAME,…]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.netns import CANARY_ADDRESS, Bed, NetnsWatcher, bed, pointsman, run

CLUSTERS = ("tokyo", "osaka", "fukuoka", "sapporo")
SETTINGS = f'recovery = {{ hold = 0, ramp = [100] }}\nsafety = {{ canaries = ["{CANARY_ADDRESS}"] }}'


@dataclass(frozen=True)
class Trouble:
    """``gone`` are the clusters that really cannot be reached any more: they may, or shall, be erased."""

    name: str
    begin: Callable[[Bed], None]
    gone: frozenset[str] = frozenset()
    lasts: float = 0.0
    must: bool = False


def _jitter(network: Bed) -> None:
    network.uplink.jitter = 0.2


def _far_at_loss(network: Bed) -> None:
    network.uplink.delay = 0.05  # each way
    time.sleep(15)
    network.rules(network.lose(1))


def _dead_at_loss(network: Bed) -> None:
    network.rules(network.lose(1))
    time.sleep(20)  # so that the loss is history
    _die(network)


def _all_dead_at_loss(network: Bed) -> None:
    network.rules(network.lose(1))
    time.sleep(20)
    network.rules(network.lose(1), network.cut("osaka"))


def _die(network: Bed) -> None:
    run("ip", "-n", network.nodes("tokyo")[0][0], "link", "set", "eth0", "down")


# From a network without a history of gaps to the worst: what is learnt in one trouble is remembered in the next.
TROUBLES = (
    Trouble("node with the router dies", _die, frozenset({"tokyo"}), must=True),
    Trouble("2 s blackhole of one cluster", lambda n: n.rules(n.cut("osaka")), frozenset({"osaka"}), 2.0, must=True),
    Trouble("half of the clusters cut off", lambda n: n.rules(n.cut(*CLUSTERS[2:])), frozenset(CLUSTERS[2:])),
    Trouble("2 s blackhole of everything", lambda n: n.rules("PEER 10.231.0.0/16 drop"), lasts=2.0),
    Trouble("our own uplink cut", lambda n: n.rules("PEER 10.231.0.0/16 drop")),
    Trouble("1 % loss", lambda n: n.rules(n.lose(1))),
    Trouble("node with the router dies at 1 % loss", _dead_at_loss, frozenset({"tokyo"}), must=True),
    Trouble("a whole cluster dies at 1 % loss", _all_dead_at_loss, frozenset({"osaka"}), must=True),
    Trouble("200 ms jitter", _jitter),
    Trouble("1 % loss at 100 ms", _far_at_loss),
    Trouble("5 % loss", lambda n: n.rules(n.lose(5))),
    Trouble("20 % loss", lambda n: n.rules(n.lose(20))),
)


def observe(network: Bed, trouble: Trouble, seconds: float) -> tuple[dict[str, float], int]:
    """Milliseconds from the trouble to the first answer without each cluster, and how many questions had no answer."""
    watcher = NetnsWatcher(5353, 0.005)
    watcher.start()
    try:
        whole = frozenset(map(network.address, CLUSTERS))
        _wait_for(watcher, whole)
        started = time.time()
        trouble.begin(network)
        fault_at = time.time() if time.time() - started > 1 else started  # where it is prepared first
        time.sleep(trouble.lasts or seconds)
        if trouble.lasts:
            _mend(network)
            time.sleep(seconds - trouble.lasts)
        erased: dict[str, float] = {}
        for at, held in watcher.answers:
            for name in CLUSTERS:
                if at >= started and network.address(name) not in held:
                    erased.setdefault(name, (at - fault_at) * 1000)
        _mend(network)
        _wait_for(watcher, whole)
        return erased, watcher.unanswered
    finally:
        watcher.end()


def _mend(network: Bed) -> None:
    network.rules()
    network.uplink.delay = network.uplink.jitter = 0.0
    run("ip", "-n", network.nodes("tokyo")[0][0], "link", "set", "eth0", "up")


def _wait_for(watcher: NetnsWatcher, whole: frozenset[str]) -> None:
    """Until every cluster is answered, and has been for a while."""
    deadline = time.time() + 60
    since = time.time()
    while time.time() < deadline:
        time.sleep(0.1)
        if not (watcher.answers and whole <= watcher.answers[-1][1]):
            since = time.time()
        elif time.time() - since > 8:
            return
    sys.exit("the clusters do not come back into the answers")


def main() -> int:
    parser = argparse.ArgumentParser(description="what a bad network erases")
    parser.add_argument("--seconds", type=float, default=20, help="length of each trouble")
    parser.add_argument("--only", default="", help="names of troubles, separated by commas")
    options = parser.parse_args()
    wanted = [t for t in TROUBLES if not options.only or t.name in options.only.split(",")]
    bad = 0
    with (
        tempfile.TemporaryDirectory(prefix="pointsman-network-") as scratch,
        bed(Path(scratch), CLUSTERS) as network,
        pointsman(network.settings(SETTINGS)),
    ):
        print("| trouble | erased, after ms | healthy erased | unanswered |\n|---|---|---|---|")
        for trouble in wanted:
            erased, unanswered = observe(network, trouble, options.seconds)
            healthy = erased.keys() - trouble.gone
            bad += len(healthy) + (trouble.must and not trouble.gone <= erased.keys()) + bool(unanswered)
            said = ", ".join(f"{name} {ms:.0f}" for name, ms in erased.items()) or "nothing"
            print(f"| {trouble.name} | {said} | {len(healthy)} | {unanswered} |", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
