"""The settings file with which pointsman watches a lab. Pure but for what the clusters tell. Called by :mod:`core.lab.lab`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.lab.cluster import Cluster
from core.lab.ssh import USER

APPS = ("svc1", "svc2")

# Recovery is short, so that a newcomer sees a cluster come back; detection is left at its defaults, but for events of
# daemons that the lab has no stand-ins for: this machine's own would be listened to.
_HEAD = """\
# Written by the lab at each start.
[dns]
listen = ["127.0.0.1:{dns_port}"]

[recovery]
hold = 3
ramp = [25, 50, 100]
ramp_step = 2

[detection.commands]
containers_containerd_events = ""
vswitch_events = ""
runtime_events = ""

[ssh]
user = "{user}"
keys = ["client_key"]
known_hosts = "known_hosts"

[store]
directory = "state"

[control]
socket = "control.sock"

[console]
installation = "lab"
"""


def _array(values: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def config(clusters: Sequence[Cluster], *, dns_port: int, pods: int) -> str:
    """The text of config.toml, to lie in the lab's directory. ``pods`` is their number on each node."""
    parts = [_HEAD.format(dns_port=dns_port, user=USER)]
    for app in APPS:
        parts.append(f'\n[[app]]\ndomain = "{app}.net."\nclusters = {_array(c.name for c in clusters)}\n')
        each = sum(1 for number in range(pods) if APPS[number % 2] == app)
        if each:
            least = each * len(clusters[0].nodes)
            parts.append(f'pods = [{{ match = "default/{app}-*", at_least = {least} }}]\n')
    for cluster in clusters:
        parts.append(_cluster(cluster))
    return "".join(parts)


def _cluster(cluster: Cluster) -> str:
    def ssh(host: str) -> str:
        address, port = cluster.host_address(host)
        return f"{USER}@{address}:{port}"

    router, database, machine = cluster.router_address, cluster.database_address, cluster.machine.name
    domains = ", ".join(f'{node} = "{cluster.domain(node)}"' for node in cluster.nodes)
    nodes = "".join(
        f'[[cluster.node]]\nname = "{node}"\nssh = "{ssh(node)}"\nruntime = "containerd"\n' for node in cluster.nodes
    )
    return f"""
[[cluster]]
name = "{cluster.name}"
addresses = ["{cluster.address}"]
[cluster.confirm]
kind = "http"
target = "{router[0]}:{router[1]}/healthz"
{nodes}[[cluster.machine]]
name = "{machine}"
ssh = "{ssh(machine)}"
domains = {{ {domains} }}
[[cluster.database]]
name = "sessions"
kind = "redis"
dsn = "redis://{database[0]}:{database[1]}/0"
"""
