"""A bed to try things on by hand; ``make bed-up`` and ``make bed-down`` are its first and last command.

``up [--clusters 3] [--nodes 2]`` · ``down [--purge]`` · ``run [NODE] COMMAND…``: on a node as its root, or (without NODE) where
pointsman runs · ``pointsman [WORD…]``: pointsman in the bed, on the bed's settings, as in ``pointsman run``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from tests.bed import settings
from tests.bed.bed import Bed
from tests.bed.shell import BASE, BedError

DIRECTORY = BASE / "bed-by-hand"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bed", description="a bed of real clusters")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up")
    up.add_argument("--clusters", type=int, default=3)
    up.add_argument("--nodes", type=int, default=2, help="of each cluster")
    down = commands.add_parser("down")
    down.add_argument("--purge", action="store_true", help="the cached root of the nodes, too")
    for name in ("run", "pointsman"):
        commands.add_parser(name).add_argument("words", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if os.geteuid():
        sys.exit("bed: namespaces and mounts take root")
    try:
        return int(globals()[f"_{options.command}"](options) or 0)
    except BedError as error:
        sys.exit(f"bed: {error}")


def _up(options: argparse.Namespace) -> None:
    if DIRECTORY.exists() and Bed.found(DIRECTORY).space.up:
        print("bed: is up")
    else:
        made = Bed(DIRECTORY, options.clusters, options.nodes)
        made.up(stay=True)
        settings.write(made, patient=False)
        print(f"bed: up; its files are in {DIRECTORY}, pointsman's settings in pointsman.toml")


def _down(options: argparse.Namespace) -> None:
    if DIRECTORY.exists():
        Bed(DIRECTORY).down()
    if options.purge:
        for root in BASE.glob("root-*"):
            shutil.rmtree(root)


def _found() -> Bed:
    if not (DIRECTORY / "size").exists():
        raise BedError("is not up: make bed-up")
    return Bed.found(DIRECTORY)


def _run(options: argparse.Namespace) -> int:
    made = _found()
    node = next((node for node in made.nodes if options.words[:1] == [node.name]), None)
    words = [*made.space.words(), *(options.words or ["bash"])]
    if node:
        words = [*made.space.words(), *node.words(), *(options.words[1:] or ["bash"])]
    os.execvp(words[0], words)


def _pointsman(options: argparse.Namespace) -> int:
    made = _found()
    os.environ |= {"POINTSMAN_SOCKET": str(made.control)}
    where = ["--config", str(made.settings)] if options.words[:1] in (["run"], ["check"]) else []
    os.execvp("nsenter", [*made.space.near(), sys.executable, "-m", "core.cli", *options.words, *where])


if __name__ == "__main__":
    sys.exit(main())
