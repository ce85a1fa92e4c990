"""One worker node: a real systemd of its own in systemd-nspawn, over an overlay of the common root.

It has a network namespace with one link, sshd, containerd with its CRI, Open vSwitch with the userspace datapath,
nftables and iptables. The machine under the bed needs no systemd.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.bed.keeper import control_groups
from tests.bed.root import ON_NODE
from tests.bed.shell import BedError, wait_until
from tests.bed.space import ROOT, Space

GUIDE = ROOT / "docs" / "operators-guide.md"
# --keep-unit leaves a reboot to whoever started nspawn (exit code 133). A reboot empties the kernel's tables, too; here the
# namespace outlives it.
_LOOP = """
name=$1 pid=$2; shift 2
while :; do
    systemd-nspawn "$@" & echo $! >"$pid"; wait $!
    [ $? = 133 ] || exit
    nft flush ruleset
    ip link del cni0 || true
done
"""
_LEADER = 'leader=$(cat /proc/$(cat "$1")/task/*/children); shift; exec nsenter -t ${leader%% *} -m -u -i -n -p -- "$@"'
# Beside the pods' own rules a table that iptables knows nothing of, as kube-proxy makes one; iptables' rules are kept to mend them.
_TEND = """
set -e
mkdir -p /var/log/pods
ctr -n k8s.io images ls -q | grep -q busybox || ctr -n k8s.io images import /opt/busybox.tar
python3 /opt/bed/kubelet.py "$1"
nft list table ip services >/dev/null 2>&1 || nft -f - <<RULES
table ip services {
    chain nat { type nat hook prerouting priority -110; ip daddr 10.96.0.10 tcp dport 80 dnat to 10.79.0.2:8080; }
}
RULES
if [ -e /run/rules ]; then iptables-restore </run/rules; else iptables-save >/run/rules; fi
"""
_CNI = """{ "cniVersion": "0.4.0", "name": "bed", "plugins": [
  { "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "%s" }]], "routes": [{ "dst": "0.0.0.0/0" }] } },
  { "type": "portmap", "capabilities": { "portMappings": true } } ] }
"""


def sudoers() -> str:
    """The lines that the operator's guide tells operators to install, word by word."""
    return "".join(f"{line}\n" for line in re.findall(r"^pointsman ALL=.*", GUIDE.read_text(), re.MULTILINE))


@dataclass(frozen=True)
class Node:
    space: Space
    name: str
    address: str
    pods: str
    """The network of its pods, as 10.79.1.0/24."""

    @property
    def directory(self) -> Path:
        return self.space.directory / "nodes" / self.name

    @property
    def groups(self) -> list[Path]:
        return [top / self.name for top in control_groups(self.space.name)]

    def prepare(self, key: str) -> str:
        """Files for the first boot; ``key`` may log in as ``pointsman`` and as root. Returns the node's host key."""
        new = self.directory / "files"
        for directory in ("etc/ssh", "etc/sudoers.d", "etc/cni/net.d", "root/.ssh", "home/pointsman/.ssh"):
            (new / directory).mkdir(parents=True)
        host_key = new / "etc/ssh/ssh_host_ed25519_key"
        self.space.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(host_key))
        (new / "etc/hostname").write_text(f"{self.name}\n")
        (new / "etc/hosts").write_text(f"127.0.0.1 localhost {self.name}\n")
        (new / "etc/cni/net.d/10-bed.conflist").write_text(_CNI % self.pods)
        allowed = new / "etc/sudoers.d/pointsman"
        allowed.write_text(sudoers())
        allowed.chmod(0o440)
        for home in ("root", "home/pointsman"):
            (new / home / ".ssh/authorized_keys").write_text(key)
            (new / home / ".ssh").chmod(0o700)
        return host_key.with_suffix(".pub").read_text()

    def boot(self, root: Path) -> None:
        made = {name: self.directory / name for name in ("upper", "work", "root", "containerd")}
        for path in made.values():
            path.mkdir()
        layers = f"lowerdir={root},upperdir={made['upper']},workdir={made['work']}"
        self.space.run("mount", "-t", "overlay", "overlay", "-o", layers, str(made["root"]))
        self.space.script(
            'cp -a "$1/." "$2"; chroot "$2" chown -R pointsman: /home/pointsman',
            str(self.directory / "files"), str(made["root"]),
        )  # fmt: skip
        for group in self.groups:
            group.mkdir(parents=True, exist_ok=True)
        enter = "".join(f"echo 0 >'{group}/cgroup.procs'; " for group in self.groups)
        self.space.start(
            f"node-{self.name}",
            "env",
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
            "SYSTEMD_SECCOMP=1",
            "sh", "-c", f"{enter}{_LOOP}", "sh", self.name, str(self.directory / "pid"),
            "--quiet", "--boot", "--console=pipe", "--keep-unit", "--register=no", "--capability=all",
            "--system-call-filter=@keyring bpf",
            f"--directory={made['root']}", f"--machine={self.name}", f"--network-namespace-path=/run/netns/{self.name}",
            "--bind=/dev/net/tun", f"--bind={made['containerd']}:/var/lib/containerd", f"--bind-ro={ON_NODE}:/opt/bed",
            within=self.name,
        )  # fmt: skip

    def ready(self, within: float = 120) -> None:
        """Waits until systemd has started everything, then sees to the pods."""
        wait_until(
            f"node {self.name}: its services",
            lambda: self.inside("systemctl is-active ssh containerd ovs-vswitchd"),
            within,
        )
        wait_until(f"node {self.name}: containerd", lambda: self.inside("ctr version"), within)
        wait_until(f"node {self.name}: its pods", self.tend, within)

    def inside(self, script: str, *arguments: str, timeout: float = 60) -> str:
        """Runs a shell script on the node as its root, not over the network. BedError when it fails."""
        return self.space.run(*self.words(), "bash", "-c", script, "bash", *arguments, timeout=timeout)

    def _is_another(self) -> bool:
        return (self.directory / "pid").read_text() not in ("", (self.directory / "pid.before").read_text())

    def words(self) -> list[str]:
        """What stands before a command, in the bed, that is to run on the node."""
        return ["sh", "-c", _LEADER, "sh", str(self.directory / "pid")]

    def at(self, script: str) -> float:
        """The same, and when it was done, in seconds since the epoch."""
        return float(self.inside(f"set -e\n{script}\ndate +%s.%N").split()[-1])

    def reboot(self) -> float:
        """When the order was given; the node is not down yet."""
        (self.directory / "pid.before").write_text((self.directory / "pid").read_text())
        return self.at("systemctl reboot")

    def rebooted(self) -> None:
        """Waits until it is back, with its pods."""
        wait_until(f"node {self.name}: its end", self._is_another, 120)
        self.ready()

    def tend(self) -> bool:
        """What a kubelet does all the time: see that the pods run. True when they do."""
        self.inside(_TEND, self.name)
        return True

    def freeze(self, frozen: bool) -> None:
        for group in self.groups:
            if (group / "cgroup.freeze").exists():
                (group / "cgroup.freeze").write_text(str(int(frozen)))
                return
        raise BedError("no control group of version 2 that could freeze a node")
