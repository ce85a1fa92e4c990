"""What every worker node boots from: a Debian root with systemd and the container software, made once and cached.

The cache's name is a checksum of what makes it, so that a change here makes a new one. Needs root and Debian's registry.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

from tests.bed import image
from tests.bed.shell import BASE, BedError, call

ON_NODE = Path(__file__).parent / "on_node"
PACKAGES = (
    "systemd systemd-sysv dbus openssh-server sudo procps iproute2 iputils-ping nftables iptables openvswitch-switch"
    " containerd runc containernetworking-plugins python3-minimal python3-h2 curl"
)
OFF = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-udevd.service"
    " systemd-udev-trigger.service systemd-modules-load.service systemd-timesyncd.service systemd-logind.service"
    " systemd-journald-audit.socket getty.target console-getty.service"
)
"""Units that do nothing for a node in a namespace but start, wait or fail."""
FILES = {
    "etc/ssh/sshd_config.d/bed.conf": "PasswordAuthentication no\nUseDNS no\n",
    "etc/systemd/journald.conf.d/bed.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\nAudit=no\n",
    # disable_cgroup and restrict_oom_score_adj: the machine under the bed may be a container that lacks both.
    "etc/containerd/config.toml": f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image.NAME}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_cgroup = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
""",
}


def node_root() -> Path:
    """The directory of the root, made where it is not there yet. It is never written to again: nodes lay an overlay over it."""
    sources = [Path(file).read_text() for file in (__file__, image.__file__)]
    made_of = repr((sources, _suite()))
    cached = BASE / f"root-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    if cached.exists():
        return cached
    BASE.mkdir(parents=True, exist_ok=True)
    fresh = BASE / f"{cached.name}.{os.getpid()}"
    for attempt in (1, 2, 3):
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            _make(fresh)
        except BedError as error:
            print(f"bed: node root, attempt {attempt} of 3: {error}", file=sys.stderr, flush=True)
            if attempt == 3:
                raise
            time.sleep(5 * attempt)
        else:
            break
    try:
        fresh.rename(cached)
    except OSError:  # another process made it meanwhile
        shutil.rmtree(fresh, ignore_errors=True)
    return cached


def _make(root: Path) -> None:
    print("bed: making the nodes' root from Debian's packages, once: about a minute", file=sys.stderr, flush=True)
    # In namespaces of its own: what it mounts under the root is never to be seen, or removed, from here.
    words = [
        *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        "--aptopt=Acquire::Retries 3",
        *(f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("man", "doc", "locale")),
        f"--include={','.join(PACKAGES.split())}",
        _suite(),
        str(root),
        *map(str, _sources()),
    ]
    call(*words, timeout=900)
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for key in root.glob("etc/ssh/ssh_host_*"):
        key.unlink()  # each node makes its own
    call("systemctl", f"--root={root}", "mask", *OFF.split())
    call("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", "pointsman")
    (root / "usr/bin/crictl").symlink_to("/opt/bed/crictl")
    busybox = shutil.which("busybox")
    if busybox is None:
        raise BedError("busybox is not installed (Debian: busybox-static)")
    image.busybox(Path(busybox), root / "opt/busybox.tar")


def _suite() -> str:
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    return found[1] if found else "bookworm"


def _sources() -> list[Path]:
    """This machine's own lists of Debian's packages; others that it may have do not concern the nodes."""
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.*"))]
    debian = re.compile(r"^(?!\s*#).*\S/debian(?:-security)?/?(?:\s|$)", re.MULTILINE)
    return [
        one for one in lists if one.suffix in (".list", ".sources") and one.exists() and debian.search(one.read_text())
    ]
