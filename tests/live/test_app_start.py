"""What keeps the program from starting is one line that says what, where and what to do (issue 2): exit code 2 or 1."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.model import Action
from tests.conftest import require
from tests.live.app_program import CONFIG, pointsman, program, written

pytestmark = pytest.mark.live
NODE = """
[ssh]
keys = ["key"]
known_hosts = "known_hosts"
[[cluster]]
name = "c"
addresses = ["192.0.2.3"]
[[cluster.node]]
name = "n"
ssh = "root@127.0.0.1:1"
"""


def refused(directory: Path, code: int, text: str = CONFIG, under: tuple[str, ...] = ()) -> str:
    """The line with which ``run --headless`` does not start; nothing was said as if it had begun."""
    done = pointsman(directory, "run", "--headless", "--config", str(written(directory, text)), under=under)
    assert done.code == code, done
    return done.refusal


def unprivileged() -> tuple[str, ...]:
    """What takes root's rights over files and ports from a process."""
    return (
        ()
        if os.getuid()
        else (require("setpriv"), "--bounding-set", "-net_bind_service,-dac_override,-dac_read_search")
    )


@contextmanager
def disk(where: Path, options: str) -> Iterator[None]:
    """A small file system at ``where``."""
    where.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", where], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", where], check=True)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    subprocess.run([require("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (tmp_path / "known_hosts").touch()
    return tmp_path / "key"


# --- settings: 2 ------------------------------------------------------------------------------------------------------


def test_every_wrong_setting_is_a_line_with_its_place_and_nothing_is_made(tmp_path: Path) -> None:
    text = CONFIG.replace('clusters = ["a", "b"]', 'clusters = ["a", "bb"]').replace('"192.0.2.2"', '"192.0.2.1"')
    config = written(tmp_path, text + 'policy = "sometimes"\nfoo = 1\n')
    done = pointsman(tmp_path, "run", "--headless", "--config", str(config))
    assert (done.code, done.out) == (2, "")
    assert [line.split(": ")[1:3] for line in done.err.splitlines()] == [
        [f"{config}:13", "cluster[1].addresses[0]"],
        [f"{config}:17", "app[0].policy"],
        [f"{config}:18", "app[0].foo"],
    ]
    assert not (tmp_path / "state").exists()
    assert pointsman(tmp_path, "check", "--config", str(config)) == done


def test_a_missing_ssh_key_is_one_line(tmp_path: Path, key: Path) -> None:
    key.unlink()
    said = refused(tmp_path, 2, CONFIG + NODE)
    assert f"config.toml:19: ssh.keys[0]: {key}: No such file or directory" in said


def test_a_key_that_is_none_is_one_line(tmp_path: Path, key: Path) -> None:
    key.write_text("garbage\n")
    assert "ssh.keys: cannot be used: " in refused(tmp_path, 2, CONFIG + NODE)


def test_known_hosts_that_nobody_may_read_is_one_line(tmp_path: Path, key: Path) -> None:
    (tmp_path / "known_hosts").chmod(0)
    said = refused(tmp_path, 2, CONFIG + NODE, unprivileged())
    assert f"config.toml:20: ssh.known_hosts: {tmp_path}/known_hosts: this user may not read it" in said


def test_known_hosts_that_is_no_text_is_one_line(tmp_path: Path, key: Path) -> None:
    (tmp_path / "known_hosts").write_bytes(bytes(range(256)))
    assert "ssh.known_hosts: cannot be read: " in refused(tmp_path, 2, CONFIG + NODE)


def test_a_socket_path_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    said = refused(tmp_path, 2, CONFIG.replace("control.sock", "s" * 108))
    assert "config.toml:7: control.socket: " in said
    assert "write a shorter control.socket" in said


# --- the rest: 1 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_busy_dns_port_is_one_line(tmp_path: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        said = refused(tmp_path, 1, CONFIG.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        assert said.startswith(f"pointsman: cannot listen on 127.0.0.1:{port} (")
        assert "the port is busy; see who has it" in said


def test_port_53_without_the_right_is_one_line(tmp_path: Path) -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 53:
        pytest.skip("on this machine everybody may listen on port 53")
    said = refused(tmp_path, 1, CONFIG.replace("127.0.0.1:0", "127.0.0.98:53"), unprivileged())
    assert said.startswith("pointsman: cannot listen on 127.0.0.98:53 (UDP): no permission; ")


def test_a_read_only_state_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o500)
    said = refused(tmp_path, 1, under=unprivileged())
    assert said.startswith(f"pointsman: state directory {tmp_path}/state: cannot be written (Permission denied); ")


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with disk(tmp_path / "state", "size=64k"):
        (tmp_path / "state" / "state.db").touch()
        (tmp_path / "state" / "filler").write_bytes(b"x" * 60 * 1024)
        said = refused(tmp_path, 1)
    assert said == f"pointsman: state directory {tmp_path}/state: the disk is full; make room\n"


def test_a_damaged_state_is_one_line_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "state" / "state.db"
    file.parent.mkdir()
    file.write_bytes(b"these are not the octets of a database" * 300)
    assert "state.db is damaged (file is not a database); restore a copy, start once with" in refused(tmp_path, 1)
    assert file.read_bytes() == b"these are not the octets of a database" * 300


def test_a_socket_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("precious")
    assert "control.sock: there is a file of that name that is not a socket; remove it" in refused(tmp_path, 1)
    assert (tmp_path / "control.sock").read_text() == "precious"


def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with program(written(tmp_path)) as first:
        said = refused(tmp_path, 1)
        assert f"in use by the pointsman with pid {first.process.pid}; use `pointsman attach`" in said
        said = refused(tmp_path, 1, CONFIG.replace('"state"', '"other"'))
        assert "control.sock: another pointsman answers there" in said
        assert first.addresses() == {"192.0.2.1", "192.0.2.2"}
        assert first.command("status").code == 0
        first.end()


def test_a_socket_left_by_a_killed_process_makes_way(tmp_path: Path) -> None:
    with program(written(tmp_path)) as it:
        it.process.kill()
        it.process.wait()
        assert it.socket.is_socket()
        for words in (("status",), ("attach",)):
            done = it.command(*words)
            assert done.code == 1
            assert f"no pointsman answers on {it.socket}; start one" in done.refusal
    with program(written(tmp_path)) as it:
        assert it.command("status").code == 0


def test_a_demo_in_the_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = pointsman(tmp_path, "demo", "--headless", "--dir", str(tmp_path / "file"), "--dns-port", "0")
    assert done.code == 1
    assert done.refusal == f"pointsman: {tmp_path}/file: File exists\n"


def test_several_workers_serve_what_the_engine_decides(tmp_path: Path) -> None:
    with program(written(tmp_path, CONFIG.replace("[dns]", "[dns]\nworkers = 2"))) as it:
        assert it.addresses() == {"192.0.2.1", "192.0.2.2"}
        it.order(Action.ERASE, "a")
        assert [it.addresses() for _ in range(20)] == [{"192.0.2.2"}] * 20
        it.end()
