"""A bed of clusters in network namespaces, whose network can be made bad: for :mod:`bench.network` and :mod:`bench.soak`.

``us`` (pointsman, and whoever asks its DNS) hangs on one uplink, a TAP wire of this process, which can delay; behind it is a bridge with
two nodes for each cluster, and a canary. On every node runs OpenSSH's sshd; the first node of a cluster also answers the
confirmation message. Packets are lost by nftables, in ``us``, both ways. Needs root, iproute2, nftables, openssh-server.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import http.server
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.failover import Watcher

PREFIX = f"pm-sil-{os.getpid()}-"
US, CORE, CANARY = PREFIX + "us", PREFIX + "core", PREFIX + "canary"
CANARY_ADDRESS = "10.231.9.9"
DOMAIN = "svc1.net."
_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TAP_NO_PI = 0x400454CA, 0x1002
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command: str, given: str = "") -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread's sockets are made in that network namespace (setns(2))."""
    home, there = (os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", f"/run/netns/{namespace}"))
    try:
        if _libc.setns(there, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        yield
    finally:
        _libc.setns(home, _CLONE_NEWNET)
        os.close(home)
        os.close(there)


class Uplink(threading.Thread):
    """A wire between two TAP interfaces, which keeps the order of frames and holds each for ``delay`` seconds and ``jitter`` more at most."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.delay = self.jitter = 0.0
        self._ends = [self._tap(US), self._tap(CORE)]
        self._over = threading.Event()

    def run(self) -> None:
        held: list[tuple[float, int, int, bytes]] = []
        last, number = [0.0, 0.0], 0
        while not self._over.is_set():
            wait = min(0.1, max(0.0, held[0][0] - time.monotonic())) if held else 0.1
            readable, _, _ = select.select(self._ends, [], [], wait)
            now = time.monotonic()
            for end in readable:
                side = self._ends.index(end)
                last[side] = max(last[side], now + self.delay + random.uniform(0, self.jitter))  # no secret
                number += 1
                heapq.heappush(held, (last[side], number, 1 - side, os.read(end, 65536)))
            while held and held[0][0] <= now:
                _, _, side, frame = heapq.heappop(held)
                with suppress(OSError):  # EIO: the far interface is not up yet
                    os.write(self._ends[side], frame)
        for end in self._ends:
            os.close(end)

    def end(self) -> None:
        self._over.set()
        self.join()

    @staticmethod
    def _tap(namespace: str) -> int:
        with inside(namespace):
            end = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", b"up0", _IFF_TAP_NO_PI))
        return end


class _Well(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(ConnectionError):  # who gave up waiting resets the connection
            super().handle()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class _Router(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET
    daemon_threads = True
    allow_reuse_address = True


class NetnsWatcher(Watcher):
    """Asks from inside ``us``, where the DNS server listens on the loopback address."""

    def run(self) -> None:
        with inside(US):
            super().run()


@dataclass
class Bed:
    """``address`` is what DNS answers for a cluster, ``nodes`` are its namespaces with their addresses."""

    directory: Path
    clusters: tuple[str, ...]
    uplink: Uplink = field(init=False)

    def nodes(self, cluster: str) -> list[tuple[str, str]]:
        number = self.clusters.index(cluster) + 1
        return [(f"{PREFIX}{cluster}{n}", f"10.231.{number}.{n}") for n in (1, 2)]

    def address(self, cluster: str) -> str:
        return self.nodes(cluster)[0][1]

    def rules(self, *rules: str) -> None:
        """These rules of nftables, for packets from and to ``us``; ``PEER`` stands for the far end. None: a well network."""
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; "
            + "".join(f"{rule.replace('PEER', f'ip {side}')}; " for rule in rules)
            + "}\n"
            for hook, side in (("input", "saddr"), ("output", "daddr"))
        )
        text = f"table inet bad {{ }}\ndelete table inet bad\ntable inet bad {{\n{chains}}}\n"
        run("ip", "netns", "exec", US, "nft", "-f", "-", given=text)

    def lose(self, percent: int) -> str:
        return f"PEER 10.231.0.0/16 numgen random mod 100 < {percent} drop"

    def cut(self, *clusters: str) -> str:
        addresses = ", ".join(address for cluster in clusters for _, address in self.nodes(cluster))
        return f"PEER {{ {addresses} }} drop"

    def settings(self, more: str) -> Path:
        """A settings file for all of it, with default detection; ``more`` is TOML put before the tables."""
        apps = ", ".join(f'"{name}"' for name in self.clusters)
        text = [
            more,
            f'dns = {{ listen = ["127.0.0.1:5353"] }}\nstore = {{ directory = "{self.directory}/state" }}',
            f'ssh = {{ user = "root", keys = ["{self.directory}/id"], known_hosts = "{self.directory}/known_hosts" }}',
            f'[[app]]\ndomain = "{DOMAIN}"\nclusters = [{apps}]',
        ]
        for name in self.clusters:
            text.append(f'[[cluster]]\nname = "{name}"\naddresses = ["{self.address(name)}"]')
            text.append('confirm = { target = ":8080/healthz" }')
            for number, (_, address) in enumerate(self.nodes(name), 1):
                text.append(f'[[cluster.node]]\nname = "n{number}"\nssh = "{address}:2222"\nchecks = []')
                text.append('command = [{ name = "up", command = "true" }]')
        file = self.directory / "pointsman.toml"
        file.write_text("\n".join(text) + "\n")
        return file


@contextmanager
def bed(directory: Path, clusters: tuple[str, ...]) -> Iterator[Bed]:
    """The bed, up; everything of it is gone at the end, which SIGTERM brings as well."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    made = Bed(directory, clusters)
    nodes = [node for cluster in clusters for node in made.nodes(cluster)]
    with ExitStack() as stack:
        for namespace in (US, CORE, CANARY, *(name for name, _ in nodes)):
            run("ip", "netns", "add", namespace)
            stack.callback(run, "ip", "netns", "del", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", CORE, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", CORE, "link", "set", "br0", "up")
        uplink = made.uplink = Uplink()
        uplink.start()
        stack.callback(uplink.end)
        run("ip", "-n", CORE, "link", "set", "up0", "master", "br0", "up")
        run("ip", "-n", US, "addr", "add", "10.231.0.1/16", "dev", "up0")
        run("ip", "-n", US, "link", "set", "up0", "up")
        for number, (name, address) in enumerate([*nodes, (CANARY, CANARY_ADDRESS)]):
            run("ip", "-n", CORE, "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "-n", CORE, "link", "set", f"v{number}", "master", "br0", "up")
            run("ip", "-n", name, "addr", "add", f"{address}/16", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        _keys(directory, [address for _, address in nodes])
        for name, address in nodes:
            stack.enter_context(_sshd(directory, name, address))
        for cluster in clusters:
            name, address = made.nodes(cluster)[0]
            with inside(name):
                router = _Router((address, 8080), _Well)
            threading.Thread(target=router.serve_forever, daemon=True).start()
            stack.callback(router.server_close)
            stack.callback(router.shutdown)
        yield made


def _keys(directory: Path, addresses: list[str]) -> None:
    for name in ("host", "id"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name))
    key = (directory / "host.pub").read_text()
    (directory / "known_hosts").write_text("".join(f"[{address}]:2222 {key}" for address in addresses))
    Path("/run/sshd").mkdir(exist_ok=True)


@contextmanager
def _sshd(directory: Path, namespace: str, address: str) -> Iterator[None]:
    options = {
        "ListenAddress": f"{address}:2222",
        "HostKey": directory / "host",
        "AuthorizedKeysFile": directory / "id.pub",
        "PidFile": "none",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "StrictModes": "no",
    }
    written = [f"-o{key}={value}" for key, value in options.items()]
    command = ["ip", "netns", "exec", namespace, "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *written]
    with (directory / f"{namespace}.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def pointsman(settings: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``pointsman run --headless`` inside ``us``, ready. Ends the program when it does not come up."""
    command = [
        "ip",
        "netns",
        "exec",
        US,
        sys.executable,
        "-m",
        "core.cli",
        "run",
        "--headless",
        "--config",
        str(settings),
    ]
    log = settings.with_name("pointsman.log")
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            sys.exit(f"pointsman did not start: {log.read_text()[-500:]}")
        yield process
    finally:
        process.terminate()
        process.wait(10)
