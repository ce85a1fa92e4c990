"""What each of several instances serves while etcd, or the way to it, is broken: ``make bench-instances``. Needs etcd, strace and libfaketime.

Plays the cases of the live tests, with real pointsmans and a real etcd, and prints the table of the operator's guide. Then it measures how long an
order that one instance was given takes until another answers by it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from core.model import Action
from tests.live.etcd_servers import etcd
from tests.live.instance_cases import BOTH, CASES, ONLY_B, Row
from tests.live.instances import Instance, config, instances

ROUNDS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="orders that are measured")
    parser.add_argument("cases", nargs="*", default=list(CASES), help=f"of {', '.join(CASES)}")
    given = parser.parse_args()
    rows: list[Row] = []
    for name in given.cases:
        with tempfile.TemporaryDirectory() as directory:
            rows += CASES[name](Path(directory))
    sys.stdout.write("| what is broken | what happens | tokyo answers | osaka answers |\n|---|---|---|---|\n")
    last = ""
    for case, when in dict.fromkeys((row.case, row.when) for row in rows):
        answers = {row.instance: row for row in rows if (row.case, row.when) == (case, when)}
        cells = [_cell(answers.get(name)) for name in ("tokyo", "osaka")]
        sys.stdout.write(f"| {case if case != last else ''} | {when} | {' | '.join(cells)} |\n")
        last = case
    with tempfile.TemporaryDirectory() as directory, etcd(Path(directory), 3) as members:
        places = [each.endpoint for each in members]
        configs = [config(Path(directory), name, places, names=("tokyo", "osaka")) for name in ("tokyo", "osaka")]
        with instances(configs) as [tokyo, osaka]:
            took = [_measured(tokyo, osaka) for _ in range(given.rounds)]
    sys.stdout.write(
        f"\nan order at tokyo → osaka answers by it, 3 members on this machine, {len(took)} orders: median "
        f"{statistics.median(took):.0f} ms, slowest {max(took):.0f} ms\n"
    )


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row.served} ({row.told})" if row.told else row.served


def _measured(giver: Instance, other: Instance) -> float:
    """Milliseconds from giving the order until the other answers by it."""
    action, wanted = (Action.DRAIN, ONLY_B) if giver.addresses() == BOTH else (Action.RESTORE, BOTH)
    began = time.monotonic()
    giver.give(action, "a", "measured")
    while other.addresses() != wanted:
        time.sleep(0.001)
    return (time.monotonic() - began) * 1000


if __name__ == "__main__":
    main()
