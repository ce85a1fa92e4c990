"""What stands beside the nodes: a router for each cluster, three databases, and a physical machine with virtual ones."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from tests.bed.shell import BedError, wait_until
from tests.bed.space import Space

PASSWORD = "of-the-bed"
"""Of the databases; they listen in the bed's namespaces alone."""
CONNECTIONS = 20
"""What each database allows: few, so that a test can take them all."""
PORTS = {"postgresql": 5432, "mysql": 3306, "redis": 6379}
_HAPROXY = """
global
  stats socket {socket} mode 600 level admin
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend ingress
  bind {address}:80
  http-request return status 200 content-type text/plain string "ok" if {{ path /healthz }} {{ nbsrv(pods) gt 0 }}
  http-request return status 503 content-type text/plain string "no pod" if {{ path /healthz }}
  default_backend pods
backend pods
  balance roundrobin
  option httpchk GET /index.html
  default-server check inter 1s fastinter 200ms fall 2 rise 2
{servers}
"""
# Waits for a key, then says through pvpanic(4)'s port that the guest has panicked: mov ah,0; int 16h; mov dx,505h; mov al,1; out dx,al; hlt
_BOOT = bytes.fromhex("b400cd16ba0505b001eef4ebfd").ljust(510, b"\0") + b"\x55\xaa"
_DOMAIN = """
<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <on_poweroff>destroy</on_poweroff><on_crash>preserve</on_crash>
  <devices><emulator>{emulator}</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='hda' bus='ide'/></disk>
    <serial type='null'/><memballoon model='none'/><panic model='isa'/></devices></domain>
"""
_LIBVIRT = {
    "libvirtd.conf": 'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_group = "root"\n',
    "qemu.conf": 'user = "root"\ngroup = "root"\ncgroup_controllers = [ ]\nnamespaces = [ ]\n'
    'security_driver = "none"\nremember_owner = 0\nstdio_handler = "file"\n',
}


def haproxy(space: Space, name: str, address: str, servers: dict[str, str]) -> None:
    """The router ``name``, in the namespace of that name; ``servers`` are its nodes' names and places."""
    file = space.directory / f"{name}.cfg"
    lines = "\n".join(f"  server {server} {place}" for server, place in servers.items())
    file.write_text(_HAPROXY.format(socket=space.directory / f"{name}.sock", address=address, servers=lines))
    space.start(name, "haproxy", "-db", "-f", str(file), within=name)


def _as(user: str) -> list[str]:
    return ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]


class Databases:
    """One of each kind, all at one address; started again on the data that is there."""

    def __init__(self, space: Space, namespace: str, address: str) -> None:
        self._space, self._namespace, self._address = space, namespace, address
        self._data = space.directory / "databases"

    def dsn(self, kind: str) -> str:
        user = "" if kind == "redis" else "pointsman"
        name = {"postgresql": "/postgres", "mysql": "/", "redis": "/0"}[kind]
        return f"{kind}://{user}:{PASSWORD}@{self._address}:{PORTS[kind]}{name}"

    def make(self) -> None:
        sockets = self._data / "sockets"
        sockets.mkdir(parents=True)
        sockets.chmod(0o1777)
        for name, user in (("postgresql", "postgres"), ("mysql", "mysql"), ("redis", "redis")):
            (self._data / name).mkdir()
            shutil.chown(self._data / name, user, user)
        data = self._data / "postgresql"
        self._space.run(
            *_as("postgres"), str(_postgresql("initdb")), "-D", str(data), "-A", "trust", "-N", "--no-instructions"
        )
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all pointsman 0.0.0.0/0 scram-sha-256\n")
        self._space.run(
            "mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={self._data / 'mysql'}",
            "--auth-root-authentication-method=socket", "--skip-test-db", timeout=180,
        )  # fmt: skip
        for kind in PORTS:
            self.start(kind)
        self._psql(f"CREATE ROLE pointsman LOGIN PASSWORD '{PASSWORD}'")
        self._mariadb(f"CREATE USER pointsman@'%' IDENTIFIED BY '{PASSWORD}'")

    def start(self, kind: str) -> None:
        """Starts one and waits until it answers."""
        data, sockets = str(self._data / kind), str(self._data / "sockets")
        words = {
            "postgresql": [
                *_as("postgres"), str(_postgresql("postgres")), "-D", data, "-c", f"listen_addresses={self._address}",
                "-c", f"unix_socket_directories={sockets}", "-c", f"max_connections={CONNECTIONS}", "-c", "fsync=off",
                "-c", "shared_buffers=16MB",
            ],
            "mysql": [
                *_as("mysql"), "mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={sockets}/mysql.sock",
                f"--bind-address={self._address}", f"--max-connections={CONNECTIONS}", "--skip-name-resolve",
                "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", f"--pid-file={data}/mysql.pid",
            ],
            "redis": [
                *_as("redis"), "redis-server", "--bind", self._address, "--dir", data, "--save", "", "--maxclients", str(CONNECTIONS),
                "--requirepass", PASSWORD,
            ],
        }[kind]  # fmt: skip
        self._space.start(kind, *words, within=self._namespace)
        wait_until(f"{kind} answers", lambda: self._answers(kind))

    def _answers(self, kind: str) -> bool:
        if kind == "redis":
            ask = ["redis-cli", "--no-auth-warning", "-h", self._address, "-a", PASSWORD, "ping"]
            return "PONG" in self._space.run(*ask, within=self._namespace)
        {"postgresql": self._psql, "mysql": self._mariadb}[kind]("SELECT 1")
        return True

    def _psql(self, statement: str) -> None:
        self._space.run("psql", "-q", "-h", str(self._data / "sockets"), "-U", "postgres", "-c", statement)

    def _mariadb(self, statement: str) -> None:
        socket = f"--socket={self._data / 'sockets' / 'mysql.sock'}"
        self._space.run("mariadb", "--no-defaults", socket, "-u", "root", "-e", statement)


def _postgresql(program: str) -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    if not found:
        raise BedError("PostgreSQL is not installed (Debian: postgresql)")
    return found[-1]


class Machines:
    """A physical machine: libvirt with QEMU, without acceleration, and sshd; a tiny virtual machine for each node."""

    def __init__(self, space: Space, namespace: str, address: str) -> None:
        self._space, self._namespace, self._address = space, namespace, address
        self._files = space.directory / "machines"

    def make(self, names: list[str], key: str) -> str:
        """Brings all of it up. Returns the machine's host key for SSH; ``key`` may log in as root."""
        for place in ("etc", "var/lib", "var/log", "var/cache"):
            mine, theirs = self._files / place, Path("/", place, "libvirt")
            mine.mkdir(parents=True)
            if theirs.is_dir():
                self._space.run("mount", "--bind", str(mine), str(theirs))
        for name, text in _LIBVIRT.items():
            (self._files / "etc" / name).write_text(text)
        for daemon in ("virtlogd", "libvirtd"):
            self._space.start(daemon, daemon, within=self._namespace)
        wait_until("libvirtd answers", lambda: self.virsh("version"))
        emulator = shutil.which("qemu-system-x86_64")
        for name in names:
            file, disk = self._files / f"{name}.xml", self._files / f"{name}.disk"
            disk.write_bytes(_BOOT + bytes(512 * 63))
            file.write_text(_DOMAIN.format(name=name, emulator=emulator, disk=disk))
            self.virsh("define", str(file))
            self.virsh("start", name)
        return self._sshd(key)

    def virsh(self, *words: str) -> str:
        return self._space.run("virsh", "-c", "qemu:///system", *words, within=self._namespace)

    def run(self, name: str) -> None:
        """Whatever became of the virtual machine, it runs afterwards."""
        state = self.virsh("domstate", name).strip()
        if state == "paused":
            self.virsh("resume", name)
        elif state != "running":
            with suppress(BedError):
                self.virsh("destroy", name)
            self.virsh("start", name)

    def _sshd(self, key: str) -> str:
        host_key = self._files / "host"
        self._space.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "machine", "-f", str(host_key))
        allowed = self._files / "authorized_keys"
        allowed.write_text(key)
        options = {
            "ListenAddress": f"{self._address}:22",
            "HostKey": host_key,
            "AuthorizedKeysFile": allowed,
            "PidFile": "none",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "StrictModes": "no",
        }
        written = [f"-o{name}={value}" for name, value in options.items()]
        self._space.start("sshd", "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *written, within=self._namespace)
        return host_key.with_suffix(".pub").read_text()
