"""One cluster of the lab: its hosts, router, database and wires, and the faults that befall them.

Called by :mod:`core.lab.lab`. A process that somebody else killed is a fault like one made here.
"""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import asyncssh

from core.errors import CommandRefused
from core.lab import ssh
from core.lab.host import RUNTIME, VSWITCH, Host, Machine, Node
from core.lab.process import Process, server
from core.lab.protocol import NODE_KINDS, WIRE_KINDS, ClusterView, Fault, FaultKind, HostView, ProcessView, UnknownName
from core.lab.wire import Wire

SLOW = 0.3
"""Seconds that a slow wire adds in each direction."""

_Key = tuple[FaultKind, str]


class Cluster:
    """``listeners`` are those of the router, the database, the physical machine and each node, in this order."""

    def __init__(
        self,
        name: str,
        number: int,
        *,
        directory: Path,
        mark: Path,
        tether: int,
        listeners: list[socket.socket],
        pods: int,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.name = name
        self.address: str = listeners[0].getsockname()[0]
        self.faults: dict[_Key, Fault] = {}
        self._directory = directory
        self._tether = tether
        self._lock = asyncio.Lock()
        self._acceptors: list[asyncssh.SSHAcceptor] = []
        self._router_wire, self._database_wire, *host_wires = [Wire(listener, tasks) for listener in listeners]
        self.machine = Machine(directory / "host1", mark, tether, self._ended)
        self.nodes = {
            f"node{place}": Node(
                directory / f"node{place}", mark, tether, self._ended, pods=pods, place=(number, place)
            )
            for place in range(1, len(host_wires))
        }
        self._wires = dict(zip((self.machine.name, *self.nodes), host_wires, strict=True))
        self.servers: dict[FaultKind, Process] = {}

    async def start(self, keys: Path, client: asyncssh.SSHKey) -> None:
        """Make its processes and servers; host keys are kept in ``keys``."""
        self.machine.boot([self.domain(node) for node in self.nodes])
        for node in self.nodes.values():
            node.boot()
        for host in self.hosts:
            key = ssh.host_key(keys, f"{self.name}-{host.name}")
            acceptor = await ssh.listen(key, client, host.env)
            self._acceptors.append(acceptor)
            self._wires[host.name].lead_to(("127.0.0.1", acceptor.get_port()))
        await self._start_server(FaultKind.ROUTER)
        await self._start_server(FaultKind.DATABASE)

    @property
    def hosts(self) -> tuple[Host, ...]:
        return (self.machine, *self.nodes.values())

    def domain(self, node: str) -> str:
        return f"{self.name}-{node}"

    def host_address(self, host: str) -> tuple[str, int]:
        return self._wires[host].address

    @property
    def router_address(self) -> tuple[str, int]:
        return self._router_wire.address

    @property
    def database_address(self) -> tuple[str, int]:
        return self._database_wire.address

    async def _start_server(self, kind: FaultKind) -> None:
        if kind == FaultKind.ROUTER:
            arguments, wire = ("router", self.name), self._router_wire
        else:
            arguments = ("database", str(self._directory / "database.sqlite"))
            wire = self._database_wire

        def ended(process: Process) -> None:
            wire.lead_to(None)
            self._note(kind, "", f"the {kind} process {process.pid} ended")

        process = server(*arguments, tether=self._tether, env=self.machine.env, on_end=ended)
        port = int(await process.first_line())
        self.servers[kind] = process
        wire.lead_to(("127.0.0.1", port))

    # --- faults -----------------------------------------------------------------------------------------------------

    def _note(self, kind: FaultKind, node: str, said: str, at: float | None = None) -> None:
        """Keep what somebody else broke; what was broken from here is there already."""
        self.faults.setdefault((kind, node), Fault(self.name, kind, node, time.time() if at is None else at, said))

    def _ended(self, host: Host, name: str) -> None:
        said = f"{name}, process {host.processes[name].pid}, ended"
        if host is self.machine:
            self.machine.ended(name)
            self._note(FaultKind.MACHINE, name.removeprefix(f"{self.name}-"), said)
        else:
            kinds = {VSWITCH: FaultKind.VSWITCH, RUNTIME: FaultKind.RUNTIME}
            self._note(kinds.get(name, FaultKind.CONTAINERS), host.name, said)

    def _look(self) -> None:
        for node in self.nodes.values():
            if node.routes_gone:
                self._note(FaultKind.ROUTES, node.name, "the ruleset is empty", node.ruleset.stat().st_mtime)

    def _key(self, kind: str, node: str) -> _Key:
        """The fault that is meant. Raises UnknownName."""
        if kind not in list(FaultKind):
            raise UnknownName(f"no fault {kind!r}; there are {', '.join(FaultKind)}")
        fault = FaultKind(kind)
        if node and node not in self.nodes:
            raise UnknownName(f"{self.name} has no node {node!r}; it has {', '.join(self.nodes)}")
        if node and fault not in NODE_KINDS + WIRE_KINDS:
            raise UnknownName(f"{fault} befalls the cluster, not a node")
        return fault, node or (next(iter(self.nodes)) if fault in NODE_KINDS else "")

    async def break_(self, kind: str, node: str) -> Fault:
        """Make a fault; returns when it is there. Raises UnknownName, and CommandRefused when it is there already."""
        key = self._key(kind, node)
        async with self._lock:
            self._look()
            if (present := self.faults.get(key)) is not None:
                where = f" of {key[1]}" if key[1] else ""
                raise CommandRefused(f"{kind}{where} in {self.name} is already broken: {present.said}")
            await self._make(*key)
            return self.faults[key]

    async def _make(self, kind: FaultKind, name: str) -> None:
        """The fault is noted just before it is made, so that its instant is never late."""
        node = self.nodes.get(name)
        if kind in WIRE_KINDS:
            said = f"{SLOW:g} s more each way" if kind == FaultKind.SLOW else "nothing passes any more"
            self._note(kind, name, said)
            self._settle_wires()
        elif node is None:
            process = self.servers[kind]
            self._note(kind, "", f"killed the {kind} process {process.pid}")
            await process.kill()
        elif kind == FaultKind.ROUTES:
            self._note(kind, name, "flushed the ruleset")
            await node.flush_routes()
        elif kind == FaultKind.MACHINE:
            process = self.machine.processes[self.domain(name)]
            said = f"killed qemu process {process.pid} of {self.domain(name)}; in this lab {name} goes on answering SSH"
            self._note(kind, name, said)
            await process.kill()
        else:
            victims = {FaultKind.VSWITCH: VSWITCH, FaultKind.RUNTIME: RUNTIME}
            victim = victims.get(kind) or node.running_pods()[0]
            process = node.processes[victim]
            self._note(kind, name, f"killed {victim}, process {process.pid}")
            await process.kill()

    async def mend(self, kind: str, node: str) -> tuple[Fault, ...]:
        """Undo a fault, or with an empty kind all of them (of one node); each with the instant when it was gone.

        Raises UnknownName, and CommandRefused when there is no such fault.
        """
        if kind:
            wanted = [self._key(kind, node)]
        else:
            self._key(FaultKind.ROUTES, node)
            wanted = []
        async with self._lock:
            self._look()
            keys = [key for key in self.faults if (key in wanted if kind else not node or key[1] == node)]
            if not keys:
                raise CommandRefused(f"{self.name} has no fault {kind}".rstrip() + (f" on {node}" if node else ""))
            return tuple([await self._undo(*key) for key in keys])

    async def _undo(self, kind: FaultKind, name: str) -> Fault:
        del self.faults[kind, name]
        node = self.nodes.get(name)
        if kind in WIRE_KINDS:
            self._settle_wires()
        elif node is None:
            await self._start_server(kind)
        elif kind == FaultKind.ROUTES:
            await node.restore_routes()
        elif kind == FaultKind.MACHINE:
            self.machine.start_domain(self.domain(name))
        elif kind == FaultKind.CONTAINERS:
            node.start_dead_containers()
        else:
            node.start_dead_daemon(VSWITCH if kind == FaultKind.VSWITCH else RUNTIME)
        return Fault(self.name, kind, name, time.time(), "mended")

    def _settle_wires(self) -> None:
        wires = {"": self._router_wire, **self._wires}
        for name, wire in wires.items():
            cut, slow = (any((kind, who) in self.faults for who in ("", name)) for kind in WIRE_KINDS)
            if wire.is_cut != cut:
                wire.set_cut(cut)
            if wire.delay != SLOW * slow:
                wire.set_delay(SLOW * slow)

    # --- what there is ----------------------------------------------------------------------------------------------

    def view(self) -> ClusterView:
        self._look()
        router, database = self.router_address, self.database_address
        return ClusterView(
            name=self.name,
            router=f"http://{router[0]}:{router[1]}",
            database=f"redis://{database[0]}:{database[1]}",
            processes=_processes({str(kind): process for kind, process in self.servers.items()}),
            nodes=tuple(self._host_view(node) for node in self.nodes.values()),
            machine=self._host_view(self.machine),
            faults=tuple(self.faults.values()),
        )

    def _host_view(self, host: Host) -> HostView:
        address, port = self.host_address(host.name)
        return HostView(host.name, f"{ssh.USER}@{address}:{port}", str(host.directory), _processes(host.processes))


def _processes(processes: dict[str, Process]) -> tuple[ProcessView, ...]:
    return tuple(ProcessView(name, process.pid, process.alive) for name, process in processes.items())
