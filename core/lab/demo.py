"""Starts and stops a lab around a pointsman process, and offers its faults to the console's palette.

Called by :mod:`core.cli`, benches and tests. The lab itself is another process: what pointsman measures is not slowed by it.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from core.errors import PointsmanError, StartError
from core.lab.client import LabClient
from core.lab.guardian import claim
from core.lab.protocol import HELP, FaultKind

_ROOT = Path(__file__).parents[2]
_STOP = 10.0


@contextlib.contextmanager
def running(
    directory: Path, *, dns_port: int = 5300, clusters: int = 3, nodes: int = 2, pods: int = 2
) -> Iterator[Path]:
    """A lab for as long as the context lasts; yields the path of the config.toml for pointsman. Raises StartError."""
    try:
        claim(directory)
        with (directory / "lab.log").open("ab") as log:
            lab = subprocess.Popen(
                [
                    *(sys.executable, "-m", "core.lab", "--dir", str(directory), "--dns-port", str(dns_port)),
                    *("--clusters", str(clusters), "--nodes", str(nodes), "--pods", str(pods)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
                },
                start_new_session=True,
            )
    except OSError as error:
        raise StartError(f"{directory}: {error.strerror or error}") from error
    try:
        _await_ready(lab, directory, 15 + 0.5 * clusters)
        yield directory / "config.toml"
    finally:
        lab.terminate()
        try:
            lab.wait(_STOP)
        except subprocess.TimeoutExpired:
            lab.kill()
            lab.wait()
        assert lab.stdout is not None
        lab.stdout.close()


def _await_ready(lab: subprocess.Popen[bytes], directory: Path, patience: float) -> None:
    assert lab.stdout is not None
    deadline = time.monotonic() + patience
    while select.select([lab.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        line = lab.stdout.readline()
        if line == b"ready\n":
            return
        if not line:
            said = (directory / "lab.log").read_text(errors="replace").strip().splitlines()
            raise StartError(f"the lab did not start: {said[-1] if said else 'it said nothing'}")
    raise StartError(f"the lab was not ready after {patience:g} seconds; see {directory / 'lab.log'}")


def palette(directory: Path) -> list[tuple[str, str, Callable[[], Awaitable[str]]]]:
    """Entries of the console's command palette: name, help, and what runs it and returns the line to show.

    ``directory`` is that of a running lab.
    """
    client = LabClient(directory)

    async def break_(cluster: str, kind: FaultKind) -> str:
        try:
            fault = await client.break_(cluster, kind)
        except PointsmanError as error:
            return str(error)
        return f"{' '.join(filter(None, (cluster, fault.node)))}: {fault.said}"

    async def mend(cluster: str) -> str:
        try:
            faults = await client.mend(cluster)
        except PointsmanError as error:
            return str(error)
        return f"{cluster}: mended {', '.join(fault.kind for fault in faults)}"

    entries: list[tuple[str, str, Callable[[], Awaitable[str]]]] = []
    for cluster in sorted(part.name for part in (directory / "clusters").iterdir()):
        entries.extend(
            (f"lab: break {cluster} {kind}", HELP[kind], partial(break_, cluster, kind)) for kind in FaultKind
        )
        entries.append((f"lab: mend {cluster}", "Undo every fault of this cluster.", partial(mend, cluster)))
    return entries
