"""Events of the real tools make the full check run: nft in a network namespace, Open vSwitch, podman.

Checks are a thousand seconds apart here, so whatever is found out after the first round was found out by an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.model import CheckId, Evidence, Kind, Result
from core.probes import kinds
from core.probes.transport import LocalTransport
from core.settings import Cluster, Node, Settings, Ssh
from tests.conftest import require
from tests.live.sshd import SOURCE, Seen, eventually, watching

pytestmark = pytest.mark.live
_NEVER = 1000.0


def run(*command: str, given: str = "") -> None:
    subprocess.run(command, input=given, text=True, check=True, capture_output=True)


@contextlib.asynccontextmanager
async def node(kind: Kind, settings: dict[str, object], **values: object) -> AsyncIterator[Seen]:
    """The real checks of one kind, run on this machine, once their first round is over and events are listened to."""
    made = Node.model_validate({"name": SOURCE.name, "local": True, "checks": [kind.value], **values})
    cluster = Cluster(name=SOURCE.cluster, addresses=("192.0.2.1",), node=(made,))
    detection = {"interval": _NEVER, "timeout": 20.0, **settings}
    whole = Settings.model_validate({"detection": detection, "cluster": [cluster]})
    checks = kinds.node_checks(whole, cluster, made)

    async def connect() -> LocalTransport:
        return LocalTransport()

    async with watching(connect, *checks, ssh=Ssh(), **detection) as seen:
        await seen.until(lambda: any(kind in status.event_driven for status in seen.statuses))
        yield seen


async def noticed(seen: Seen, check: CheckId, *, healthy: bool) -> Evidence:
    """The first evidence of that sort that a sign has asked for."""

    def wanted(result: Result) -> bool:
        return (
            isinstance(result, Evidence)
            and (result.check, result.healthy) == (check, healthy)
            and result.noticed_at is not None
        )

    await seen.until(lambda: any(map(wanted, seen.results)))
    found = next(result for result in seen.results if wanted(result))
    assert isinstance(found, Evidence)
    return found


@pytest.fixture
def namespace() -> Iterator[str]:
    """What to put before a command so that it runs in a network namespace of the test's own."""
    root = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    process = subprocess.Popen([require("unshare"), *root, "--net", "sh", "-c", "echo; exec sleep 1000"], stdout=-1)
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            pytest.skip("this machine gives nobody a network namespace")
        yield f"nsenter --target {process.pid} {'--user --preserve-credentials ' if root else ''}--net "
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


RULES = "add table ip t; add chain ip t c; add rule ip t c accept"


async def test_a_flushed_ruleset_is_noticed_by_its_event_and_a_flood_of_changes_is_no_flood_of_checks(
    namespace: str,
) -> None:
    require("nft")
    nft = [*namespace.split(), "nft"]
    run(*nft, RULES)
    check = CheckId(SOURCE, Kind.ROUTES, "nftables")
    async with node(Kind.ROUTES, {"sudo": namespace}) as seen:
        assert seen.of(check, Evidence)[0].healthy
        run(*nft, "flush ruleset")
        result = await noticed(seen, check, healthy=False)
        assert result.said == "no rules listed by nft list ruleset"
        before = len(seen.of(check, Evidence))
        for _ in range(4):
            await asyncio.to_thread(run, *nft, "-f", "-", given="add table ip flood\ndelete table ip flood\n" * 5000)
        run(*nft, RULES)
        await noticed(seen, check, healthy=True)
        assert len(seen.of(check, Evidence)) - before < 100


@pytest.fixture
def switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Open vSwitch's two daemons, in a directory of their own, without a datapath in the kernel."""
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    monkeypatch.setenv("OVS_LOGDIR", str(tmp_path))
    run(require("ovsdb-tool"), "create", f"{tmp_path}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
    database = [require("ovsdb-server"), f"{tmp_path}/conf.db", f"--remote=punix:{tmp_path}/db.sock", "--pidfile"]
    daemon = [require("ovs-vswitchd"), f"unix:{tmp_path}/db.sock", "--pidfile", "--disable-system"]
    daemons: dict[str, subprocess.Popen[bytes]] = {}
    try:
        with (tmp_path / "log").open("wb") as log:
            for name, command in (("ovsdb-server", database), ("ovs-vswitchd", daemon)):
                daemons[name] = subprocess.Popen(command, stderr=log)
                if name == "ovsdb-server":
                    run("ovs-vsctl", "--retry", "--timeout=20", "--no-wait", "init")
        yield daemons
    finally:
        for process in daemons.values():
            process.kill()
            process.wait()


async def test_a_switch_is_asked_when_its_configuration_changes_and_when_its_database_ends(
    switch: dict[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    answers = CheckId(SOURCE, Kind.VSWITCH, "appctl")
    assert await eventually((tmp_path / "ovs-vswitchd.pid").exists)
    async with node(Kind.VSWITCH, {"sudo": ""}) as seen:
        before = len(seen.of(answers, Evidence))
        run("ovs-vsctl", "--timeout=20", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
        await seen.evidence(answers, before + 1)
        await noticed(seen, answers, healthy=True)
        switch["ovs-vswitchd"].kill()
        switch["ovs-vswitchd"].wait()
        switch["ovsdb-server"].kill()
        result = await noticed(seen, answers, healthy=False)
        assert "does not answer" in result.said


@pytest.fixture
def short_path() -> Iterator[Path]:
    """podman's runroot may not be longer than 50 characters, as pytest's are."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="pm-") as directory:
        yield Path(directory)


async def test_a_container_that_is_removed_is_noticed_by_its_event(short_path: Path) -> None:
    podman = [require("podman"), "--root", f"{short_path}/root", "--runroot", f"{short_path}/run"]
    podman += ["--tmpdir", f"{short_path}/tmp", "--storage-driver=vfs", "--events-backend=file"]
    (short_path / "rootfs").mkdir()
    run(*podman, "create", "--name=web", "--rootfs", f"{short_path}/rootfs", "/never")
    listing = f"{' '.join(podman)} ps -a --no-trunc --format json"
    check = CheckId(SOURCE, Kind.CONTAINERS)
    commands = {"containers_podman": listing}
    async with node(Kind.CONTAINERS, {"sudo": "", "commands": commands}, runtime="podman") as seen:
        assert seen.of(check, Evidence)[0].said == "0 of 1 containers running"
        run(*podman, "rm", "web")
        result = await noticed(seen, check, healthy=True)
        assert result.said == "0 of 0 containers running"
