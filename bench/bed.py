"""Every fault, made for real on the bed of real clusters: ``make bench-bed``, as root on Debian 12 (docs/bed.md).

Runs pointsman at its default detection against 3 clusters of 2 nodes over SSH, makes each fault in turn, and asks its DNS every
millisecond. With ``--peers`` gdnsd and a kubelet-like prober watch the same pods and routers, and each fault is left until they
have decided too, or for 45 s.

    python -m bench.bed [--rounds 3] [--kinds router-dead,pod-killed] [--peers]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict

from bench.failover import LAST, percentile
from bench.peers import Peers, peers
from tests.bed.bed import bed
from tests.bed.faults import FAULTS, Fault
from tests.bed.shell import BedError
from tests.bed.trial import Outcome, Pointsman, pointsman, trial

GIVE_UP = 45.0
VISIBLE = (
    "container-stopped", "pod-killed", "nftables-flushed", "router-dead", "router-hung", "nodes-frozen", "uplink-cut", "one-way-loss",
)  # fmt: skip
"""Faults that an HTTP question to a pod or a router can see."""
SILENCES = {"router-hung", "nodes-frozen", "node-rebooted", "uplink-cut", "one-way-loss"}


def run(running: Pointsman, faults: list[Fault], rounds: int, others: Peers | None) -> bool:
    """Makes them all and prints the tables. Whether each was decided as it must, and nobody else was hit."""
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    seen: dict[str, list[tuple[float | None, ...]]] = defaultdict(list)
    wrong = 0
    clusters = running.bed.clusters
    for number in range(rounds):
        for offset, fault in enumerate(faults):
            own = [one for one in clusters if one.database == fault.database]
            cluster = own[0] if fault.database else clusters[(number + offset) % len(clusters)]

            def hold(fault_at: float, name: str = cluster.name, fault: Fault = fault) -> None:
                if others:
                    deadline = time.time() + GIVE_UP
                    while None in others.since(name, fault_at) and time.time() < deadline:
                        time.sleep(0.2)
                    seen[fault.name].append(others.since(name, fault_at))
                if fault.name in SILENCES:
                    time.sleep(max(0.0, fault_at + LAST - time.time()))

            try:
                outcome = trial(running, fault, cluster, 0.001, hold)
            except BedError as error:
                print(f"{fault.name} at {cluster.name}: {error}", file=sys.stderr)
                wrong += 1
                continue
            outcomes[fault.name].append(outcome)
            print(f"round {number + 1}: {fault.name}: {outcome.ms or 0:.0f} ms", file=sys.stderr, flush=True)
    for fault in faults:
        _row(fault, outcomes[fault.name])
    if others:
        print(f"\n| fault | pointsman | {' | '.join(others.names)} |\n|{'---|' * (len(others.names) + 2)}")
        for name, decisions in seen.items():
            cells = [_seconds([one[n] for one in decisions]) for n in range(len(others.names))]
            own_times = [one.ms / 1000 if one.ms else None for one in outcomes[name]]
            print(f"| {name} | {_seconds(own_times)} | {' | '.join(cells)} |")
    return not wrong and not any(one.wrong for every in outcomes.values() for one in every)


def _row(fault: Fault, outcomes: list[Outcome]) -> None:
    if not outcomes:
        print(f"| {fault.name} | failed | 0 |")
        return
    times = [one.ms for one in outcomes if one.ms is not None]
    back = [one.back_ms / 1000 for one in outcomes if one.back_ms is not None]
    figures = f"{percentile(times, 0.5):.0f} | {percentile(times, 0.99):.0f}" if times else "stays | stays"
    returned = f"{statistics.median(back):.1f}" if back else ""
    wrong = sum(one.wrong for one in outcomes)
    said = outcomes[-1].evidence.partition("/")[2]
    print(
        f"| {fault.name} | {outcomes[-1].decision.partition(': ')[2]}: {said} | {len(outcomes)} | {figures} | {wrong} | {returned} |"
    )


def _seconds(values: list[float | None]) -> str:
    """The median and the worst, in seconds."""
    found = sorted(value for value in values if value is not None)
    missed = f", {len(values) - len(found)} of {len(values)} not seen" if len(found) < len(values) else ""
    return f"{statistics.median(found):.2f} (worst {found[-1]:.2f}){missed}" if found else "not seen"


def main() -> int:
    parser = argparse.ArgumentParser(description="every fault on real components")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--peers", action="store_true", help="gdnsd and a kubelet-like prober beside it")
    options = parser.parse_args()
    wanted = (
        options.kinds.split(",") if options.kinds else VISIBLE if options.peers else [fault.name for fault in FAULTS]
    )
    faults = [fault for fault in FAULTS if fault.name in wanted]
    print("| fault | decision | n | p50 ms | p99 ms | wrong | back after s |\n|---|---|---|---|---|---|---|")
    try:
        with bed(f"bench-{os.getpid()}") as made, pointsman(made, patient=False) as running:
            if not options.peers:
                return 0 if run(running, faults, options.rounds, None) else 1
            with peers(made) as others:
                return 0 if run(running, faults, options.rounds, others) else 1
    except BedError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    sys.exit(main())
