"""Real primaries that take dynamic updates with TSIG: BIND, Knot and PowerDNS, as a company already runs them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import require
from tests.live.name_servers import NameServer, await_zone, free_ports, knot_server, stop

API_KEY = "a-key-of-the-tests"
ZONE_FILE = """\
$TTL 300
$ORIGIN {zone}
@ SOA ns1 hostmaster 1 3600 600 86400 5
@ NS ns1
ns1 A 127.0.0.1
mail A 192.0.2.25
"""


@dataclass(frozen=True)
class Primary:
    """One that runs; ``api`` is the URL of PowerDNS's."""

    server: NameServer
    api: str = ""


@contextmanager
def primary(
    directory: Path, kind: str, zone: str, key: tuple[str, str], secondaries: Sequence[int] = (), port: int = 0
) -> Iterator[Primary]:
    """A primary of this kind with a small zone; ``key`` is name and base64 (hmac-sha256), and signs updates and transfers."""
    found, control = free_ports(2)
    port = port or found
    place = directory / f"{kind}-primary"
    place.mkdir(mode=0o700)
    (place / "zone").write_text(ZONE_FILE.format(zone=zone))
    command = KINDS[kind](place, zone, key, port, control, secondaries)
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=place)
    try:
        server = NameServer(kind, port)
        await_zone(server, zone, place / "log")
        yield Primary(server, f"http://127.0.0.1:{control}" if kind == "powerdns" else "")
    finally:
        stop(process)


_Prepare = Callable[[Path, str, tuple[str, str], int, int, Sequence[int]], list[str]]


def _bind(
    place: Path, zone: str, key: tuple[str, str], port: int, control: int, secondaries: Sequence[int]
) -> list[str]:
    name, secret = key
    notified = " ".join(f"127.0.0.1 port {each} key {name};" for each in secondaries)
    (place / "conf").write_text(f"""\
key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};
options {{
  directory "{place}"; pid-file "{place}/pid"; session-keyfile none; managed-keys-directory "{place}";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; notify explicit; notify-delay 0;
}};
controls {{ }};
zone "{zone}" {{
  type primary; file "zone"; allow-update {{ key {name}; }}; allow-transfer {{ key {name}; }};
  also-notify {{ {notified} }};
}};
""")
    return [require("named"), "-g", "-n", "1", "-c", str(place / "conf")]


def _knot(
    place: Path, zone: str, key: tuple[str, str], port: int, control: int, secondaries: Sequence[int]
) -> list[str]:
    name, secret = key
    remotes = "".join(f"  - id: s{each}\n    address: 127.0.0.1@{each}\n    key: {name}\n" for each in secondaries)
    (place / "conf").write_text(f"""\
{knot_server(place, port)}
key:
  - id: {name}
    algorithm: hmac-sha256
    secret: {secret}
{"remote:" if remotes else ""}
{remotes}
acl:
  - id: all
    key: {name}
    action: [update, transfer]
zone:
  - domain: {zone}
    storage: {place}
    file: zone
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
    acl: all
{f"    notify: [{', '.join(f's{each}' for each in secondaries)}]" if remotes else ""}
""")
    return [require("knotd"), "-c", str(place / "conf")]


def _powerdns(
    place: Path, zone: str, key: tuple[str, str], port: int, control: int, secondaries: Sequence[int]
) -> list[str]:
    name, secret = key
    database = place / "db"
    (place / "pdns.conf").write_text(f"""\
launch=gsqlite3
gsqlite3-database={database}
local-address=127.0.0.1
local-port={port}
socket-dir={place}
daemon=no
guardian=no
primary=yes
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
api=yes
api-key={API_KEY}
webserver=yes
webserver-address=127.0.0.1
webserver-port={control}
receiver-threads=1
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
security-poll-suffix=
""")
    schema = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
    with schema.open("rb") as text:
        subprocess.run([require("sqlite3"), str(database)], stdin=text, check=True, timeout=30)
    orders = [
        ("load-zone", zone, str(place / "zone")),
        ("set-kind", zone, "primary"),
        ("import-tsig-key", name, "hmac-sha256", secret),
        ("set-meta", zone, "TSIG-ALLOW-DNSUPDATE", name),
        ("set-meta", zone, "SOA-EDIT-API", "INCREASE"),
        ("set-meta", zone, "SOA-EDIT-DNSUPDATE", "INCREASE"),
        ("set-meta", zone, "NOTIFY-DNSUPDATE", "1"),
        ("activate-tsig-key", zone, name, "primary"),
    ]
    if secondaries:
        orders.append(("set-meta", zone, "ALSO-NOTIFY", *(f"127.0.0.1:{each}" for each in secondaries)))
    for order in orders:
        command = [require("pdnsutil"), f"--config-dir={place}", *order]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    return [require("pdns_server"), f"--config-dir={place}"]


KINDS: dict[str, _Prepare] = {"bind": _bind, "knot": _knot, "powerdns": _powerdns}
