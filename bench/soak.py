"""Does one lost packet in a hundred erase anything? ``make soak-loss ARGS="--minutes 120"``

Four clusters of two nodes in network namespaces (:mod:`bench.netns`), nothing broken, but 1 % of all packets between
pointsman and the clusters lost, each way. DNS is asked twenty times a second by somebody who knows nothing of pointsman's opinion; an
answer that lacks an address is a false erase. A line of JSON a minute, and one with ``"over": true`` at the end.

    python -m bench.soak [--minutes 120] [--loss 1] [--out FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.netns import NetnsWatcher, bed, pointsman
from core.control.remote import RemoteClient

CLUSTERS = ("tokyo", "osaka", "fukuoka", "sapporo")
PACE = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description="false erases on a lossy network")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--loss", type=int, default=1, help="percent of packets, each way")
    parser.add_argument("--out", type=Path, help="append the lines there instead of printing them")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pointsman-soak-") as scratch,
        bed(Path(scratch), CLUSTERS) as network,
        pointsman(network.settings("")),
    ):
        whole = frozenset(map(network.address, CLUSTERS))
        watcher = NetnsWatcher(5353, PACE)
        watcher.start()
        time.sleep(10)
        network.rules(network.lose(options.loss))
        began, answers, lacking = time.time(), 0, 0
        ends = began + options.minutes * 60
        while (now := time.time()) < ends:
            time.sleep(min(60.0, ends - now))
            got, watcher.answers = watcher.answers, []
            answers += len(got)
            lacking += sum(not whole <= held for _, held in got)
            over = time.time() >= ends
            events = asyncio.run(_events(Path(scratch, "state/control.sock"), began))
            line = {
                "minutes": round((time.time() - began) / 60, 1),
                "loss_percent": options.loss,
                "answers": answers,
                "answers_lacking_an_address": lacking,
                "unanswered": watcher.unanswered,
                "events": events,
                "over": over,
            }
            _write(options.out, json.dumps(line))
        watcher.end()
    return 1 if lacking else 0


async def _events(control: Path, since: float) -> dict[str, int]:
    client = RemoteClient(control)
    try:
        return dict(Counter(str(event.name) for event in await client.events(since=since, limit=10_000)))
    finally:
        await client.close()


def _write(out: Path | None, line: str) -> None:
    if out is None:
        print(line, flush=True)
        return
    with out.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
