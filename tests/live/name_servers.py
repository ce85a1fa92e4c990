"""Real name servers as secondaries: NSD, Knot, BIND and PowerDNS, each in a directory of its own, on a free port.

They are what operators put before us; the tests and the bench only start them. Nothing of the system's is touched.
"""

from __future__ import annotations

import base64
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from tests.conftest import require

START_WITHIN = 20.0


@dataclass(frozen=True)
class Wanted:
    """What a secondary is to hold, and from whom. ``key`` is name and base64 of the TSIG key (hmac-sha256)."""

    zone: str
    primary_port: int
    key: tuple[str, str]


@dataclass(frozen=True)
class NameServer:
    """One that runs."""

    name: str
    port: int

    def ask(self, name: str, qtype: str = "A", timeout: float = 2.0) -> dns.message.Message:
        return dns.query.udp(dns.message.make_query(name, qtype), "127.0.0.1", timeout=timeout, port=self.port)


def new_key(directory: Path, name: str) -> tuple[Path, tuple[str, str]]:
    """A TSIG key, and the file that the settings name."""
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    path = directory / f"{name}.key"
    path.write_text(f"hmac-sha256:{name}:{secret}\n")
    path.chmod(0o600)
    return path, (name, secret)


@contextmanager
def running(directory: Path, wanted: Wanted, ports: Sequence[int]) -> Iterator[list[NameServer]]:
    """All four, as secondaries, on these ports; ready when each has the zone."""
    with ExitStack() as stack:
        servers = []
        for (name, prepare), port in zip(PROGRAMS.items(), ports, strict=True):
            place = directory / name
            place.mkdir(mode=0o700)
            command = prepare(place, wanted, port)
            with (place / "log").open("wb") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log, cwd=place)
            stack.callback(stop, process)
            servers.append(NameServer(name, port))
        for server in servers:
            await_zone(server, wanted.zone, directory / server.name / "log")
        yield servers


def free_ports(count: int) -> list[int]:
    """Ports that are free for UDP and TCP now."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            stream = stack.enter_context(socket.socket())
            stream.bind(("127.0.0.1", 0))
            datagram = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            try:
                datagram.bind(stream.getsockname())
            except OSError:
                continue
            found.append(stream.getsockname()[1])
        return found


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def await_zone(server: NameServer, zone: str, log: Path) -> None:
    until = time.monotonic() + START_WITHIN
    while time.monotonic() < until:
        try:
            answer = server.ask(zone, "SOA", timeout=0.2)
        except (OSError, dns.exception.DNSException):
            continue
        if answer.rcode() == dns.rcode.NOERROR and answer.answer:
            return
        time.sleep(0.05)
    raise AssertionError(f"{server.name} has not loaded {zone}: {log.read_text(errors='replace')[-2000:]}")


def _nsd(place: Path, wanted: Wanted, port: int) -> list[str]:
    name, secret = wanted.key
    (place / "conf").write_text(f"""\
server:
  ip-address: 127.0.0.1@{port}
  server-count: 1
  username: ""
  zonesdir: "{place}"
  database: ""
  pidfile: "{place}/pid"
  xfrdfile: "{place}/xfrd"
  zonelistfile: "{place}/zones"
  xfrdir: "{place}"
  xfrd-reload-timeout: 0
  rrl-ratelimit: 0
  verbosity: 2
remote-control:
  control-enable: no
key:
  name: "{name}"
  algorithm: hmac-sha256
  secret: "{secret}"
zone:
  name: {wanted.zone}
  allow-notify: 127.0.0.1 {name}
  request-xfr: 127.0.0.1@{wanted.primary_port} {name}
""")
    return [require("nsd"), "-d", "-c", str(place / "conf")]


def knot_server(place: Path, port: int) -> str:
    """The head of a configuration of Knot: one worker of each kind, everything below ``place``."""
    return f"""\
server:
    listen: 127.0.0.1@{port}
    rundir: {place}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {place}
log:
  - target: stderr
    any: info"""


def _knot(place: Path, wanted: Wanted, port: int) -> list[str]:
    name, secret = wanted.key
    (place / "conf").write_text(f"""\
{knot_server(place, port)}
key:
  - id: {name}
    algorithm: hmac-sha256
    secret: {secret}
remote:
  - id: pointsman
    address: 127.0.0.1@{wanted.primary_port}
    key: {name}
acl:
  - id: notify
    address: 127.0.0.1
    key: {name}
    action: notify
zone:
  - domain: {wanted.zone}
    storage: {place}
    master: pointsman
    acl: notify
""")
    return [require("knotd"), "-c", str(place / "conf")]


def _bind(place: Path, wanted: Wanted, port: int) -> list[str]:
    name, secret = wanted.key
    (place / "conf").write_text(f"""\
key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};
options {{
  directory "{place}"; pid-file "{place}/pid"; session-keyfile none; managed-keys-directory "{place}";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; notify no; serial-query-rate 200;
}};
controls {{ }};
zone "{wanted.zone}" {{
  type secondary; file "zone"; primaries {{ 127.0.0.1 port {wanted.primary_port} key {name}; }};
}};
""")
    return [require("named"), "-g", "-n", "1", "-c", str(place / "conf")]


def _powerdns(place: Path, wanted: Wanted, port: int) -> list[str]:
    name, secret = wanted.key
    database = place / "db"
    (place / "pdns.conf").write_text(f"""\
launch=gsqlite3
gsqlite3-database={database}
local-address=127.0.0.1
local-port={port}
socket-dir={place}
daemon=no
guardian=no
secondary=yes
xfr-cycle-interval=1
receiver-threads=1
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
allow-notify-from=127.0.0.0/8
security-poll-suffix=
""")
    schema = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
    with schema.open("rb") as text:
        subprocess.run([require("sqlite3"), str(database)], stdin=text, check=True, timeout=30)
    orders = (
        ("create-slave-zone", wanted.zone, f"127.0.0.1:{wanted.primary_port}"),
        ("import-tsig-key", name, "hmac-sha256", secret),
        ("activate-tsig-key", wanted.zone, name, "slave"),
        ("set-meta", wanted.zone, "IXFR", "1"),
    )
    for order in orders:
        command = [require("pdnsutil"), f"--config-dir={place}", *order]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    return [require("pdns_server"), f"--config-dir={place}"]


PROGRAMS: dict[str, Callable[[Path, Wanted, int], list[str]]] = {
    "nsd": _nsd,
    "knot": _knot,
    "bind": _bind,
    "powerdns": _powerdns,
}
