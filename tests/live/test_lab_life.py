"""How a lab begins and ends: its files, its neighbours, its leftovers, its commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest
from typer.testing import CliRunner

from core.errors import NotRunning, StartError
from core.lab.cli import app
from core.lab.client import LabClient
from core.lab.demo import palette, running
from core.lab.protocol import ClusterView, FaultKind
from core.settings import Settings
from tests.live.lab_tools import connect, output, view

pytestmark = pytest.mark.live


def alive(pid: int) -> bool:
    """A zombie is dead."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def marked(directory: Path) -> set[int]:
    """The living processes of a lab, by what they carry in their environment."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"={directory}".encode() in (entry / "environ").read_bytes():
                found.add(int(entry.name))
    return {pid for pid in found if alive(pid)}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.02)


def start(directory: Path) -> subprocess.Popen[bytes]:
    lab = subprocess.Popen(
        [sys.executable, "-m", "core.lab", "--dir", str(directory), "--clusters", "1", "--nodes", "1"],
        stdout=subprocess.PIPE,
    )
    assert lab.stdout is not None
    assert lab.stdout.readline() == b"ready\n"
    return lab


def end(lab: subprocess.Popen[bytes], number: int) -> int:
    lab.send_signal(number)
    assert lab.stdout is not None
    lab.stdout.close()
    return lab.wait(15)


def processes(cluster: ClusterView) -> set[int]:
    hosts = (*cluster.nodes, cluster.machine)
    return {p.pid for p in (*cluster.processes, *(process for host in hosts for process in host.processes))}


async def test_a_lab_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        lab = start(tmp_path)
        pids = processes(await view(tmp_path))
        assert len(pids) == 7  # 2 containers, vswitch, runtime, machine, router, database
        assert all(map(alive, pids))
        assert end(lab, number) == 0
        assert not marked(tmp_path)


async def test_a_killed_lab_leaves_nothing_not_even_what_a_session_started(tmp_path: Path) -> None:
    lab = start(tmp_path)
    cluster = await view(tmp_path)
    with contextlib.suppress(asyncssh.Error, OSError):  # the connection breaks in the middle
        async with (
            connect(tmp_path, cluster.nodes[0]) as connection,
            connection.create_process("setsid sleep 1000 & setsid sleep 1000 & echo begun; wait") as shell,
        ):
            await shell.stdout.readline()
            await until(lambda: len(marked(tmp_path)) == 10)  # with the session's shell and its two
            assert end(lab, signal.SIGKILL) == -signal.SIGKILL
    assert lab.returncode is not None
    await until(lambda: not marked(tmp_path))


async def test_a_lab_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        f"lab = subprocess.Popen([sys.executable, '-m', 'core.lab', '--dir', {str(tmp_path)!r}, '--clusters', '1'])\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    assert marked(tmp_path)
    end(parent, signal.SIGKILL)
    await until(lambda: not marked(tmp_path))


async def test_a_start_removes_what_a_lab_and_its_guardian_left(tmp_path: Path) -> None:
    left = subprocess.Popen(["sleep", "1000"], env={**os.environ, "POINTSMAN_LAB": str(tmp_path)})
    other = subprocess.Popen(["sleep", "1000"], env={**os.environ, "POINTSMAN_LAB": f"{tmp_path}-other"})
    lab = start(tmp_path)
    try:
        assert left.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        end(lab, signal.SIGTERM)
        other.kill()
        other.wait()


def test_a_second_lab_in_the_same_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    with (
        running(tmp_path, clusters=1, nodes=1),
        pytest.raises(StartError, match=f"a lab is already running in {tmp_path}"),
        running(tmp_path, clusters=1, nodes=1),
    ):
        pass


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="Not a directory"), running(tmp_path / "file" / "lab"):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(StartError, match="belongs to another user"), running(tmp_path):
        pass


async def test_two_labs_run_side_by_side_with_addresses_of_their_own(tmp_path: Path) -> None:
    with running(tmp_path / "one"), running(tmp_path / "two"):
        one, two = await LabClient(tmp_path / "one").list(), await LabClient(tmp_path / "two").list()
        assert not {cluster.router for cluster in one} & {cluster.router for cluster in two}
        await LabClient(tmp_path / "one").break_("tokyo", "vswitch")
        for directory, expected in ((tmp_path / "one", False), (tmp_path / "two", True)):
            async with connect(directory, (await view(directory)).nodes[0]) as connection:
                assert ("db.sock" in await output(connection, "ps -eo pid=,args=")) == expected


async def test_a_restarted_lab_keeps_its_host_keys_and_forgets_its_faults(tmp_path: Path) -> None:
    with running(tmp_path, clusters=1):
        await LabClient(tmp_path).break_("tokyo", "routes")
        before = (tmp_path / "known_hosts").read_text()
    with running(tmp_path, clusters=1):
        assert (await view(tmp_path)).faults == ()
        kept, again = before.split(), (tmp_path / "known_hosts").read_text().split()
    assert kept[2::3] == again[2::3]


async def test_the_settings_file_describes_the_lab(tmp_path: Path) -> None:
    with running(tmp_path, dns_port=5399) as file:
        settings = Settings(**tomllib.loads(file.read_text()))
        clusters = await LabClient(tmp_path).list()
        assert oct(tmp_path.stat().st_mode & 0o777) == "0o700"
        assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in ("client_key", "lab.sock", "keys"))
    assert settings.dns.listen == ("127.0.0.1:5399",)
    assert [c.name for c in settings.cluster] == ["tokyo", "osaka", "fukuoka"]
    assert [a.domain for a in settings.app] == ["svc1.net.", "svc2.net."]
    assert settings.app[0].pod_rules[0].match == "default/svc1-*"
    for known, seen in zip(settings.cluster, clusters, strict=True):
        assert [node.ssh for node in known.node] == [node.ssh for node in seen.nodes]
        assert known.machine[0].ssh == seen.machine.ssh
        assert known.addresses[0] in seen.router
        assert known.database[0].dsn.get_secret_value() == f"{seen.database}/0"
    assert len({c.addresses for c in settings.cluster}) == 3


async def test_the_palette_breaks_and_mends(tmp_path: Path) -> None:
    with running(tmp_path, clusters=2, nodes=1):
        entries = {name: run for name, _, run in palette(tmp_path)}
        assert len(entries) == 2 * (len(FaultKind) + 1)
        assert "flushed" in await entries["lab: break osaka routes"]()
        assert "already broken" in await entries["lab: break osaka routes"]()
        assert await entries["lab: mend osaka"]() == "osaka: mended routes"
        assert "no fault" in await entries["lab: mend osaka"]()
    assert "no lab answers" in await entries["lab: mend osaka"]()


def test_the_commands_print_times_and_exit_as_promised(tmp_path: Path) -> None:
    def lab(*words: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*words, "--dir", str(tmp_path)])
        return done.exit_code, done.stdout, done.stderr

    assert lab("list")[0] == 1
    with running(tmp_path, clusters=1):
        code, text, _ = lab("break", "tokyo", "routes", "--node", "node2")
        assert code == 0
        stamp, epoch, where, kind = text.split()[:4]
        assert stamp.endswith("Z") and len(stamp) == len("2026-01-01T00:00:00.000000Z")
        assert (where, kind) == ("tokyo/node2", "routes:")
        code, _, error = lab("break", "tokyo", "routes", "--node", "node2")
        assert (code, error.count("\n")) == (1, 1)
        assert "already broken" in error
        code, _, error = lab("break", "kyoto", "routes")
        assert (code, error.count("\n")) == (2, 1)
        listed = json.loads(lab("list", "--json")[1])
        assert [f"{fault['at']:.6f}" for fault in listed[0]["faults"]] == [epoch]
        assert "FAULT" in lab("list")[1]
        assert json.loads(lab("mend", "--json")[1])["kind"] == "routes"
        assert "FAULT" not in lab("list")[1]


async def test_no_lab_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="no lab answers"):
        await LabClient(tmp_path).list()


async def test_connections_that_clients_end_are_forgotten(tmp_path: Path) -> None:
    lab = await asyncio.to_thread(start, tmp_path)
    try:
        [cluster] = await LabClient(tmp_path).list()
        host, _, port = cluster.router.removeprefix("http://").partition(":")
        open_files = Path(f"/proc/{lab.pid}/fd")
        before = len(list(open_files.iterdir()))
        for _ in range(50):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b"200 OK" in await reader.read()
            writer.close()
        await until(lambda: len(list(open_files.iterdir())) <= before + 2)
    finally:
        end(lab, signal.SIGTERM)
