"""The bed: clusters of worker nodes, each behind its router, with databases and a physical machine beside them.

In the bed's own namespace, 10.77.0.1/16 on the bridge ``lan``, runs pointsman; it has no default route: nothing can leave.
 - databases, 10.77.0.2: PostgreSQL, MariaDB, Redis, one for each of the first three clusters
 - machine, 10.77.0.3: libvirt with a virtual machine for each node; also the canary
 - router of cluster C, 10.77.0.(10+C): HAProxy; on its inner side 10.78.C.1/24, on the bridge ``nodes``
 - node N of cluster C, 10.78.C.(10+N), behind that router; its pods have a /24 of 10.79.0.0/16
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.bed.node import Node
from tests.bed.root import node_root
from tests.bed.services import PORTS, Databases, Machines, haproxy
from tests.bed.shell import BASE, wait_until
from tests.bed.space import Space, sweep_dead

DATABASES, MACHINE = "10.77.0.2", "10.77.0.3"
NODE_PORT = 18080


@dataclass(frozen=True)
class Cluster:
    name: str
    address: str
    """Of its router: what DNS answers."""
    nodes: tuple[Node, ...]
    database: str
    """The kind of the database that its containers use; "" where it has none."""

    @property
    def router(self) -> str:
        """Its namespace, and the name of HAProxy's process."""
        return f"router-{self.name}"


class Bed:
    def __init__(self, directory: Path, clusters: int = 3, nodes: int = 2) -> None:
        self.space = Space(directory)
        self.directory = directory
        self._size = (clusters, nodes)
        self.databases = Databases(self.space, "databases", DATABASES)
        self.machines = Machines(self.space, "machine", MACHINE)

    @classmethod
    def found(cls, directory: Path) -> Bed:
        """The one that is up there."""
        clusters, nodes = json.loads((directory / "size").read_text())
        return cls(directory, clusters, nodes)

    @cached_property
    def clusters(self) -> tuple[Cluster, ...]:
        count, nodes = self._size
        kinds = [*PORTS, *[""] * count]
        return tuple(
            Cluster(
                f"c{c}",
                f"10.77.0.{10 + c}",
                tuple(
                    Node(self.space, f"c{c}n{n}", f"10.78.{c}.{10 + n}", f"10.79.{(c - 1) * nodes + n}.0/24")
                    for n in range(1, nodes + 1)
                ),
                kinds[c - 1],
            )
            for c in range(1, count + 1)
        )

    @property
    def nodes(self) -> list[Node]:
        return [node for cluster in self.clusters for node in cluster.nodes]

    @property
    def settings(self) -> Path:
        return self.directory / "pointsman.toml"

    @property
    def control(self) -> Path:
        return self.directory / "control.sock"

    def up(self, *, stay: bool = False) -> None:
        """Brings everything up and waits until every pod answers through its router. What fails takes all of it down."""
        root = node_root()
        sweep_dead()
        self.space.open(stay=stay)
        try:
            self._up(root)
        except BaseException:
            self._keep_logs()
            self.down()
            raise

    def down(self) -> None:
        self.space.close()

    def _up(self, root: Path) -> None:
        (self.directory / "size").write_text(json.dumps(self._size))
        self.directory.chmod(0o755)
        key_file = self.directory / "id"
        self.space.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pointsman", "-f", str(key_file))
        key = key_file.with_suffix(".pub").read_text()
        self._network()
        known = {node.address: node.prepare(key) for node in self.nodes}

        def machine() -> None:
            known[MACHINE] = self.machines.make([node.name for node in self.nodes], key)

        def node_up(node: Node) -> Callable[[], None]:
            def up() -> None:
                node.boot(root)
                node.ready()

            return up

        together([machine, self.databases.make, *map(node_up, self.nodes)])
        (self.directory / "known_hosts").write_text("".join(f"{address} {host}" for address, host in known.items()))
        for cluster in self.clusters:
            self.start_router(cluster)
        for cluster in self.clusters:
            wait_until(f"router of {cluster.name} has pods", lambda c=cluster: self.answers(c))  # type: ignore[misc] # mypy 1.x infers no type for a lambda's default

    def _network(self) -> None:
        self.space.script("ip link add lan type bridge; ip link set lan up; ip addr add 10.77.0.1/16 dev lan")
        for name, address in (("databases", DATABASES), ("machine", MACHINE)):
            self.space.namespace(name)
            self.space.wire("lan", "", name, f"{address}/16")
        for number, cluster in enumerate(self.clusters, 1):
            router = cluster.router
            self.space.namespace(router)
            self.space.wire("lan", "", router, f"{cluster.address}/16")
            inner = f"10.78.{number}"
            self.space.script(
                'ip link add nodes type bridge; ip link set nodes up; ip addr add "$1" dev nodes; sysctl -qw net.ipv4.ip_forward=1',
                f"{inner}.1/24", within=router,
            )  # fmt: skip
            self.space.run("ip", "route", "add", f"{inner}.0/24", "via", cluster.address)
            for node in cluster.nodes:
                self.space.namespace(node.name)
                self.space.wire("nodes", router, node.name, f"{node.address}/24")
                self.space.run("ip", "-n", node.name, "route", "add", "10.77.0.0/16", "via", f"{inner}.1")

    def start_router(self, cluster: Cluster) -> None:
        places = {node.name: f"{node.address}:{NODE_PORT}" for node in cluster.nodes}
        haproxy(self.space, cluster.router, cluster.address, places)

    def answers(self, cluster: Cluster) -> bool:
        url = f"http://{cluster.address}/index.html"
        return self.space.run("curl", "-sf", "-m", "2", url).startswith("web-")

    def _keep_logs(self) -> None:
        for log in sorted(self.directory.glob("*.log")):
            if last := log.read_text(errors="replace")[-1500:].strip():
                print(f"--- {log.name}\n{last}", flush=True)


def together(jobs: Sequence[Callable[[], None]]) -> None:
    """Runs all at once; the first error is raised when all are over."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()


@contextmanager
def bed(name: str, clusters: int = 3, nodes: int = 2) -> Iterator[Bed]:
    """A bed for the length of a block, and no longer than this process."""
    made = Bed(BASE / f"bed-{name}", clusters, nodes)
    made.up()
    try:
        yield made
    finally:
        made.down()
