"""24 hours of jittery links at accelerated time: ``make bench-jitter``. Nothing is broken; nothing may be erased.

Generated streams of gaps go through the pure step, with default settings: four clusters of two nodes (``--nodes``) and a router each. Where nobody is
quiet for two ticks a step changes nothing, so only the moments around a gap are played, at the engine's own 25 ms, and between them
once a second. What is generated, for each connection by itself unless it says otherwise:

- *loss* of 1 %: a gap of TCP's retransmission, 0.2 s and a tick, doubled at each further loss, on average every 5 s; a router is asked
  again after 0.2 and 0.3 s over connections of their own, whose packets can be lost as well, and given up after 0.4 s;
- *pauses* of a node (garbage collection, a busy disk): 0.3 to 0.9 s, on average every 10 minutes;
- *bursts* on the way to a whole cluster, its router too: up to 0.12 s, on average once a minute.

With ``--onsets N`` so many times thirty seconds, of which the first ten are without a loss: what a link does that begins to lose packets, of
whose gaps there is no history yet.

    python -m bench.jitter [--hours 24] [--seed 1] [--loss 1] [--nodes 2] [--onsets N]
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import sys
import time
from collections.abc import Iterator
from random import Random

from core.model import CheckId, EventName, Evidence, Kind, Silence, SourceId, SourceKind
from core.restore import restore
from core.settings import Settings
from core.state import Effect, Emit, Tick
from core.step import step
from core.world import World, build

STEP = 0.025
TIMEOUT = 0.4
START = 1_000_000.0
CLUSTERS = 4
Gap = tuple[float, float, tuple[SourceId, ...]]
"""When it begins, how long it lasts, and who is not heard."""


def world(nodes_each: int) -> World:
    names = [f"c{number}" for number in range(CLUSTERS)]
    nodes = [{"name": f"n{number}", "ssh": f"192.0.2.{number}", "checks": []} for number in range(nodes_each)]
    clusters = [
        {"name": name, "addresses": [f"198.51.100.{n}"], "confirm": {"target": "/"}, "node": nodes}
        for n, name in enumerate(names, 1)
    ]
    return build(Settings.model_validate({"app": [{"domain": "svc1.net.", "clusters": names}], "cluster": clusters}))


def gaps(random: Random, who: tuple[SourceId, ...], every: float, kind: str, loss: float) -> Iterator[Gap]:
    """An endless stream of gaps, ``every`` seconds on average; ``loss`` is the share of packets that are lost."""
    at = START + 10
    while True:
        at += random.expovariate(1 / every)
        if kind == "loss":
            length, timeout = 0.05, 0.2
            while True:
                length, timeout = length + timeout * random.uniform(1, 1.2), timeout * 2
                if random.random() > loss:
                    break
        elif kind == "lost answer":
            length = answered(random, loss)
        else:
            length = random.uniform(0.3, 0.9) if kind == "pause" else random.uniform(0.02, 0.12)
        yield at, length, who
        at += length


def answered(random: Random, loss: float) -> float:
    """Seconds until a router is heard that lost a packet of the message over the held connection. It is sent again after 0.2 s, when the
    message is sent over a new connection too; then come new connections only, of four packets each."""
    anew = 1 - (1 - loss) ** 4
    lost = 2 * loss * anew
    for begun in itertools.count():
        for late in (0.2, 0.3) if begun == 0 else (0.0, 0.2, 0.3):
            if random.random() > lost:
                return begun * TIMEOUT + late + 0.05
            lost = anew
    raise AssertionError


def streams(world: World, random: Random, loss: float) -> list[Iterator[Gap]]:
    made, lost = [], 0.05 / loss
    for plan in world.clusters.values():
        made.append(gaps(random, plan.sources, 60, "burst", loss))
        made += [gaps(random, (node,), lost, "loss", loss) for node in plan.nodes]
        made += [gaps(random, (source,), lost, "lost answer", loss) for source in plan.sources if source == plan.router]
        made += [gaps(random, (node,), 600, "pause", loss) for node in plan.nodes]
    return made


def play(hours: float, seed: int, loss: float, nodes_each: int = 2) -> tuple[int, int, list[str]]:
    """How many gaps there were, how many steps that took, and what was erased."""
    here = world(nodes_each)
    random = Random(seed)  # nothing secret
    state = restore(here, {}, START)
    sources = [source for plan in here.clusters.values() for source in plan.sources]
    for source in sources:
        kind = Kind.CONFIRM if source.kind is SourceKind.ROUTER else Kind.WATCH
        state, _ = step(state, Evidence(CheckId(source, kind), True, "fine", START, 0.002), START)
    upcoming = heapq.merge(*streams(here, random, loss))
    following = next(upcoming)
    asked: dict[SourceId, float] = {}
    since: dict[SourceId, float] = {}
    until: dict[SourceId, float] = {}
    now, gap_count, steps, erased = START, 0, 0, []
    while now < START + hours * 3600:
        now = now + STEP if until else min(now + 1.0, max(following[0], now + STEP))
        for source in [source for source, end in until.items() if end <= now]:
            del until[source], since[source]
            if asked.pop(source, None) is not None:
                state, _ = step(state, Evidence(CheckId(source, Kind.CONFIRM), True, "fine", now, 0.002), now)
        while following[0] <= now:
            at, length, who = following
            for source in who:
                since.setdefault(source, at)
                until[source] = max(until.get(source, 0.0), at + length)
            gap_count += 1
            following = next(upcoming)
        silent = dict.fromkeys(sources, 0.02) | {source: now - at for source, at in since.items()}
        effects: list[Effect] = []
        for source, at in since.items():
            if source.kind is SourceKind.ROUTER and now - asked.get(source, at) >= TIMEOUT:
                silence = Silence(CheckId(source, Kind.CONFIRM), "no answer", now, TIMEOUT)
                asked[source] = now
                state, told = step(state, silence, now)
                effects += told
        state, told = step(state, Tick(silent), now)
        effects += told
        steps += 1
        erased += [
            f"{now - START:.1f} s: {effect.event.cluster}: {effect.event.evidence}"
            for effect in effects
            if isinstance(effect, Emit) and effect.event.name is EventName.SWITCH_ORDERED
        ]
    return gap_count, steps, erased


def main() -> int:
    parser = argparse.ArgumentParser(description="false erases on jittery links, at accelerated time")
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loss", type=float, default=1.0, help="per cent of the packets")
    parser.add_argument("--nodes", type=int, default=2, help="of each cluster, beside its router")
    parser.add_argument("--onsets", type=int, default=0)
    options = parser.parse_args()
    began = time.process_time()
    hours = 30 / 3600 if options.onsets else options.hours
    played = [
        play(hours, options.seed + more, options.loss / 100, options.nodes) for more in range(options.onsets or 1)
    ]
    gap_count, steps, erased = sum(p[0] for p in played), sum(p[1] for p in played), [e for p in played for e in p[2]]
    took = time.process_time() - began
    what = f"{options.onsets * CLUSTERS} onsets" if options.onsets else f"{hours:g} hours"
    print(
        f"{what} of {options.loss:g} % loss, {gap_count} gaps, {steps} steps in {took:.0f} s: {len(erased)} false erases"
    )
    print("\n".join(erased[:20]))
    return 1 if erased else 0


if __name__ == "__main__":
    sys.exit(main())
