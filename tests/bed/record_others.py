"""Writes what the tools of other Debian releases print, well and broken, beside what ``record.py`` writes of this one's.

``python -m tests.bed.record_others tests/unit/fixtures/recorded bullseye trixie forky``, as root. ``trixie=FILE`` names a
crictl to use with that release's containerd: Debian has no package of it. Those here were built from the tags v1.24.0
(which calls itself unknown) and v1.36.0 of its own repository. A node of the bed is booted from each release's
packages, unpacked and not configured: its own systemd starts its own containerd, dockerd and Open vSwitch; the containers
are real. Standard error stands in the same file, before what came out. KEEP=1 keeps the roots for the next time.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.probes.kinds.containers import INSPECT
from tests.bed import image
from tests.bed.node import Node
from tests.bed.record import APPCTL, CRI, PS, SHOW, write
from tests.bed.root import FILES, OFF
from tests.bed.shell import BASE, BedError, call, wait_until
from tests.bed.space import Space

PACKAGES = (
    "bash dash gzip coreutils grep sed mawk util-linux base-files base-passwd libc-bin locales procps iproute2 nftables iptables"
    " openvswitch-switch systemd containerd containernetworking-plugins runc crun podman docker.io libvirt-clients"
    " python3-minimal python3-h2 ca-certificates"
)
MORE = {"bullseye": "", "trixie": " docker-cli netavark libvirt-l10n", "forky": " docker-cli netavark libvirt-l10n"}
MACHINES = "virsh -c test:///etc/machines.xml list --all"
# What stands in a file's name: (how the tool tells its version, what pointsman runs).
TOOLS = {
    "containerd-cri": ("containerd --version", f"/opt/bed/{CRI}"),
    "crictl": ("crictl --version", CRI),
    "crictl-inspect": ("crictl --version", f"crictl {INSPECT['containerd']} $(crictl ps -q)"),
    "docker-ps": ("docker --version", "docker ps -a --no-trunc --format '{{json .}}'"),
    "podman-ps": ("podman --version", "podman ps -a --no-trunc --format json"),
    "nft": ("nft --version", "nft list ruleset"),
    "iptables-nft-save": ("iptables-nft --version", "iptables-nft-save"),
    "iptables-nft-L": ("iptables-nft --version", "iptables-nft -L"),
    "iptables-legacy-save": ("iptables-legacy --version", "iptables-legacy-save"),
    "systemctl-show": ("systemctl --version", SHOW),
    "ovs-appctl": ("ovs-appctl --version", APPCTL),
    "ps": ("ps --version", PS),
    "virsh-list": ("virsh --version", MACHINES),
    "virsh-list-german": ("virsh --version", f"LC_ALL=de_DE.UTF-8 {MACHINES}"),
}
_LABELS = (
    "--label io.kubernetes.pod.namespace=shop --label io.kubernetes.pod.name=$1 --label io.kubernetes.pod.uid=uid-$1"
    " --label io.kubernetes.container.name=app"
)
IMAGE = image.NAME
STATES = (
    # (state, what makes it, tools), in this order: what is broken last stays broken
    ("states", "true", "virsh-list virsh-list-german"),
    ("running", "python3 /opt/bed/kubelet.py $(uname -n)", "containerd-cri crictl crictl-inspect systemctl-show"),
    ("running", "systemctl start ovsdb-server ovs-vswitchd", "ovs-appctl ps"),
    ("rules", "nft add table ip services; nft 'add chain ip services nat { type nat hook prerouting priority -110; }';"
     " nft add rule ip services nat ip daddr 10.96.0.10 tcp dport 80 dnat to 10.79.0.2:8080", "nft"),
    ("rules", "iptables -A INPUT -d 10.0.0.1 -m comment --comment 'a \"route\"' -j ACCEPT", "iptables-nft-save iptables-nft-L"),
    ("rules", "iptables-legacy -A INPUT -d 10.0.0.1 -j ACCEPT", "iptables-legacy-save"),
    ("flushed", "iptables -F; iptables -t nat -F; iptables -t nat -X", "iptables-nft-save iptables-nft-L"),
    ("flushed", "iptables-legacy -F", "iptables-legacy-save"),
    ("flushed", "nft flush ruleset", "nft"),
    ("running", f"run() {{ docker run -d --network none --name $1 {_LABELS} {IMAGE}; }}; run web; run api", "docker-ps"),
    ("broken", "docker pause api; docker kill web; docker create --name new " + IMAGE, "docker-ps"),
    ("running", f"run() {{ podman run -d --pod $1 --name $1-app {_LABELS} {IMAGE}; }}; for pod in web api; do"
     f" podman pod create --name $pod --network host --infra-image {IMAGE}; run $pod; done", "podman-ps"),
    ("broken", "podman stop -t 1 web-app; podman kill api-app; podman create --name new " + IMAGE, "podman-ps"),
    ("killed", "D=/run/systemd/system/ovs-vswitchd.service.d; mkdir $D; printf '[Service]\\nRestart=no\\n' >$D/no.conf;"
     " systemctl daemon-reload; pkill -9 -x ovs-vswitchd; sleep 0.2", "ovs-appctl ps"),
    ("stopped", "/opt/bed/crictl stop $(/opt/bed/crictl ps -q | head -1)", "containerd-cri crictl"),
    ("restarting", "kill -9 $(systemctl show --value -p MainPID containerd); sleep 0.3", "systemctl-show"),
    ("refused", "systemctl stop dockerd containerd", "containerd-cri crictl docker-ps"),
    ("stopped", "true", "systemctl-show"),
    ("masked", "rm -f /etc/systemd/system/containerd.service; systemctl mask containerd", "systemctl-show"),
)  # fmt: skip
_DOMAIN = """<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>c1n{0}</name><memory>8192</memory>
<os><type>hvm</type></os><test:runstate>{0}</test:runstate></domain>"""


def unpack(root: Path, suite: str) -> None:
    """The packages of a suite in ``root``, with the little of their configuration that is needed here."""
    call(
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap"),
        *("--variant=extract", "--mode=root", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"),
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Check-Valid-Until "false"',  # a mirror may keep a testing suite of some weeks ago
        f"--include={','.join((PACKAGES + MORE[suite]).split())}",
        *(suite, str(root)),
        timeout=1800,
    )


def configure(root: Path, crictl: str) -> None:
    for name in ("opt", "root", "home", "mnt", "var/log", "var/tmp", "var/lib", "var/cache", "run", "tmp"):
        (root / name).mkdir(exist_ok=True)
    if not (root / "var/run").is_symlink():
        shutil.rmtree(root / "var/run", ignore_errors=True)
        (root / "var/run").symlink_to("/run")
    accounts = root / "usr/share/base-passwd"
    for name in ("passwd", "group"):
        known = (accounts / f"{name}.master").read_text().replace(":*:", ":x:")
        extra = (
            "pointsman:x:1000:1000::/home/pointsman:/bin/bash\n"
            if name == "passwd"
            else "pointsman:x:1000:\ndocker:x:999:\n"
        )
        (root / "etc" / name).write_text(known + extra)
    for name in ("etc/machine-id", "etc/openvswitch/system-id.conf"):
        (root / name).write_text(uuid.uuid4().hex + "\n")
    tools = dict.fromkeys(("iptables", "iptables-save", "iptables-restore", "ip6tables"), "xtables-nft-multi")
    for link, tool in {"usr/bin/awk": "mawk", **{f"usr/sbin/{name}": tool for name, tool in tools.items()}}.items():
        (root / link).unlink(missing_ok=True)  # Debian's alternatives, which no script of a package has set
        (root / link).symlink_to(tool)
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "etc/machines.xml").write_text(f"<node>{''.join(_DOMAIN.format(state) for state in (1, 3, 5, 6))}</node>")
    for daemon in root.glob("usr/lib/openvswitch-*/ovs-vswitchd"):
        (root / "usr/sbin/ovs-vswitchd").unlink(missing_ok=True)
        (root / "usr/sbin/ovs-vswitchd").symlink_to(f"/{daemon.relative_to(root)}")
        (root / "etc/ld.so.conf.d/openvswitch.conf").write_text(f"/{daemon.parent.relative_to(root)}\n")
    (root / "usr/local/sbin").mkdir(parents=True, exist_ok=True)
    (root / "usr/local/sbin/runc").unlink(missing_ok=True)
    (root / "usr/local/sbin/runc").symlink_to("/opt/bed/runc")
    call("chroot", str(root), "ldconfig")
    call("systemctl", f"--root={root}", "mask", *OFF.split())
    busybox = shutil.which("busybox")
    assert busybox, "Debian: busybox-static"
    image.busybox(Path(busybox), root / "opt/busybox.tar")
    if crictl:
        shutil.copy(crictl, root / "usr/bin/crictl")
        (root / "etc/crictl.yaml").write_text("runtime-endpoint: unix:///run/containerd/containerd.sock\n")


@contextmanager
def booted(root: Path, suite: str) -> Iterator[Node]:
    space = Space(BASE / f"bed-record-{suite}-{os.getpid()}")
    space.open(stay=False)
    try:
        node = Node(space, suite, "10.78.1.11", "10.79.1.0/24")
        space.namespace(suite)
        node.prepare("")
        node.boot(root)
        wait_until(f"systemd of {suite}", lambda: node.inside("systemctl is-active sysinit.target"), 180)
        yield node
    finally:
        space.close()


def record(node: Node, directory: Path) -> None:
    print(node.inside("bash /opt/bed/start_others.sh", timeout=300), flush=True)
    for state, make, tools in STATES:
        said = node.inside(f"{{ {make}; }} 2>&1 | tail -n 5", timeout=120)
        print(f"--- {state}: {make}\n{said}", flush=True)
        for tool in tools.split():
            version, command = TOOLS[tool]
            try:
                number = node.inside(f"set -o pipefail; {version}")
            except BedError as error:
                print(f"no {tool}: {error}", flush=True)
                continue
            write(directory, tool, number, state, node.inside(f"{{ {command}; }} 2>&1 | cat", timeout=120))


if __name__ == "__main__":
    into, *suites = sys.argv[1:]
    for one in suites:
        suite, _, crictl = one.partition("=")
        made = BASE / f"other-{suite}"
        try:
            if not made.exists():
                unpack(made, suite)
            configure(made, crictl)
            with booted(made, suite) as node:
                record(node, Path(into))
        finally:
            if "KEEP" not in os.environ:
                shutil.rmtree(made, ignore_errors=True)
