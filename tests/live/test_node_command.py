"""What ``pointsman node-command`` prints, on a real OpenSSH server and before the real visudo."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.probes import node_command
from tests.conftest import require
from tests.live.app_program import pointsman
from tests.live.sshd import Command, Sshd, executable, over_ssh

pytestmark = pytest.mark.live
SETTINGS = """
[ssh]
keys = ["id"]
[[app]]
domain = "svc1.net."
clusters = ["tokyo"]
[[cluster]]
name = "tokyo"
addresses = ["192.0.2.1"]
[[cluster.node]]
name = "node1"
ssh = "watcher@10.0.0.1"
runtime = "containerd"
routes = ["iptables", "nftables"]
[[cluster.machine]]
name = "host1"
ssh = "10.0.0.2"
domains = { node1 = "node1" }
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd.make(tmp_path)
    yield server
    server.stop()


async def test_the_script_runs_what_it_was_made_for_word_for_word_and_nothing_else(server: Sshd) -> None:
    good = Command("""printf '%s\\n' "it's well" '*'""", name="good")
    others = [
        Command(line, name=name)
        for name, line in (
            ("more", good.command + "; id"),
            ("less", good.command[:-1]),
            ("lines", f"x\n{good.command}"),
        )
    ]
    executable(server.directory / "only", "\n".join([*node_command.script([good])][1:]))
    server.allow(f'restrict,command="{server.directory}/only"')
    server.start()
    async with over_ssh(server, good, *others, poll=0.1) as seen:
        assert (await seen.evidence(good.id, 2)).said.startswith("it's well")
        for other in others:
            refused = await seen.evidence(other.id)
            assert not refused.healthy
            assert "126" in refused.said or "not one of the commands" in refused.said


@pytest.mark.parametrize(("source", "user"), [("tokyo/node1", "watcher"), ("tokyo/host1", "pointsman")])
def test_what_is_printed_is_a_script_a_key_and_sudoers_that_visudo_accepts(
    tmp_path: Path, source: str, user: str
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True)
    (tmp_path / "config.toml").write_text(SETTINGS)
    said = pointsman(tmp_path, "node-command", source, "--config", "config.toml")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    rules = [line for line in lines if "ALL=(root)" in line]
    assert rules
    assert all(line.startswith(f"{user} ALL=(root) NOPASSWD: /usr/") for line in rules)
    (tmp_path / "sudoers").write_text("\n".join(rules) + "\n")
    subprocess.run([require("visudo"), "-cf", str(tmp_path / "sudoers")], check=True, capture_output=True)
    script = "\n".join(lines[lines.index("#!/bin/sh") : lines.index("esac") + 1])
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert f'restrict,command="{node_command.SCRIPT}" {(tmp_path / "id.pub").read_text().strip()}' in lines


def test_a_node_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True)
    (tmp_path / "config.toml").write_text(SETTINGS)
    said = pointsman(tmp_path, "node-command", "tokyo/nobody", "--config", "config.toml")
    assert said.code == 1
    assert "no node or machine 'tokyo/nobody'" in said.refusal
