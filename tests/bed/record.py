"""Writes what the real tools print, well and broken, as fixtures of the parsers' tests: named after tool, version and state.

``python -m tests.bed.record tests/unit/fixtures/recorded``, as root. Standard error stands in the same file, before what came out.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tests.bed.bed import Bed, bed
from tests.bed.shell import call

VERSIONS = {
    "containerd-cri": "containerd --version",
    "nft": "nft --version",
    "iptables-nft-save": "iptables --version",
    "iptables-legacy-save": "iptables-legacy --version",
    "systemctl-show": "systemctl --version",
    "ovs-appctl": "ovs-appctl --version",
    "ps": "ps --version",
    "virsh-list": "virsh --version",
}
CRI, NFT, SAVE = "crictl ps -a -o json", "nft list ruleset", "iptables-save"
SHOW = "systemctl show containerd.service -p Id,LoadState,ActiveState,SubState,MainPID,Result"
APPCTL, PS = "ovs-appctl -t ovs-vswitchd version", "ps -eo pid=,args="
WEB = "$(crictl ps | awk '/web-/{print $1}')"
ON_NODE = (
    # (state, what makes it, tool, command), in this order: what is broken last stays broken
    ("running", "true", "containerd-cri", CRI),
    ("rules", "true", "nft", NFT),
    ("rules", "true", "iptables-nft-save", SAVE),
    ("running", "true", "systemctl-show", SHOW),
    ("running", "true", "ovs-appctl", APPCTL),
    ("running", "true", "ps", PS),
    ("stopped", f"crictl stop {WEB}", "containerd-cri", CRI),
    ("restarted", "python3 /opt/bed/kubelet.py $(hostname)", "containerd-cri", CRI),
    ("rules", "iptables-legacy -A INPUT -d 10.0.0.1 -j ACCEPT", "iptables-legacy-save", "iptables-legacy-save"),
    ("flushed", "iptables -F; iptables -t nat -F; iptables -t nat -X", "iptables-nft-save", SAVE),
    ("flushed", "iptables-legacy -F", "iptables-legacy-save", "iptables-legacy-save"),
    ("flushed", "nft flush ruleset", "nft", NFT),
    ("killed", "kill -9 $(cat /run/openvswitch/ovs-vswitchd.pid)", "ovs-appctl", APPCTL),
    ("killed", "true", "ps", PS),
    ("restarting", "kill -9 $(systemctl show -P MainPID containerd); sleep 0.3", "systemctl-show", SHOW),
    ("refused", "true", "containerd-cri", CRI),
    ("stopped", "systemctl stop containerd", "systemctl-show", SHOW),
    ("masked", "systemctl mask --now containerd", "systemctl-show", SHOW),
)


def write(directory: Path, tool: str, version: str, state: str, text: str) -> None:
    found = re.search(r"\d+\.\d+(\.\d+)*|(?<=systemd )\d+", version)
    number = found[0] if found else version.strip()
    (directory / f"{tool}-{number}-{state}.txt").write_text(text)


def record(made: Bed, directory: Path) -> None:
    node = made.nodes[0]
    for state, make, tool, command in ON_NODE:
        text = node.inside(f"{{ {make}; }} >/dev/null 2>&1; {{ {command}; }} 2>&1 | cat")
        write(directory, tool, node.inside(VERSIONS[tool]), state, text)
    virsh = made.machines.virsh
    virsh("suspend", made.nodes[1].name)
    virsh("destroy", made.nodes[2].name)
    write(directory, "virsh-list", call("virsh", "--version"), "states", virsh("list", "--all"))


if __name__ == "__main__":
    with bed(f"record-{os.getpid()}", clusters=1, nodes=4) as there:
        record(there, Path(sys.argv[1]))
