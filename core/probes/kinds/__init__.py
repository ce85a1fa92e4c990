"""The kinds of check that run on nodes and physical machines (spec S4–S8): which there are, with which settings.

Called by the watch, which runs the commands, and by ``pointsman check``. Pure: no I/O, no clock, no log.

The commands expect ``LC_ALL=C``: virsh and systemctl translate their words.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.model import CheckId, Kind, SourceId, SourceKind
from core.probes.check import Check
from core.probes.kinds.base import command, schedule, sibling
from core.probes.kinds.containers import EVENTS, ContainersCheck
from core.probes.kinds.custom import CommandCheck
from core.probes.kinds.machine import MachineCheck
from core.probes.kinds.routes import RoutesCheck, iptables_rules, nft_rules
from core.probes.kinds.runtime import RuntimeCheck, dbus_match
from core.probes.kinds.vswitch import SwitchAnswerCheck, SwitchProcessCheck
from core.settings import Cluster, Machine, Node, Settings

__all__ = ["machine_checks", "node_checks"]


def node_checks(settings: Settings, cluster: Cluster, node: Node) -> list[Check]:
    """The checks of one worker node.

    ``node.checks`` takes the place of ``detection.checks``; a command of a kind takes the place of the kind's own check.
    """
    source = SourceId(cluster.name, node.name)
    wanted = set[str](settings.detection.checks if node.checks is None else node.checks)
    if "command" in settings.detection.checks:
        wanted.add("command")
    replaced = {custom.kind for custom in node.command}
    checks: list[Check] = []
    if "containers" in wanted:
        checks.append(_containers(settings, cluster, node, source))
    if "routes" in wanted - replaced:
        checks += _routes(settings, node, source)
    if "vswitch" in wanted - replaced:
        checks += _vswitch(settings, source)
    if "runtime" in wanted - replaced and node.runtime != "podman":  # podman has no daemon
        commands, unit = settings.detection.commands, f"{node.runtime}.service"
        line = command(settings, commands.runtime, unit=unit)
        events = command(settings, commands.runtime_events, match=dbus_match(unit))
        checks.append(RuntimeCheck(CheckId(source, Kind.RUNTIME), schedule(settings, line, events), unit))
    for custom in node.command:
        if custom.kind in wanted:
            check = CheckId(source, Kind(custom.kind), custom.name)
            times = schedule(settings, command(settings, custom.command), command(settings, custom.events))
            checks.append(CommandCheck(check, times, custom))
    return checks


def machine_checks(settings: Settings, cluster: Cluster, machine: Machine) -> list[Check]:
    """The checks of one physical machine: one command, one judgement for each domain."""
    if "machine" not in settings.detection.checks or not machine.domains:
        return []
    line = command(settings, settings.detection.commands.machine, uri=machine.uri)
    events = sibling(line, "list", "event --loop --event lifecycle")
    source = SourceId(cluster.name, machine.name, SourceKind.MACHINE)
    return [MachineCheck(source, schedule(settings, line, events), tuple(machine.domains.values()))]


def _containers(settings: Settings, cluster: Cluster, node: Node, source: SourceId) -> Check:
    commands = settings.detection.commands
    templates = {"docker": commands.containers_docker, "podman": commands.containers_podman}
    line = command(settings, templates.get(node.runtime, commands.containers_crictl))
    own = {"containerd": commands.containers_containerd_events, "crio": commands.containers_crio_events}
    events = command(settings, own[node.runtime]) if node.runtime in own else sibling(line, "ps", EVENTS[node.runtime])
    rules = [rule for app in settings.app if cluster.name in app.clusters for rule in app.pod_rules]
    return ContainersCheck(CheckId(source, Kind.CONTAINERS), schedule(settings, line, events), node.runtime, rules)


def _routes(settings: Settings, node: Node, source: SourceId) -> Iterator[Check]:
    commands = settings.detection.commands
    nft = command(settings, commands.nftables)
    # What iptables-nft changes shows in nft monitor too.
    events = sibling(nft, "list", "monitor")
    tables = {
        "iptables": (command(settings, commands.iptables), iptables_rules),
        "nftables": (nft, nft_rules),
    }
    for table in dict.fromkeys(node.routes):
        line, count = tables[table]
        tool = line.removeprefix(settings.detection.sudo)
        check = CheckId(source, Kind.ROUTES, table)
        yield RoutesCheck(check, schedule(settings, line, events), tool, count, node.routes_require)


def _vswitch(settings: Settings, source: SourceId) -> Iterator[Check]:
    commands = settings.detection.commands
    events = command(settings, commands.vswitch_events)
    process = schedule(settings, command(settings, commands.vswitch_ps), "" if commands.vswitch_appctl else events)
    yield SwitchProcessCheck(CheckId(source, Kind.VSWITCH, "process"), process)
    if commands.vswitch_appctl:
        answer = schedule(settings, command(settings, commands.vswitch_appctl), events)
        yield SwitchAnswerCheck(CheckId(source, Kind.VSWITCH, "appctl"), answer)
