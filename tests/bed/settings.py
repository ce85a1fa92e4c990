"""pointsman's settings for the bed."""

from __future__ import annotations

from pathlib import Path

from tests.bed.bed import MACHINE, Bed

DOMAINS = {"svc1.net.": "shop/web-*", "svc2.net.": "shop/api-*"}
PATIENT = """
detection = { timeout = 10, silence = { ticks = 40, deadline = 5 } }
"""
"""For tests: on a machine that is busy with other things nobody is silent sooner. Evidence counts as fast as ever."""


def write(made: Bed, *, patient: bool) -> Path:
    """The settings file, written: detection at its defaults, or patient; coming back without the wait."""
    directory = made.directory
    names = ", ".join(f'"{cluster.name}"' for cluster in made.clusters)
    text = [
        'dns = { listen = ["127.0.0.1:5353"] }',
        f'store = {{ directory = "{directory}/state" }}',
        f'control = {{ socket = "{made.control}" }}',
        f'ssh = {{ user = "pointsman", keys = ["{directory}/id"], known_hosts = "{directory}/known_hosts" }}',
        "recovery = { hold = 0, ramp = [100] }",
        f'safety = {{ canaries = ["{MACHINE}:22"], first_round = 30 }}',
        PATIENT if patient else "",
    ]
    for domain, pods in DOMAINS.items():
        text.append(f'[[app]]\ndomain = "{domain}"\nclusters = [{names}]\npods = ["{pods}"]')
    for cluster in made.clusters:
        text.append(f'[[cluster]]\nname = "{cluster.name}"\naddresses = ["{cluster.address}"]')
        text.append(f'confirm = {{ target = "/healthz"{", timeout = 3" if patient else ""} }}')
        for node in cluster.nodes:
            text.append(f'[[cluster.node]]\nname = "{node.name}"\nssh = "{node.address}"')
            text.append('routes = ["nftables", "iptables"]')
        domains = ", ".join(f'{node.name} = "{node.name}"' for node in cluster.nodes)
        text.append(f'[[cluster.machine]]\nname = "machine"\nssh = "root@{MACHINE}"\ndomains = {{ {domains} }}')
        if kind := cluster.database:
            file = directory / f"{kind}.dsn"
            file.write_text(made.databases.dsn(kind))
            file.chmod(0o600)
            text.append(f'[[cluster.database]]\nname = "{kind}"\nkind = "{kind}"\ndsn_file = "{file}"')
            text.append(f"timeout = {5 if patient else 1}")
    made.settings.write_text("\n".join(text) + "\n")
    return made.settings
