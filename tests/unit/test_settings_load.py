"""Where settings come from, which source wins, and how problems are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from core.settings import Settings
from core.settings.load import load, problems

SECRET = "hunter2"


def write(directory: Path, text: str) -> Path:
    path = directory / "config.toml"
    path.write_text(text)
    return path


def errors(
    path: Path | None, environ: dict[str, str] | None = None, flags: dict[str, object] | None = None
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, flags, environ or {})
    return [line.replace(str(path), "config.toml") for line in caught.value.problems]


def test_without_a_file_the_defaults_hold_and_paths_are_absolute() -> None:
    settings = load(None, environ={})
    assert settings.dns == Settings().dns
    assert settings.store.directory == str(Path("~/.local/state/pointsman").expanduser())


def test_flags_outrank_the_environment_which_outranks_the_file_which_outranks_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "[dns]\nttl = 2\nworkers = 2\nnsid = 'file'\n")
    environ = {"POINTSMAN_DNS__TTL": "3", "POINTSMAN_DNS__WORKERS": "3"}
    dns = load(path, {"dns.ttl": 4, "dns.workers": None}, environ).dns
    assert (dns.ttl, dns.workers, dns.nsid, dns.version) == (4, 3, "file", "")


def test_the_environment_takes_simple_values_lists_and_tables() -> None:
    environ = {
        "POINTSMAN_DNS": '{"ttl": 9, "nsid": "a"}',
        "POINTSMAN_DNS__TTL": "7",
        "POINTSMAN_DNS__LISTEN": '["127.0.0.1:53"]',
        "POINTSMAN_DNS__LIMITS__UDP_PAYLOAD": "1400",
        "POINTSMAN_SAFETY__SHADOW": "true",
        "POINTSMAN_CLUSTER": '[{"name": "a", "addresses": ["192.0.2.1"]}]',
        "POINTSMAN_SOCKET": "/somewhere/else",
        "OTHER": "x",
    }
    settings = load(None, environ=environ)
    assert (settings.dns.ttl, settings.dns.nsid, settings.dns.listen) == (7, "a", ("127.0.0.1:53",))
    assert settings.dns.limits.udp_payload == 1400
    assert settings.safety.shadow
    assert settings.cluster[0].addresses == ("192.0.2.1",)


def test_the_process_environment_is_not_read_where_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_DNS__TTL", "77")
    assert load(None, environ={}).dns.ttl == 5
    assert load(None).dns.ttl == 77
    assert Settings().dns.ttl == 5


def test_all_problems_come_at_once_each_with_file_line_and_key(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
[dns]
tttl = 5
workers = 0
[[app]]
domain = "svc1.net."
clusters = ["a", "nowhere"]
policy = "weigthed"
[[app]]
clusters = ["a", "b", "nowhere"]
domain = "svc2.net."
[[cluster]]
name = "a"
addresses = ["192.0.2.1"]
  [[cluster.node]]
  name = "n1"
  local = true
  [[cluster.node]]
  name = "n2"
  ssh = "me@host:0x"
[[cluster]]
name = "b"
addresses = ["192.0.2.2"]
  [[cluster.node]]
  name = "n1"
""",
    )
    assert errors(path) == [
        'config.toml:2: dns.tttl: unknown key; did you mean "ttl"?',
        "config.toml:3: dns.workers: is 0; must be greater than or equal to 1",
        'config.toml:7: app[0].policy: is "weigthed"; write one of "all", "failover" or "weighted"; did you mean "weighted"?',
        'config.toml:9: app[1].clusters[2]: no [[cluster]] is called "nowhere"',
        'config.toml:19: cluster[0].node[1].ssh: is "me@host:0x"; the port is not a number from 0 to 65535',
        "config.toml:23: cluster[1].node[0]: write either ssh or local = true",
    ]


def test_the_place_of_a_problem_survives_that_parts_before_it_are_not_valid(tmp_path: Path) -> None:
    path = write(tmp_path, '[[cluster]]\nname = 1\n[[cluster]]\nname = "b"\naddresses = ["192.0.2.1", "192.0.2.1"]\n')
    assert errors(path) == [
        "config.toml:2: cluster[0].name: is 1; write a text in quotes",
        'config.toml:5: cluster[1].addresses[1]: "192.0.2.1" stands twice, first at cluster[1].addresses[0]',
    ]


def test_a_problem_of_the_environment_names_the_variable(tmp_path: Path) -> None:
    path = write(tmp_path, "[dns]\nttl = 5\n")
    environ = {"POINTSMAN_DNS__TTL": "soon", "POINTSMAN_DNS__TTTL": "1", "POINTSMAN_DNSS__TTL": "1"}
    assert errors(path, environ) == [
        'POINTSMAN_DNSS__TTL: dnss: unknown key; did you mean "dns"?',
        'POINTSMAN_DNS__TTL: dns.ttl: is "soon"; write a whole number',
        'POINTSMAN_DNS__TTTL: dns.tttl: unknown key; did you mean "ttl"?',
    ]


def test_a_list_in_the_environment_that_is_not_json_is_told_how_to_be_written() -> None:
    (line,) = errors(None, {"POINTSMAN_DNS__LISTEN": "127.0.0.1:53"})
    assert line.startswith('POINTSMAN_DNS__LISTEN: dns.listen: not JSON; lists are written ["a", "b"]')


def test_a_problem_of_a_flag_names_the_command_line() -> None:
    assert errors(None, flags={"log.format": "xml"}) == [
        'command line: log.format: is "xml"; write one of "text" or "json"'
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [("[dns]\nttl = \n", ":2:7: not TOML: "), ("[dns\n", ":1:5: not TOML: "), ("a = 'b", ": not TOML: ")],
)
def test_wrong_toml_is_told_with_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    (line,) = errors(write(tmp_path, text))
    assert line.startswith("config.toml" + place)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    assert errors(tmp_path / "none.toml") == ["config.toml: cannot be read: No such file or directory"]
    assert errors(tmp_path) == ["config.toml: cannot be read: Is a directory"]
    (tmp_path / "config.toml").write_bytes(b"a = '\xff'")
    assert errors(tmp_path / "config.toml") == ["config.toml: is not UTF-8 text (octet 5)"]


def test_one_table_where_several_can_be_is_told_the_double_brackets(tmp_path: Path) -> None:
    path = write(tmp_path, '[cluster]\nname = "a"\n[[app]]\ndomain = "a.b"\nclusters = ["a"]\n')
    assert errors(path) == ["config.toml:1: cluster: there can be several: write [[cluster]]"]


def test_a_list_of_which_no_item_is_valid_is_not_called_empty_as_well(tmp_path: Path) -> None:
    assert errors(write(tmp_path, '[dns]\nlisten = ["x"]\n')) == [
        'config.toml:2: dns.listen[0]: is "x"; the port is missing: write HOST:PORT or [IPv6]:PORT'
    ]
    assert errors(write(tmp_path, "[dns]\nlisten = []\n")) == ["config.toml:2: dns.listen: must not be empty"]


def test_keys_that_pydantic_settings_would_take_for_itself_are_unknown_keys(tmp_path: Path) -> None:
    assert errors(write(tmp_path, "_env_file = 'x'\n")) == ["config.toml:1: _env_file: unknown key"]


@pytest.mark.parametrize(
    "wrong",
    [
        f'dsn = ["postgresql://u:{SECRET}@h"]',
        f'dsn = "http://u:{SECRET}@h"',
        f'dns = "{SECRET}"',
        f'dsn = "postgresql://u:{SECRET}@h"\ninterval = 0\ndsn_file = "x"',
        f'dsn = {{ password = "{SECRET}" }}',
    ],
)
def test_a_secret_stands_in_no_problem(tmp_path: Path, wrong: str) -> None:
    text = f'[[cluster]]\nname = "a"\naddresses = ["192.0.2.1"]\n[[cluster.database]]\nname = "d"\nkind = "postgresql"\n{wrong}\n'
    lines = errors(write(tmp_path, text))
    assert lines
    assert SECRET not in "\n".join(lines)


def test_a_secret_in_the_environment_stands_in_no_problem() -> None:
    lines = errors(None, {"POINTSMAN_ALERTS__WEBHOOK": f'[{{"secret": "{SECRET}"', "POINTSMAN_CLUSTER": SECRET})
    assert len(lines) == 2
    assert SECRET not in "\n".join(lines)


def test_paths_of_the_file_are_relative_to_it_and_others_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, there = tmp_path / "home", tmp_path / "there"
    for directory in (home, there):
        directory.mkdir()
    for name in ("key", "zone", "token"):
        (there / name).touch(mode=0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    path = write(
        there,
        '[[zone]]\nname = "a.b"\nfile = "zone"\n[ssh]\nkeys = ["key"]\nknown_hosts = "~/hosts"\n'
        '[control]\ntcp = "127.0.0.1:1"\ntoken_file = "token"\ntls_certificate = "zone"\ntls_key = "key"\n',
    )
    settings = load(path, environ={"POINTSMAN_STORE__DIRECTORY": "state"})
    assert settings.zone[0].file == str(there / "zone")
    assert settings.ssh.keys == (str(there / "key"),)
    assert settings.ssh.known_hosts == str(home / "hosts")
    assert settings.store.directory == str(tmp_path / "state")
    assert settings.control_socket == tmp_path / "state" / "control.sock"
    assert settings.log_file == tmp_path / "state" / "pointsman.log"


def test_notes_are_told_by_problems_and_stop_nothing(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[[app]]\ndomain = "a.b"\nclusters = ["c"]\n[[cluster]]\nname = "c"\naddresses = ["192.0.2.1"]\n',
    )
    load(path, environ={})
    found = problems(path, environ={})
    assert all(problem.note for problem in found)
    assert [str(problem).removeprefix(str(path)) for problem in found] == [
        ":1: app[0].pods: no pods are named: containers are not checked for this app",
        ":4: cluster[0]: nothing checks it: neither confirm nor node, machine or database",
    ]
