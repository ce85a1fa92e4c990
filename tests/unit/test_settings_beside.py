"""What is wrong with the settings of internal DNS, other people's DNS, alerts and peers, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings.load import problems

WORLD = """
[[cluster]]
name = "a"
addresses = ["192.0.2.1"]
confirm.kind = "http"
[[app]]
domain = "svc1.net."
clusters = ["a"]
pods = ["shop/web-*"]
"""
INTERNAL = '[[internal_dns]]\nname = "d"\naddress = "192.0.2.53"\n'
PROVIDER = '[[provider]]\nname = "p"\nserver = "192.0.2.53"\nzone = "svc1.net"\n'
PEERS = '[peers]\netcd = ["http://192.0.2.1:2379"]\nname = "x"\ninstances = ["x", "y"]\n'
WEBHOOK = "[[alerts.webhook]]\n"


def found(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "key").write_text("")
    (tmp_path / "key").chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(WORLD + text)
    return [
        f"{problem.key}: {problem.text}" for problem in problems(config, environ={}) if "known_hosts" not in problem.key
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (INTERNAL, "internal_dns[0].tsig: is missing: it takes signed orders alone"),
        (INTERNAL + 'kind = "unbound"\ncluster = "b"', 'internal_dns[0].cluster: no [[cluster]] is called "b"'),
        (
            INTERNAL + 'kind = "bind"\ndomains = ["svc2.net"]',
            'internal_dns[0].domains[0]: no [[app]] has the domain "svc2.net."',
        ),
        (INTERNAL + 'kind = "knot-resolver"', "internal_dns[0].sockets: is missing"),
        (INTERNAL + 'kind = "djbdns"', "internal_dns[0].kind: "),
        (INTERNAL + 'kind = "bind"\n' + INTERNAL + 'kind = "bind"', 'internal_dns[1].name: "d" stands twice'),
        (PROVIDER + 'kind = "powerdns"\nurl = "http://x"', "provider[0].api_key_file: is missing"),
        (PROVIDER + 'kind = "powerdns"\napi_key_file = "key"', "provider[0].url: is missing"),
        (PROVIDER + 'url = "x"', 'provider[0].url: is "x"; not a URL'),
        (PROVIDER, "provider[0].tsig: not set: updates are sent unsigned"),
        (PROVIDER.replace("svc1", "svc2") + 'tsig = "key"', "provider[0].zone: no app's domain lies in svc2.net."),
        (PROVIDER + 'tsig = "none"', "provider[0].tsig: "),
        (WEBHOOK, "alerts.webhook[0].url: is missing"),
        (WEBHOOK + 'url = "http://x"\nurl_file = "key"', "alerts.webhook[0].url: write url or url_file, not both"),
        (WEBHOOK + 'url = "http://x"\nformat = "pagerduty"', "alerts.webhook[0].secret_file: is missing"),
        (WEBHOOK + 'url = "http://x"\nsecret = "a"\nsecret_file = "key"', "alerts.webhook[0].secret: write secret or"),
        ("[[alerts.command]]\nrun = []", "alerts.command[0].run: "),
        (PEERS, "peers.etcd: not encrypted"),
        (PEERS.replace('name = "x"', 'name = "z"'), 'peers.name: "z" is none of peers.instances'),
        (PEERS.replace('name = "x"\n', ""), "peers.name: is missing"),
        (PEERS.replace('["x", "y"]', '["x"]'), "peers.instances: write the names of all instances"),
        (PEERS + "silent_quorum = 3", "peers.silent_quorum: there are 2 instances"),
        (PEERS + 'user = "u"', "peers.user: write user and password_file"),
        (PEERS + 'cert_file = "key"', "peers.cert_file: write cert_file and key_file"),
        (PEERS + 'password_file = "none"', "peers.password_file: "),
        (PEERS.replace("http://192.0.2.1:2379", "192.0.2.1:2379"), "peers.etcd[0]: "),
        ('[peers]\nname = "x"', "peers.etcd: is missing"),
        ('[resolver]\ndomains = ["svc1.net"]', "resolver: write both domains and upstream"),
        ('[resolver]\nallow = ["10.0.0.1/8"]', "resolver.allow[0]: "),
    ],
)
def test_each_mistake_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    lines = found(tmp_path, text)
    assert [line for line in lines if line.startswith(said)], lines


def test_nothing_is_said_of_what_is_right(tmp_path: Path) -> None:
    text = INTERNAL + 'tsig = "key"\n' + PROVIDER + 'tsig = "key"\n' + WEBHOOK + 'url = "https://x"\n'
    assert found(tmp_path, text + '[[alerts.command]]\nrun = ["true"]\n') == []
