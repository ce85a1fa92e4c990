"""What is wrong with settings is told at its place: one case for each rule, and the nearest case that is right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.settings import checks
from core.settings.base import ConfirmTarget, SshTarget, confirm_target, host_and_port, ssh_target, status_ranges
from core.settings.load import problems

CLUSTERS = """
[[cluster]]
name = "a"
addresses = ["192.0.2.1"]
confirm.kind = "icmp"
node = [{ name = "n1", local = true }]
[[cluster]]
name = "b"
addresses = ["192.0.2.2", "2001:db8::2"]
confirm.kind = "icmp"
node = [{ name = "n1", local = true }]
"""
APP = '[[app]]\ndomain = "svc1.net."\nclusters = ["a", "b"]\npods = ["shop/web-*"]\n'
NODE = 'name = "x"\naddresses = ["192.0.2.9"]\nconfirm.kind = "icmp"\n'


def found(directory: Path, text: str, *, notes: bool = False) -> list[str]:
    path = directory / "config.toml"
    path.write_text(text)
    return [f"{each.key}: {each.text}" for each in problems(path, environ={}) if each.note is notes]


def cluster(text: str) -> str:
    return f"[[cluster]]\n{NODE}{text}\n"


def node(text: str) -> str:
    return cluster(f'[[cluster.node]]\nname = "n"\n{text}')


def database(text: str) -> str:
    return cluster(f'[[cluster.database]]\nname = "d"\n{text}')


def test_settings_without_a_fault_have_no_problems(tmp_path: Path) -> None:
    assert found(tmp_path, APP + CLUSTERS) == []
    assert found(tmp_path, APP + CLUSTERS, notes=True) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # names and references
        (APP + CLUSTERS + cluster("").replace('"x"', '"a"'), 'cluster[2].name: "a" stands twice'),
        (APP + APP + CLUSTERS, 'app[1].domain: "svc1.net." stands twice'),
        ('zone = [{ name = "a.b" }, { name = "A.b." }]', 'zone[1].name: "a.b." stands twice'),
        (APP.replace('"b"', '"a"') + CLUSTERS, 'app[0].clusters[1]: "a" stands twice'),
        (APP.replace('"b"', '"bb"') + CLUSTERS, 'app[0].clusters[1]: no [[cluster]] is called "bb"; did you mean "b"?'),
        (
            CLUSTERS + cluster("").replace("192.0.2.9", "2001:DB8::0:2"),
            'cluster[2].addresses[0]: "2001:db8::2" stands twice',
        ),
        (
            cluster('node = [{ name = "n", local = true }, { name = "n", local = true }]'),
            'cluster[0].node[1].name: "n" stands',
        ),
        (
            node('local = true\ncommand = [{ name = "c", command = "true" }, { name = "c", command = "false" }]'),
            "command[1].name",
        ),
        (APP.replace('"shop/web-*"', '"shop/web-*", "shop/web-*"') + CLUSTERS, "app[0].pods[1]"),
        # apps
        (APP + "weights = { c = 1 }\n" + CLUSTERS, 'app[0].weights.c: "c" is none of this app'),
        (APP + 'policy = "weighted"\nweights = { a = 0, b = 0 }\n' + CLUSTERS, "app[0].weights: every weight is 0"),
        (APP + "weights = { a = -1 }\n" + CLUSTERS, "app[0].weights.a: is -1; must be greater than or equal to 0"),
        (APP.replace("shop/web-*", "web") + CLUSTERS, 'app[0].pods[0].match: is "web"; not "namespace/name"'),
        (APP.replace("shop/web-*", "shop/*web") + CLUSTERS, 'app[0].pods[0].match: is "shop/*web"'),
        (APP.replace("svc1.net.", "svc 1.net") + CLUSTERS, 'app[0].domain: is "svc 1.net"; not a domain name'),
        # nodes and machines
        (node(""), "cluster[0].node[0]: write either ssh or local = true"),
        (node('ssh = "h"\nlocal = true'), "cluster[0].node[0]: write not both"),
        (node('ssh = "@h"'), 'cluster[0].node[0].ssh: is "@h"; not [user@]host[:port]'),
        (node('local = true\ncommand = [{ name = "c", command = "c", matches = "(" }]'), "command[0].matches: "),
        (node('local = true\ncommand = [{ name = "c", command = "c", json_path = "x" }]'), "command[0].json_path: "),
        (
            node('local = true\n[[cluster.machine]]\nname = "m"\nlocal = true\ndomains = { nn = "vm" }'),
            'cluster[0].machine[0].domains.nn: "nn" is no node of cluster x; did you mean "n"?',
        ),
        # confirmation and mode
        (cluster('confirm.target = ":80:80"').replace("icmp", "http"), "cluster[0].confirm.target: "),
        (
            cluster('confirm.expect = "399-200"').replace("icmp", "http"),
            'cluster[0].confirm.expect: is "399-200"; not status',
        ),
        (cluster('confirm.expect = "x"').replace("icmp", "dns"), 'cluster[0].confirm.expect: is "x"; not an address'),
        (cluster("").replace("icmp", "tcp"), "cluster[0].confirm.target: the port is missing"),
        (
            'detection.mode = "confirm"\n' + CLUSTERS + cluster("").replace("confirm.kind", "#"),
            "cluster[2].confirm: is missing",
        ),
        ('detection.mode = "internal"\n' + cluster(""), "cluster[0].node: is missing"),
        (cluster('router.kind = "haproxy"'), "cluster[0].router.address: is missing"),
        (
            cluster('router = { kind = "haproxy", address = "h:1", frontends = ["f"], backends = { "x.net." = "b" } }'),
            '"x.net." is no app of cluster',
        ),
        (cluster('router.frontends = ["a; shutdown"]'), "not a name"),
        (cluster('router.pods = { "web-0" = "10.0.0.1:80" }'), 'not "namespace/name"'),
        # databases
        (database('kind = "postgresql"'), "cluster[0].database[0]: write dsn_file or dsn"),
        (database('kind = "redis"\ndsn = "http://h"'), "cluster[0].database[0].dsn: must begin with redis://"),
        (database('kind = "command"'), "cluster[0].database[0].command: is missing"),
        (database('kind = "command"\ncommand = "x"\nmax_connections = "0%"'), "max_connections: is"),
        (database('kind = "command"\ncommand = "x"\nmax_connections = true'), "max_connections: is"),
        # pointsman itself
        (
            'dns.listen = ["127.0.0.1:53", "127.0.0.1:53"]',
            'dns.listen[1]: "127.0.0.1:53" is listened on twice, first at dns',
        ),
        ('dns.listen = ["localhost:53"]', "dns.listen[0]: "),
        ('dns.listen = ["::1:53"]', "dns.listen[0]: "),
        ('dns.listen = [""]', "dns.listen[0]: is empty"),
        (
            'control.tcp = "127.0.0.1:8053"',
            "control.tcp: needs control.tls_certificate, control.tls_key, control.token_file: over TCP there are no orders",
        ),
        ("recovery.ramp = [50, 25, 100]", "recovery.ramp: steps must ascend"),
        ("recovery.ramp = [10, 50]", "recovery.ramp: steps must ascend"),
        ("recovery.ramp = [50, 50, 100]", "recovery.ramp: steps must ascend"),
        ("recovery.hold = 400", "recovery.hold: is longer than recovery.hold_limit"),
        ("ssh.backoff = 60", "ssh.backoff: is longer than ssh.backoff_limit"),
        ("detection.tick = nan", "detection.tick: "),
        ("detection.tick = inf", "detection.tick: "),
        ('alerts.webhook = [{ url = "ftp://x" }]', "alerts.webhook[0].url: "),
        ('alerts.webhook = [{ url = "https://x", events = ["all"] }]', "alerts.webhook[0].events[0]: "),
        (f'control.socket = "/{"x" * 107}"', "control.socket: the path of the socket"),
        (f'store.directory = "/{"ü" * 48}"', "store.directory: the path of the socket"),
        # files
        ('zone = [{ name = "a.b", file = "none" }]', "zone[0].file: "),
        ('zone = [{ name = "a.b", tsig = "none" }]', "zone[0].tsig: "),
        ('ssh.keys = ["none"]', "ssh.keys[0]: "),
        ('ssh.known_hosts = "none"\n' + node('ssh = "h"'), "ssh.known_hosts: "),
        ('ssh.passphrase_file = "."', "ssh.passphrase_file: "),
        ('ssh.keys = ["a\\u0000b"]', "ssh.keys[0]: "),
        (database('kind = "redis"\ndsn_file = "none"'), "cluster[0].database[0].dsn_file: "),
    ],
)
def test_a_fault_is_told_at_its_place_and_alone(tmp_path: Path, text: str, problem: str) -> None:
    (line,) = found(tmp_path, text)
    assert problem in line


@pytest.mark.parametrize(
    "text",
    [
        'dns.listen = ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.2:53", "[::1]:53"]',
        APP + 'policy = "weighted"\nweights = { a = 0 }\n' + CLUSTERS,
        cluster('confirm.target = "[2001:db8::1]:53"').replace("icmp", "dns"),
        cluster('confirm.target = "192.0.2.1:8080/a:b"').replace("icmp", "https"),
        node('ssh = "me@[2001:db8::1]:2222"'),
        database('kind = "command"\ncommand = "true"\nmax_connections = "50"'),
        f'control.socket = "/{"x" * 106}"',
        'ssh.known_hosts = "none"\n' + node("local = true"),
        'ssh.known_hosts = "none"\nssh.insecure_accept_any_host_key = true\n' + node('ssh = "h"'),
    ],
)
def test_what_is_near_a_fault_and_right_passes(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_a_database_whose_driver_is_not_installed_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = database('kind = "mysql"\ndsn = "mysql://h"')
    assert found(tmp_path, text) == []
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert found(tmp_path, text) == [
        "cluster[0].database[0].kind: its driver is not installed: pip install 'pointsman[mysql]'"
    ]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("ssh.insecure_accept_any_host_key = true", "ssh.insecure_accept_any_host_key: any machine can pose as a node"),
        (
            'zone = [{ name = "a.b", transfer_to = ["192.0.2.1"] }]',
            "zone[0].transfer_to: anybody who can pose as one of these addresses gets the zone",
        ),
        (APP + "weights = { a = 1 }\n" + CLUSTERS, "app[0].weights: give shares only with"),
        (
            cluster("").replace("confirm.kind", "#") + '[[cluster.node]]\nname="n"\nlocal=true',
            "cluster[0].confirm: no confirmation",
        ),
    ],
)
def test_what_is_allowed_and_hardly_meant_is_a_note(tmp_path: Path, text: str, note: str) -> None:
    (line,) = found(tmp_path, text, notes=True)
    assert line.startswith(note)
    assert found(tmp_path, text) == []


def test_a_private_file_that_others_may_read_is_a_note(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    assert found(tmp_path, 'ssh.keys = ["key"]', notes=True) == []
    key.chmod(0o644)
    (line,) = found(tmp_path, 'ssh.keys = ["key"]', notes=True)
    assert line == f"ssh.keys[0]: {key}: others may read it (mode 0644): chmod 600"


def test_a_file_that_this_user_may_not_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").touch(mode=0o000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read every file
    (line,) = found(tmp_path, 'ssh.keys = ["key"]')
    assert line.endswith("this user may not read it")


def test_host_keys_that_are_missing_at_their_usual_place_are_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (line,) = found(tmp_path, node('ssh = "h"'), notes=True)
    assert line.startswith(f"ssh.known_hosts: {tmp_path}/.ssh/known_hosts: No such file or directory: no SSH server")
    assert found(tmp_path, node('ssh = "h"')) == []


def test_addresses_are_read_in_every_spelling() -> None:
    assert host_and_port("h:1") == ("h", 1)
    assert host_and_port("h", 2) == ("h", 2)
    assert host_and_port("2001:db8::1", 2) == ("2001:db8::1", 2)
    assert host_and_port("[2001:db8::1]", 2) == ("2001:db8::1", 2)
    assert host_and_port("[2001:db8::1]:3", 2) == ("2001:db8::1", 3)
    assert ssh_target("me@192.0.2.1") == SshTarget("me", "192.0.2.1", 22)
    assert ssh_target("h:2222") == SshTarget("", "h", 2222)


@pytest.mark.parametrize(
    "text", ["", ":1", "h:", "h:x", "h:65536", "h:-1", "h:1:2", "[h]:1", "[]:1", "[::1]x", "1.2.3:4", "a b:1", "-h:1"]
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        host_and_port(text)


@pytest.mark.parametrize(
    ("kind", "text", "target"),
    [
        ("http", "", ConfirmTarget("", 80, "/")),
        ("http", "/healthz", ConfirmTarget("", 80, "/healthz")),
        ("https", ":8443/a/b?c=d", ConfirmTarget("", 8443, "/a/b?c=d")),
        ("https", "192.0.2.1/x", ConfirmTarget("192.0.2.1", 443, "/x")),
        ("http", "[::1]:8080", ConfirmTarget("::1", 8080, "/")),
        ("tcp", ":22", ConfirmTarget("", 22)),
        ("tcp", "192.0.2.1:22", ConfirmTarget("192.0.2.1", 22)),
        ("dns", "", ConfirmTarget("", 53)),
        ("dns", "192.0.2.1", ConfirmTarget("192.0.2.1", 53)),
        ("icmp", "", ConfirmTarget("", 0)),
        ("icmp", "::1", ConfirmTarget("::1", 0)),
    ],
)
def test_a_confirmation_goes_to_an_address(kind: str, text: str, target: ConfirmTarget) -> None:
    assert confirm_target(kind, text) == target


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("http", "http://192.0.2.1/"),
        ("http", "svc1.net/"),
        ("http", "/a b"),
        ("tcp", ""),
        ("tcp", "192.0.2.1"),
        ("icmp", "192.0.2.1:1"),
        ("icmp", ":1"),
    ],
)
def test_a_confirmation_goes_nowhere_else(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        confirm_target(kind, text)


def test_status_codes_are_ranges() -> None:
    assert status_ranges("200-299, 418") == (range(200, 300), range(418, 419))
    for wrong in ("", "2xx", "300-200", "200,", "1000"):
        with pytest.raises(ValueError, match="not status codes"):
            status_ranges(wrong)


NAMED = CLUSTERS.replace('addresses = ["192.0.2.1"]', 'hostname = "lb.a.example.net"').replace(
    'confirm.kind = "icmp"', 'confirm = { kind = "icmp", target = "192.0.2.1" }', 1
)
ZONED = '[[zone]]\nname = "net."\n'
FAILOVER = APP + 'policy = "failover"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            ZONED + APP + NAMED,
            'app[0].clusters[0]: "a" has a host name, and a CNAME stands alone: use policy "failover"',
        ),
        (FAILOVER + NAMED, "svc1.net. is the apex of its zone, where no CNAME can stand"),
        ('[[zone]]\nname = "svc1.net."\n' + FAILOVER + NAMED, "svc1.net. is the apex of its zone"),
        (
            ZONED + FAILOVER + NAMED.replace("lb.a.example.net", "svc1.net"),
            'app[0].clusters[0]: the host name of "a" is this very domain',
        ),
        (
            ZONED + FAILOVER + NAMED.replace('hostname = "lb', 'addresses = ["192.0.2.1"]\nhostname = "lb'),
            "cluster[0].hostname: write addresses or hostname, not both",
        ),
        (ZONED + FAILOVER + CLUSTERS.replace("addresses = [", "tags = [", 1), "cluster[0].addresses: is missing"),
        (
            ZONED + FAILOVER + NAMED.replace(', target = "192.0.2.1"', ""),
            "cluster[0].confirm.target: write the address it goes to",
        ),
        (
            ZONED
            + FAILOVER
            + NAMED.replace('addresses = ["192.0.2.2", "2001:db8::2"]', 'hostname = "LB.a.example.net."'),
            'cluster[1].hostname: "lb.a.example.net." stands twice',
        ),
    ],
)
def test_a_host_name_stands_where_a_cname_can(tmp_path: Path, text: str, problem: str) -> None:
    assert any(problem in line for line in found(tmp_path, text))


def test_a_host_name_is_right_under_a_zone_and_with_one_cluster_at_a_time(tmp_path: Path) -> None:
    assert found(tmp_path, ZONED + FAILOVER + NAMED) == []
    assert found(tmp_path, ZONED + APP + 'policy = "weighted"\n' + NAMED) == []
    assert found(tmp_path, APP.replace('["a", "b"]', '["b"]') + FAILOVER.replace("svc1", "www.svc1") + NAMED) == []
    assert found(tmp_path, ZONED + APP.replace('["a", "b"]', '["a"]') + NAMED) == []


def test_a_zone_that_is_signed_online_is_not_transferred(tmp_path: Path) -> None:
    (tmp_path / "key").touch(mode=0o600)
    text = '[[zone]]\nname = "a.b"\ndnssec = ["key"]\n'
    assert found(tmp_path, text) == []
    (line,) = found(tmp_path, text + 'transfer_to = ["192.0.2.1"]\n')
    assert line.startswith("zone[0].transfer_to: a zone that is signed online cannot be transferred")
