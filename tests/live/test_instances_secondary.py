"""A real secondary that follows two instances: it never goes back, and has what changed last, whichever made it (spec S32)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import dns.exception
import pytest

from core.model import Action
from tests.live.app_program import eventually
from tests.live.etcd_servers import etcd
from tests.live.instances import Instance, config, instances
from tests.live.name_servers import PROGRAMS, NameServer, Wanted, free_ports, new_key, stop

pytestmark = pytest.mark.live
ZONE = "svc1.net."
NAMES = ("tokyo", "osaka")
SECOND = {
    "nsd": ("  request-xfr: 127.0.0.1@{first} {key}\n", "  request-xfr: 127.0.0.1@{second} {key}\n"),
    "bind": ("127.0.0.1 port {first} key {key};", " 127.0.0.1 port {second} key {key};"),
}
"""The first primary in a configuration, and what is written behind it for another."""


@pytest.mark.parametrize("kind", SECOND)
def test_a_secondary_of_two_instances_never_goes_back_and_has_the_newest(tmp_path: Path, kind: str) -> None:
    key_file, key = new_key(tmp_path, "transfers")
    [port, *ports] = free_ports(3)
    zone = f'\n[[zone]]\nname = "{ZONE}"\ntransfer_to = ["127.0.0.1:{port}"]\ntsig = "{key_file}"'
    with etcd(tmp_path) as [member]:
        configs = [config(tmp_path, name, [member.endpoint], names=NAMES, more=zone) for name in NAMES]
        for each, own in zip(configs, ports, strict=True):
            each.write_text(each.read_text().replace("127.0.0.1:0", f"127.0.0.1:{own}"))
        with instances(configs) as [tokyo, osaka]:
            place = tmp_path / kind
            place.mkdir(mode=0o700)
            command = PROGRAMS[kind](place, Wanted(ZONE, ports[0], key), port)
            [conf] = [each for each in place.iterdir() if each.name == "conf"]
            first, more = (text.format(first=ports[0], second=ports[1], key=key[0]) for text in SECOND[kind])
            text = conf.read_text()
            assert first in text
            conf.write_text(text.replace(first, first + more))
            with (place / "log").open("wb") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log, cwd=place)
            try:
                _follows(NameServer(kind, port), [tokyo, osaka])
            finally:
                stop(process)


def _follows(secondary: NameServer, instances: list[Instance]) -> None:
    eventually(lambda: _addresses(secondary) == {"192.0.2.1", "192.0.2.2"})
    serials = [_serial(secondary)]
    tokyo, osaka = instances
    for giver in (tokyo, osaka, osaka, tokyo, osaka, tokyo):
        out = giver.addresses() == {"192.0.2.2"}
        giver.give(Action.RESTORE if out else Action.DRAIN, "a", "work")
        wanted = {"192.0.2.1", "192.0.2.2"} if out else {"192.0.2.2"}
        eventually(lambda wanted=wanted: _addresses(secondary) == wanted)  # type: ignore[misc]
        eventually(lambda wanted=wanted: tokyo.addresses() == osaka.addresses() == wanted)  # type: ignore[misc]
        serials.append(_serial(secondary))
    assert serials == sorted(set(serials)), serials
    tokyo.close()
    osaka.give(Action.DRAIN, "a" if "192.0.2.1" in osaka.addresses() else "b", "work")
    eventually(lambda: len(_addresses(secondary)) == 1)
    assert _serial(secondary) > serials[-1]


def _addresses(server: NameServer) -> set[str]:
    try:
        return {rdata.to_text() for rrset in server.ask(ZONE).answer for rdata in rrset}
    except (OSError, dns.exception.DNSException):
        return set()


def _serial(server: NameServer) -> int:
    [rrset] = server.ask(ZONE, "SOA").answer
    return int(rrset[0].serial)
