"""NSD, Knot and BIND as primaries of zones from files, on free ports: those whose answers ours are compared with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conftest import require
from tests.live.name_servers import NameServer, await_zone, free_ports, knot_server, stop

COOKIE_SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"


@contextmanager
def primaries(directory: Path, zones: Mapping[str, Path]) -> Iterator[list[NameServer]]:
    """All three, each with all zones; ready when each answers for the last."""
    with ExitStack() as stack:
        servers = []
        for (name, prepare), port in zip(PROGRAMS.items(), free_ports(len(PROGRAMS)), strict=True):
            place = directory / name
            place.mkdir(mode=0o700)
            command = prepare(place, zones, port)
            with (place / "log").open("wb") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log, cwd=place)
            stack.callback(stop, process)
            servers.append(NameServer(name, port))
        for server in servers:
            for zone in zones:
                await_zone(server, zone, directory / server.name / "log")
        yield servers


def _nsd(place: Path, zones: Mapping[str, Path], port: int) -> list[str]:
    own = "".join(f'zone:\n  name: {zone}\n  zonefile: "{path}"\n' for zone, path in zones.items())
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
  rrl-ratelimit: 0
  minimal-responses: yes
  answer-cookie: yes
  cookie-secret: "{COOKIE_SECRET}"
remote-control:
  control-enable: no
{own}""")
    return [require("nsd"), "-d", "-c", str(place / "conf")]


def _knot(place: Path, zones: Mapping[str, Path], port: int) -> list[str]:
    own = "".join(f'  - domain: {zone}\n    file: "{path}"\n' for zone, path in zones.items())
    (place / "conf").write_text(f"""\
{knot_server(place, port)}
mod-cookies:
  - id: default
    secret: 0x{COOKIE_SECRET}
template:
  - id: default
    global-module: mod-cookies/default
    storage: {place}
    zonefile-sync: -1
    journal-content: none
zone:
{own}""")
    return [require("knotd"), "-c", str(place / "conf")]


def _bind(place: Path, zones: Mapping[str, Path], port: int) -> list[str]:
    own = "".join(
        f'zone "{zone}" {{ type primary; file "{path}"; check-names ignore; }};\n' for zone, path in zones.items()
    )
    (place / "conf").write_text(f"""\
options {{
  directory "{place}"; pid-file "{place}/pid"; session-keyfile none; managed-keys-directory "{place}";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; notify no; minimal-responses yes; minimal-any no; zero-no-soa-ttl no;
  cookie-algorithm siphash24; cookie-secret "{COOKIE_SECRET}";
  check-integrity no; check-mx ignore; check-mx-cname ignore; check-srv-cname ignore; check-wildcard no;
}};
controls {{ }};
{own}""")
    return [require("named"), "-g", "-n", "1", "-c", str(place / "conf")]


PROGRAMS = {"nsd": _nsd, "knot": _knot, "bind": _bind}
