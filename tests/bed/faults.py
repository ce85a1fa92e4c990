"""Every fault of the specification, made for real on a bed, and mended.

Each says what pointsman must make of it: ``evidence`` is a pattern of what the erased cluster's cause says; where a fault is silence
that nothing corroborates, the cluster must stay, and ``evidence`` is a pattern of what the silent check says.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.bed.bed import Bed, Cluster
from tests.bed.node import Node
from tests.bed.services import CONNECTIONS
from tests.bed.shell import BedError, wait_until
from tests.bed.space import ROOT

WEB = "$(crictl ps | awk '/web-/{print $1}')"


@dataclass
class Scene:
    """Where a fault is made. ``undo`` ends what the fault has left running."""

    bed: Bed
    cluster: Cluster
    undo: ExitStack = field(default_factory=ExitStack)

    @property
    def node(self) -> Node:
        return self.cluster.nodes[0]


@dataclass(frozen=True)
class Fault:
    name: str
    make: Callable[[Scene], float]
    """Returns when the fault was there, in seconds since the epoch."""
    mend: Callable[[Scene], object]
    evidence: str
    erased: bool = True
    database: str = ""
    """The kind of database that it needs: it is made in the cluster that has one."""


def _on_node(script: str) -> Callable[[Scene], float]:
    return lambda scene: scene.node.at(script)


def _tend(scene: Scene) -> None:
    for node in scene.cluster.nodes:
        node.tend()


def _ready(scene: Scene) -> None:
    scene.node.ready()


def _stop_pods_process(scene: Scene) -> float:
    pid = f"$(crictl inspect -o go-template --template '{{{{.status.id}}}} {{{{.info.pid}}}}' {WEB} | cut -d' ' -f2)"
    return scene.node.at(f"kill -KILL {pid}")


# --- the runtime and the switch: what systemd restarts by itself is mended by waiting ------------------------------------


def _signal_unit(unit: str, number: str) -> Callable[[Scene], float]:
    if unit == "ovs-vswitchd":  # the unit's first process has ended: it was the script that started the daemon
        return _on_node(f"kill -{number} $(cat /var/run/openvswitch/ovs-vswitchd.pid)")
    return _on_node(f"kill -{number} $(systemctl show -P MainPID {unit})")


# --- the physical machine ---------------------------------------------------------------------------------------------


def _virsh(*words: str) -> Callable[[Scene], float]:
    def make(scene: Scene) -> float:
        name = scene.node.name
        return _now_after(scene, lambda: scene.bed.machines.virsh(words[0], name, *words[1:]))

    return make


def _crash_machine(scene: Scene) -> float:
    """A key makes the guest say that it has panicked; it takes one once its firmware has started it."""
    name = scene.node.name

    def crashed() -> bool:
        scene.bed.machines.virsh("send-key", name, "KEY_A")
        return scene.bed.machines.virsh("domstate", name).strip() == "crashed"

    wait_until(f"virtual machine {name} panics", crashed, 60)
    return _now(scene)


def _now(scene: Scene) -> float:
    return float(scene.bed.space.run("date", "+%s.%N"))


def _now_after(scene: Scene, do: Callable[[], object]) -> float:
    do()
    return _now(scene)


# --- databases --------------------------------------------------------------------------------------------------------


def _flood(scene: Scene) -> float:
    dsn = scene.bed.databases.dsn(scene.cluster.database)
    words = [*scene.bed.space.near(), sys.executable, "-m", "tests.bed.flood", dsn, str(CONNECTIONS + 5)]
    process = scene.undo.enter_context(
        subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    scene.undo.callback(process.stdin.close)
    said = process.stdout.readline().split()
    if not said:
        raise BedError("the connections could not be taken")
    return float(said[0])


def _restart(scene: Scene) -> None:
    kind = scene.cluster.database
    wait_until(f"the end of {kind}", lambda: not scene.bed.space.alive(kind))
    scene.bed.databases.start(kind)


def _database_faults(kind: str, full: str) -> list[Fault]:
    stop = {"postgresql": "INT"}.get(kind, "TERM")  # PostgreSQL's TERM waits for its clients
    return [
        Fault(
            f"{kind}-stopped",
            lambda scene: scene.bed.space.signal(kind, stop),
            _restart,
            rf"{kind}/database: ",
            database=kind,
        ),
        Fault(
            f"{kind}-full",
            _flood,
            lambda scene: scene.undo.close(),
            rf"{kind}/database: .*({full}|over the limit)",
            database=kind,
        ),
    ]


# --- the router, the nodes, the network -------------------------------------------------------------------------------


def _signal_router(number: str) -> Callable[[Scene], float]:
    return lambda scene: scene.bed.space.signal(scene.cluster.router, number)


def _freeze(count: int) -> Callable[[Scene], float]:
    def make(scene: Scene) -> float:
        for node in scene.cluster.nodes[:count]:
            node.freeze(True)
        return _now(scene)

    return make


def _thaw(scene: Scene) -> None:
    for node in scene.cluster.nodes:
        node.freeze(False)


def _link(state: str) -> Callable[[Scene], float]:
    return lambda scene: _now_after(
        scene, lambda: scene.bed.space.run("ip", "link", "set", scene.cluster.router, state)
    )


def _lose_what_we_send(scene: Scene) -> float:
    inside = ", ".join(node.address for node in scene.cluster.nodes)
    rule = f"ip daddr {{ {scene.cluster.address}, {inside} }} drop"
    table = f"table inet loss {{ chain output {{ type filter hook output priority 0; {rule}; }}\n}}"
    return _now_after(scene, lambda: scene.bed.space.run("nft", "-f", "-", given=table))


FAULTS = (
    Fault("container-stopped", _on_node(f"crictl stop {WEB}"), _tend, r"containers: pod shop/web-\w+ container app is Exited"),
    Fault("pod-killed", _stop_pods_process, _tend, r"containers: pod shop/web-\w+ container app is Exited"),
    Fault("nftables-flushed", _on_node("nft flush ruleset"), _tend, r"routes:\w+: no rules listed by (nft|iptables)"),
    Fault(
        "iptables-flushed",
        _on_node("for table in filter nat; do iptables -t $table -F; iptables -t $table -X; done"),
        _tend,
        r"routes:iptables: no rules listed by iptables",
    ),
    Fault("vswitch-killed", _signal_unit("ovs-vswitchd", "KILL"), _ready, r"vswitch:\w+: (no process|ovs-vswitchd does not answer)"),
    Fault(
        "vswitch-hung",
        _signal_unit("ovs-vswitchd", "STOP"),
        _signal_unit("ovs-vswitchd", "CONT"),
        r"vswitch:appctl: ",
        erased=False,
    ),
    Fault("runtime-stopped", _on_node("systemctl stop containerd"), _on_node("systemctl start containerd"), r"/runtime: containerd.service is |does not answer"),
    Fault("runtime-killed", _signal_unit("containerd", "KILL"), _ready, r"/runtime: containerd.service is |does not answer"),
    Fault("runtime-hung", _signal_unit("containerd", "STOP"), _signal_unit("containerd", "CONT"), r"/containers: ", erased=False),
    Fault("machine-destroyed", _virsh("destroy"), lambda scene: scene.bed.machines.run(scene.node.name), r"virtual machine \w+ is (shut off|in shutdown)"),
    Fault("machine-paused", _virsh("suspend"), lambda scene: scene.bed.machines.run(scene.node.name), r"virtual machine \w+ is paused"),
    Fault("machine-crashed", _crash_machine, lambda scene: scene.bed.machines.run(scene.node.name), r"virtual machine \w+ is crashed"),
    *_database_faults("postgresql", "full|too many|remaining connection slots"),
    *_database_faults("mysql", "full|Too many"),
    *_database_faults("redis", "full|max number of clients"),
    Fault("router-dead", _signal_router("KILL"), lambda scene: scene.bed.start_router(scene.cluster), r"router/confirm: "),
    Fault("router-hung", _signal_router("STOP"), _signal_router("CONT"), r"router"),
    Fault("node-frozen", _freeze(1), _thaw, r"watch .*no sign of life", erased=False),
    Fault("nodes-frozen", _freeze(99), _thaw, r"router/confirm: status 503|silent"),
    Fault("node-rebooted", lambda scene: scene.node.reboot(), lambda scene: scene.node.rebooted(), r""),
    Fault("uplink-cut", _link("down"), _link("up"), r""),
    Fault("one-way-loss", _lose_what_we_send, lambda scene: scene.bed.space.run("nft", "delete", "table", "inet", "loss"), r""),
)  # fmt: skip
