"""The hosts of a lab cluster as their tools see them: worker nodes with containers and daemons, and the physical machine.

Owns the directory that the stand-ins read (``LAB_NODE``, described in ``standin.sh``) and the processes behind it.
Called by :mod:`core.lab.cluster`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.lab.guardian import MARK
from core.lab.process import DEADLINE, Process, named

BIN = Path(__file__).with_name("bin")

VSWITCH = "ovs-vswitchd"
RUNTIME = "containerd"
_TITLES = {
    VSWITCH: "ovs-vswitchd unix:/var/run/openvswitch/db.sock -vconsole:emer -vsyslog:err --mlockall --no-chdir --pidfile",
    RUNTIME: "/usr/bin/containerd --config /etc/containerd/config.toml",
}


def replace(file: Path, text: str) -> None:
    """Readers see the old content or the new."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.rename(file)


class Host:
    """What nodes and physical machines share. ``on_end`` hears of each process that ends: its host and its name."""

    def __init__(self, directory: Path, mark: Path, tether: int, on_end: Callable[[Host, str], None]) -> None:
        self.name = directory.name
        self.directory = directory
        self.processes: dict[str, Process] = {}
        self.env = {
            "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(directory),
            "USER": "lab",
            "LANG": "C.UTF-8",
            "LAB_NODE": str(directory),
            MARK: str(mark),
        }
        self._tether = tether
        self._on_end = on_end
        self.proc = directory / "proc"
        self.monitors = directory / "monitors"
        for part in (self.proc, self.monitors):
            part.mkdir(parents=True)

    def start(self, name: str, title: str) -> Process:
        process = named(title, tether=self._tether, env=self.env, on_end=lambda _: self._on_end(self, name))
        self.processes[name] = process
        return process

    def start_daemon(self, name: str, title: str) -> None:
        process = self.start(name, title)
        replace(self.proc / name, f"{process.pid} {process.started}\n")

    def dead(self, name: str) -> bool:
        return not self.processes[name].alive

    def announce(self, tool: str, line: str) -> None:
        """Send an event line to those who listen to ``tool``."""
        for fifo in self.monitors.glob(f"{tool}.*"):
            with contextlib.suppress(OSError):  # nobody reads it any more, or it is full
                descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
                try:
                    os.write(descriptor, f"{line}\n".encode())
                finally:
                    os.close(descriptor)

    async def run(self, *command: str) -> None:
        """Run one of the host's own commands, as an operator on it would."""
        process = await asyncio.create_subprocess_exec(str(BIN / command[0]), *command[1:], env=self.env)
        async with asyncio.timeout(DEADLINE):
            if await process.wait():
                raise OSError(f"{self.name}: {' '.join(command)} failed")


@dataclass(slots=True)
class Container:
    """A container of a pod. ``past`` is the line of its attempt before, which a runtime goes on listing."""

    pod: str
    image: str
    sandbox: str = field(default_factory=lambda: secrets.token_hex(32))
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempt: int = 0
    line: str = ""
    past: str = ""


def _addresses(cluster: int, node: int) -> tuple[str, str]:
    return f"10.{96 + cluster % 100}.0.10", f"10.244.{node}.7"


class Node(Host):
    """A worker node: containers, a virtual switch, a container runtime, and routes to the cluster's services."""

    def __init__(
        self,
        directory: Path,
        mark: Path,
        tether: int,
        on_end: Callable[[Host, str], None],
        *,
        pods: int,
        place: tuple[int, int],
    ) -> None:
        super().__init__(directory, mark, tether, on_end)
        self.containers: dict[str, Container] = {}
        for number in range(pods):
            app, copy = f"svc{number % 2 + 1}", number // 2
            pod = f"{app}-{self.name}" + (f"-{copy + 1}" if copy else "")
            self.containers[pod] = Container(pod, app)
        self._boot = directory / "ruleset.boot"
        service, backend = _addresses(*place)
        rules = [
            "table ip kube-proxy {",
            "\tchain services {",
            f"\t\tip daddr {service} tcp dport 80 dnat to {backend}:8080",
            f"\t\tip daddr {service} tcp dport 443 dnat to {backend}:8443",
            "\t}",
            "}",
        ]
        saved = [
            "*nat",
            ":PREROUTING ACCEPT [0:0]",
            ":OUTPUT ACCEPT [0:0]",
            ":KUBE-SERVICES - [0:0]",
            f"-A KUBE-SERVICES -d {service}/32 -p tcp --dport 80 -j DNAT --to-destination {backend}:8080",
            f"-A KUBE-SERVICES -d {service}/32 -p tcp --dport 443 -j DNAT --to-destination {backend}:8443",
            "COMMIT",
        ]
        self.ruleset = directory / "ruleset"
        for file, lines in ((self._boot, rules), (self.ruleset, rules), (directory / "iptables.boot", saved)):
            replace(file, "".join(f"{line}\n" for line in lines))

    def boot(self) -> None:
        self.start_dead_daemon(VSWITCH)
        self.start_dead_daemon(RUNTIME)
        self.start_dead_containers()

    def start_dead_daemon(self, name: str) -> None:
        if name not in self.processes or self.dead(name):
            self.start_daemon(name, _TITLES[name])

    def start_dead_containers(self) -> None:
        """Start each container that does not run, as the next attempt; the one before stays listed, as with a kubelet."""
        for container in self.containers.values():
            if container.pod in self.processes:
                if not self.dead(container.pod):
                    continue
                container.attempt += 1
                container.past = container.line
            process = self.start(container.pod, f"/{container.image} --listen :8080")
            container.line = " ".join(
                str(part)
                for part in (
                    secrets.token_hex(32),
                    container.sandbox,
                    container.image,
                    container.attempt,
                    "default",
                    container.pod,
                    container.uid,
                    time.time_ns(),
                    process.pid,
                    process.started,
                )
            )
        lines = [line for c in self.containers.values() for line in (c.line, c.past) if line]
        replace(self.directory / "containers", "".join(f"{line}\n" for line in lines))

    def running_pods(self) -> list[str]:
        return [pod for pod in self.containers if not self.dead(pod)]

    @property
    def routes_gone(self) -> bool:
        return self.ruleset.stat().st_size == 0

    async def flush_routes(self) -> None:
        await self.run("nft", "flush", "ruleset")

    async def restore_routes(self) -> None:
        await self.run("nft", "-f", str(self._boot))


class Machine(Host):
    """A physical machine: a qemu process for each worker node that runs on it."""

    def boot(self, domains: list[str]) -> None:
        self._numbers = dict.fromkeys(domains, 0)
        for domain in domains:
            self.start_domain(domain)

    def start_domain(self, domain: str) -> None:
        """As with libvirt, each start gives the domain a new number."""
        title = (
            f"/usr/bin/qemu-system-x86_64 -name guest={domain},debug-threads=on -machine q35,accel=kvm -m 4096 -smp 2"
        )
        self.start_daemon(domain, title)
        self._numbers[domain] = max(self._numbers.values()) + 1
        replace(self.directory / "domains", "".join(f"{number} {name}\n" for name, number in self._numbers.items()))
        self.announce("virsh", f"event 'lifecycle' for domain '{domain}': Started Booted")

    def ended(self, domain: str) -> None:
        self.announce("virsh", f"event 'lifecycle' for domain '{domain}': Stopped Failed")
