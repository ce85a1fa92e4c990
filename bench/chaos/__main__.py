"""Two hours of chaos: ``make soak ARGS="--minutes 120"``.

A lab of clusters with everything in it breaking and mending at random, operators who drain, erase, restore and freeze, and a
pointsman that is killed, ended, stopped and reloaded. Meanwhile DNS is asked from outside, a hundred times a second, by somebody who
knows nothing of pointsman's opinion; each answer is held against what the soak itself broke and ordered (:mod:`bench.chaos.truth`).
A line of JSON a minute, and one with ``"over": true`` and all wrongs at the end; the exit code is 1 when there was one.

``--plant`` makes a bug on purpose, to see that it is found: ``shadow`` (nothing is erased), ``hasty`` (one silent node erases),
``forget`` (the state is lost at each kill).

    python -m bench.chaos [--minutes 120] [--clusters 6] [--seed 1] [--plant BUG] [--out FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.chaos.mischief import AFTER, Books, Breaker, Killer, Operator
from bench.chaos.process import Asker, Pinger, Pointsman
from bench.chaos.truth import RETURN, Judge
from bench.failover import free_port, percentile
from core.lab.client import LabClient
from core.lab.demo import running
from core.settings.load import load

QUICK = {
    "POINTSMAN_RECOVERY__HOLD": "2",
    "POINTSMAN_RECOVERY__HOLD_LIMIT": "16",
    "POINTSMAN_RECOVERY__RAMP": "[25, 50, 75, 100]",
    "POINTSMAN_RECOVERY__RAMP_STEP": "1",
}
"""The way back is shortened, so that two hours hold many of them; detection and safety run at their defaults."""
PLANTS = {
    "": {},
    "shadow": {"POINTSMAN_SAFETY__SHADOW": "true"},
    "hasty": {"POINTSMAN_DETECTION__SILENCE__POLICY": "abnormal"},
    "forget": {},
}
PACE = 0.01
FAULTS, ORDERS, KILLS = 36.0, 48.0, 45.0
"""Mean seconds from one to the next, at one cluster for the first two: with fewer clusters less may happen, or none of them is
ever well for so long that the others can be judged."""
SEEN = ("well and wholly in", "out by hand", "broken and gone")
"""What has to have been judged, in so many answers a minute, for the soak to say anything."""
JUDGED_A_MINUTE = 20


def main() -> int:
    parser = argparse.ArgumentParser(description="random faults, orders and kills, judged from outside")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--clusters", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", choices=PLANTS, default="", help="a bug that has to be found")
    parser.add_argument("--out", type=Path, help="append the lines there instead of printing them")
    parser.add_argument("--log", type=Path, help="pointsman's own log")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pointsman-chaos-") as scratch:
        port = free_port()
        with running(Path(scratch), dns_port=port, clusters=options.clusters) as config:
            pointsman = Pointsman(config, {**QUICK, **PLANTS[options.plant]}, options.log or Path(scratch, "log"))
            pointsman.start()
            try:
                return asyncio.run(_soak(config, port, pointsman, options))
            finally:
                pointsman.end(signal.SIGKILL)


async def _soak(config: Path, port: int, pointsman: Pointsman, options: argparse.Namespace) -> int:
    settings = load(config)
    names = {str(address): cluster.name for cluster in settings.cluster for address in cluster.addresses}
    clusters, apps = tuple(names.values()), tuple(app.domain for app in settings.app)
    await asyncio.sleep(10)  # the first round, and the sessions' first breath
    books = Books(Judge(apps, clusters))
    asker = Asker(port, apps, names, PACE)
    asker.start()
    routers = {view.name: view.router.removeprefix("http://") for view in await LabClient(config.parent).list()}
    places = {name: (place.partition(":")[0], int(place.partition(":")[2])) for name, place in routers.items()}
    loop = asyncio.get_running_loop()

    def slow(cluster: str, at: float, until: float) -> None:
        loop.call_soon_threadsafe(books.note, at, books.judge.router_slow, cluster, until)

    Pinger(places, slow).start()
    dice = [random.Random(f"{options.seed}/{hand}") for hand in range(3)]
    breaker = Breaker(LabClient(config.parent), books, clusters, apps, dice[0])
    operator = Operator(pointsman, breaker, books, clusters, dice[1])
    killer = Killer(pointsman, books, dice[2], config.parent / "state" if options.plant == "forget" else None)
    share = len(clusters)
    works = (breaker.run(FAULTS / share), operator.run(ORDERS / share), killer.run(KILLS))
    tasks = [asyncio.create_task(work) for work in works]
    began = time.time()
    ends, told = began + options.minutes * 60, began
    while time.time() < ends:
        await asyncio.sleep(1)
        _hold(books, asker)
        _rest(books)
        await asyncio.gather(*(task for task in tasks if task.done()))  # a hand that failed fails the whole
        if pointsman.died:
            raise RuntimeError("pointsman ended by itself; see its log")
        if time.time() - told >= 60:
            told += 60
            _write(options.out, _line(books, asker, began, pointsman))
    books.over = True
    await asyncio.gather(*tasks)
    return await _end(books, asker, began, (breaker, operator), pointsman, options)


def _hold(books: Books, asker: Asker) -> None:
    """Merge notes and answers by time, and judge what is old enough."""
    until = time.time() - AFTER
    answers = asker.take(until)
    books.notes.sort(key=lambda note: note[0])
    for answer in answers:
        while books.notes and books.notes[0][0] <= answer.came:
            books.notes.pop(0)[1]()
        books.judge.answer(answer)


def _rest(books: Books) -> None:
    """Where no cluster is known to be well, everything may be fail-open, and nothing can be judged: all were broken together, or
    one after the other before the first was known again. Then the hands rest until one is."""
    known = any(place.settled for place in books.judge.places.values())
    if known is books.resting:
        books.resting = not known
        books.done["rest"] += not known


async def _end(
    books: Books,
    asker: Asker,
    began: float,
    hands: tuple[Breaker, Operator],
    pointsman: Pointsman,
    options: argparse.Namespace,
) -> int:
    """Everything is mended and restored, and has to be well again."""
    for hand in hands:
        await hand.rest()
    rest = time.time() + RETURN + 30
    while time.time() < rest:
        await asyncio.sleep(1)
        _hold(books, asker)
    line = _line(books, asker, began, pointsman)
    out = [f"{app} {name}" for (app, name), place in books.judge.places.items() if not place.settled]
    blind = [rule for rule in SEEN if books.judge.rules[rule] < JUDGED_A_MINUTE * options.minutes]
    wrongs = [wrong._asdict() for wrong in books.judge.wrongs[:200]]
    _write(
        options.out, {**line, "over": True, "not_back_at_the_end": out, "hardly_judged": blind, "wrong_ones": wrongs}
    )
    return 1 if books.judge.wrongs or out or blind else 0


def _line(books: Books, asker: Asker, began: float, pointsman: Pointsman) -> dict[str, object]:
    judge = books.judge
    return {
        "minutes": round((time.time() - began) / 60, 1),
        "answers": judge.answers,
        "unanswered_while_down": judge.excused,
        "erased_while_the_machine_starved_a_router": judge.starved,
        "wrong": dict(Counter(wrong.rule for wrong in judge.wrongs)),
        "last_wrong": judge.wrongs[-1]._asdict() if judge.wrongs else None,
        "judged_by": dict(judge.rules),
        "done": dict(sorted(books.done.items())),
        "clean_ms": {what: _spread(times, 1000) for what, times in sorted(judge.clean.items())},
        "seconds": {
            "back": _spread(judge.returned, 1),
            **{what: _spread(times, 1) for what, times in books.slow.items()},
        },
        "dns_ms": _spread(list(asker.delays), 1000),
        "memory_mib": pointsman.memory(),
        "over": False,
    }


def _spread(values: Sequence[float], scale: float) -> dict[str, float]:
    if not values:
        return {"n": 0}
    found = {"p50": statistics.median(values), "p99": percentile(list(values), 0.99), "max": max(values)}
    return {"n": len(values), **{name: round(value * scale, 2) for name, value in found.items()}}


def _write(out: Path | None, line: dict[str, object]) -> None:
    if out is None:
        print(json.dumps(line), flush=True)
        return
    with out.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
