"""What the lab and those who ask it for faults say to each other: JSON lines on the Unix socket ``lab.sock``.

Owns the names of faults and the messages. Imported by the lab and by :mod:`core.lab.client`; does no I/O.
Instants are seconds since the Unix epoch (UTC).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import PointsmanError


class FaultKind(StrEnum):
    """What can be broken. Each but the last four befalls one node; ``network`` and ``slow`` a node or the whole cluster."""

    CONTAINERS = "containers"
    ROUTES = "routes"
    VSWITCH = "vswitch"
    RUNTIME = "runtime"
    MACHINE = "machine"
    DATABASE = "database"
    ROUTER = "router"
    NETWORK = "network"
    SLOW = "slow"


HELP = {
    FaultKind.CONTAINERS: "Kill a container of a node.",
    FaultKind.ROUTES: "Flush a node's routing tables.",
    FaultKind.VSWITCH: "Kill ovs-vswitchd on a node.",
    FaultKind.RUNTIME: "Kill the container runtime of a node.",
    FaultKind.MACHINE: "Kill the virtual machine of a node; the node itself goes on answering in this lab.",
    FaultKind.DATABASE: "Kill the database.",
    FaultKind.ROUTER: "Kill the router.",
    FaultKind.NETWORK: "Cut the cluster off: nothing passes any more.",
    FaultKind.SLOW: "Slow the cluster's network down.",
}

NODE_KINDS = (FaultKind.CONTAINERS, FaultKind.ROUTES, FaultKind.VSWITCH, FaultKind.RUNTIME, FaultKind.MACHINE)
WIRE_KINDS = (FaultKind.NETWORK, FaultKind.SLOW)


class UnknownName(PointsmanError):
    """A cluster, fault or node that the lab does not have; the text names those that it has."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``at`` is the instant just before the fault was made, or just after it was undone. ``node`` is empty where the fault
    befalls the cluster."""

    cluster: str
    kind: FaultKind
    node: str
    at: float
    said: str


@dataclass(frozen=True, slots=True)
class ProcessView:
    name: str
    pid: int
    alive: bool


@dataclass(frozen=True, slots=True)
class HostView:
    """A node or a physical machine; ``ssh`` is user@address:port, ``directory`` what its tools read."""

    name: str
    ssh: str
    directory: str
    processes: tuple[ProcessView, ...]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """``router`` is a URL, ``database`` a DSN."""

    name: str
    router: str
    database: str
    processes: tuple[ProcessView, ...]
    nodes: tuple[HostView, ...]
    machine: HostView
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """``op`` is break, mend or list. For mend, a name that is empty means all of them."""

    op: str
    cluster: str = ""
    kind: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """``unknown`` tells that the error is about a name that does not exist."""

    error: str = ""
    unknown: bool = False
    faults: tuple[Fault, ...] = ()
    clusters: tuple[ClusterView, ...] = ()


def socket_path(directory: Path) -> Path:
    return directory / "lab.sock"
