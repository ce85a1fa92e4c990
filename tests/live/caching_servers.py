"""Real caching resolvers in front of a name server of ours: unbound, BIND and Knot Resolver, each in a directory of its own."""

from __future__ import annotations

import base64
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.exception
import dns.rcode

from tests.conftest import require
from tests.live.name_servers import START_WITHIN, NameServer, free_ports, stop


@dataclass(frozen=True)
class Cache:
    """One that runs; ``settings`` are what ``[[internal_dns]]`` needs beside name and address."""

    server: NameServer
    settings: dict[str, Any]

    def addresses(self, name: str) -> set[str]:
        return {rdata.to_text() for rrset in self.server.ask(name).answer for rdata in rrset}


@contextmanager
def caching(directory: Path, kind: str, zone: str, behind: int) -> Iterator[Cache]:
    """A resolver of this kind that asks port ``behind`` for the zone; ready when it answers for it."""
    port, control = free_ports(2)
    command, settings = KINDS[kind](directory, zone, behind, port, control)
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory)
    try:
        server = NameServer(kind, port)
        _await(server, zone, log)
        yield Cache(server, {"kind": kind, **settings(process.pid)})
    finally:
        stop(process)


def _await(server: NameServer, zone: str, log: Path) -> None:
    until = time.monotonic() + START_WITHIN
    while time.monotonic() < until:
        try:
            if server.ask(zone, "SOA", timeout=0.2).rcode() == dns.rcode.NOERROR:
                return
        except (OSError, dns.exception.DNSException):
            continue
        time.sleep(0.05)
    raise AssertionError(f"{server.name} does not answer for {zone}: {log.read_text(errors='replace')[-2000:]}")


_Prepared = tuple[list[str], Callable[[int], dict[str, Any]]]


def _unbound(place: Path, zone: str, behind: int, port: int, _: int) -> _Prepared:
    conf = place / "conf"
    conf.write_text(f"""\
server:
  interface: 127.0.0.1@{port}
  directory: "{place}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
remote-control:
  control-enable: yes
  control-interface: "{place}/control"
stub-zone:
  name: {zone}
  stub-addr: 127.0.0.1@{behind}
""")
    return [require("unbound"), "-d", "-c", str(conf)], lambda pid: {
        "command": (require("unbound-control"), "-c", str(conf))
    }


def _bind(place: Path, zone: str, behind: int, port: int, control: int) -> _Prepared:
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    key = f'key "control" {{ algorithm hmac-sha256; secret "{secret}"; }};\n'
    (place / "key").write_text(key)
    (place / "conf").write_text(f"""\
{key}
options {{
  directory "{place}"; pid-file "{place}/pid"; session-keyfile none; managed-keys-directory "{place}";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion yes; dnssec-validation no; empty-zones-enable no;
}};
controls {{ inet 127.0.0.1 port {control} allow {{ 127.0.0.1; }} keys {{ "control"; }}; }};
zone "{zone}" {{ type forward; forward only; forwarders {{ 127.0.0.1 port {behind}; }}; }};
""")
    return [require("named"), "-g", "-n", "1", "-c", str(place / "conf")], lambda pid: {
        "command": (require("rndc"), "-s", "127.0.0.1", "-p", f"{control}", "-k", str(place / "key"))
    }


def _knot_resolver(place: Path, zone: str, behind: int, port: int, _: int) -> _Prepared:
    (place / "conf").write_text(f"""\
net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
trust_anchors.remove('.')
modules.unload('priming')
cache.size = 10 * MB
policy.add(policy.suffix(policy.STUB('127.0.0.1@{behind}'), {{todname('{zone}')}}))
""")
    (place / "run").mkdir()
    return [require("kresd"), "-n", "-c", str(place / "conf"), str(place / "run")], lambda pid: {
        "sockets": (str(place / "run" / "control" / f"{pid}"),)
    }


KINDS: dict[str, Callable[[Path, str, int, int, int], _Prepared]] = {
    "unbound": _unbound,
    "bind": _bind,
    "knot-resolver": _knot_resolver,
}
