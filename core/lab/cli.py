"""``pointsman lab``: faults in a running demo. Mounted by :mod:`core.cli`; talks through :mod:`core.lab.client` only.

Exit codes: 0 done, 1 refused or no lab, 2 a name that the lab does not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from core.cli.find import demo_directory
from core.errors import PointsmanError
from core.lab.client import LabClient
from core.lab.protocol import ClusterView, Fault, FaultKind, HostView, ProcessView, UnknownName

T = TypeVar("T")

app = typer.Typer(help="Faults in a running demo.", no_args_is_help=True, add_completion=False)

Directory = Annotated[Path | None, typer.Option("--dir", help="The demo's directory; default: the usual one.")]
Socket = Annotated[
    Path | None,
    typer.Option("--socket", envvar="POINTSMAN_SOCKET", help="Control socket of the demo.", metavar="PATH"),
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
OfNode = Annotated[str | None, typer.Option("--node", help="The node; default: the first, or the whole cluster.")]
KINDS = ", ".join(FaultKind)


@app.command("break")
def break_(
    cluster: str,
    kind: Annotated[str, typer.Argument(help=KINDS)],
    node: OfNode = None,
    directory: Directory = None,
    socket: Socket = None,
    as_json: Json = False,
) -> None:
    """Make a fault, and print its time when it is there."""
    _print_faults([_run(_client(directory, socket).break_(cluster, kind, node))], as_json)


@app.command()
def mend(
    cluster: Annotated[str | None, typer.Argument(help="Default: all clusters.")] = None,
    kind: Annotated[str | None, typer.Argument(help=f"{KINDS}. Default: all faults.")] = None,
    node: OfNode = None,
    directory: Directory = None,
    socket: Socket = None,
    as_json: Json = False,
) -> None:
    """Undo a fault, or all of them, and print the time when they are gone."""
    _print_faults(list(_run(_client(directory, socket).mend(cluster, kind, node))), as_json)


@app.command("list")
def list_(directory: Directory = None, socket: Socket = None, as_json: Json = False) -> None:
    """Show the clusters, their faults, and their processes, which you may kill by hand."""
    clusters = _run(_client(directory, socket).list())
    if as_json:
        typer.echo(msgspec.json.encode(clusters))
        return
    for cluster in clusters:
        typer.echo("\n".join(_cluster_lines(cluster)))


def stamp(at: float) -> str:
    """UTC with microseconds, ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def fault_line(fault: Fault) -> str:
    where = f"{fault.cluster}/{fault.node}" if fault.node else fault.cluster
    return f"{stamp(fault.at)}  {fault.at:.6f}  {where}  {fault.kind}: {fault.said}"


def _print_faults(faults: list[Fault], as_json: bool) -> None:
    for fault in faults:
        typer.echo(msgspec.json.encode(fault) if as_json else fault_line(fault))


def _cluster_lines(cluster: ClusterView) -> list[str]:
    return [
        f"{cluster.name}  router {cluster.router}  database {cluster.database}",
        *(f"  FAULT {fault_line(fault)}" for fault in cluster.faults),
        *(f"  {_process(process)}" for process in cluster.processes),
        *(line for host in (*cluster.nodes, cluster.machine) for line in _host_lines(host)),
    ]


def _host_lines(host: HostView) -> list[str]:
    return [f"  {host.name}  {host.ssh}", *(f"    {_process(process)}" for process in host.processes)]


def _process(process: ProcessView) -> str:
    return f"{process.pid:>8}  {process.name}" + ("" if process.alive else "  DEAD")


def _client(directory: Path | None, socket: Path | None) -> LabClient:
    """The lab of that directory, or the one that the process of that socket runs in, or the usual one."""
    return LabClient(directory or (socket.expanduser().parent if socket else demo_directory()))


def _run(order: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(order)
    except PointsmanError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2 if isinstance(error, UnknownName) else 1) from error
