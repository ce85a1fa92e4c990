"""Each fault of the lab as pointsman meets it: through real SSH with a verified host key and the nodes' own tools."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import asyncssh
import pytest
import redis.asyncio
import redis.exceptions

from core.errors import CommandRefused
from core.lab.client import LabClient
from core.lab.demo import running
from core.lab.protocol import Fault, FaultKind, UnknownName
from tests.live.lab_tools import connect, output, view

pytestmark = pytest.mark.live

CRICTL = "sudo -n crictl ps -a -o json"
NFT = "sudo -n nft list ruleset"
PS = "ps -eo pid=,args="
APPCTL = "sudo -n ovs-appctl -t ovs-vswitchd version"
SYSTEMCTL = "systemctl show containerd -p Id,LoadState,ActiveState,SubState,MainPID,Result"
VIRSH = "sudo -n virsh -c qemu:///system list --all"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("lab")
    with running(directory, clusters=2):
        yield directory


@pytest.fixture
async def client(lab: Path) -> AsyncIterator[LabClient]:
    client = LabClient(lab)
    yield client
    with contextlib.suppress(CommandRefused):
        await client.mend()


async def on(lab: Path, host: str, command: str) -> str:
    cluster = await view(lab)
    named = {h.name: h for h in (*cluster.nodes, cluster.machine)}
    async with connect(lab, named[host]) as connection:
        return await output(connection, command)


def containers(listed: str) -> dict[tuple[str, int], str]:
    return {
        (c["labels"]["io.kubernetes.pod.name"], c["metadata"]["attempt"]): c["state"]
        for c in json.loads(listed)["containers"]
    }


async def test_a_killed_container_is_listed_as_exited_and_comes_back_as_the_next_attempt(
    lab: Path, client: LabClient
) -> None:
    assert set(containers(await on(lab, "node1", CRICTL)).values()) == {"CONTAINER_RUNNING"}
    await client.break_("tokyo", "containers")
    broken = containers(await on(lab, "node1", CRICTL))
    assert broken == {("svc1-node1", 0): "CONTAINER_EXITED", ("svc2-node1", 0): "CONTAINER_RUNNING"}
    await client.mend("tokyo", "containers")
    assert containers(await on(lab, "node1", CRICTL)) == {
        ("svc1-node1", 1): "CONTAINER_RUNNING",
        ("svc1-node1", 0): "CONTAINER_EXITED",
        ("svc2-node1", 0): "CONTAINER_RUNNING",
    }


async def test_flushed_routes_list_nothing_in_both_tools(lab: Path, client: LabClient) -> None:
    before = await on(lab, "node2", f"{NFT}; sudo iptables-save")
    assert "dnat to" in before and "-j DNAT" in before
    await client.break_("tokyo", "routes", "node2")
    assert await on(lab, "node2", f"{NFT}; sudo iptables-save") == ""
    assert "dnat to" in await on(lab, "node1", NFT)
    await client.mend("tokyo", "routes", "node2")
    assert await on(lab, "node2", f"{NFT}; sudo iptables-save") == before


async def test_a_killed_switch_daemon_leaves_the_process_list_and_answers_no_more(lab: Path, client: LabClient) -> None:
    assert "db.sock" in await on(lab, "node1", PS)
    await client.break_("tokyo", "vswitch")
    assert "ovs-vswitchd" not in await on(lab, "node1", PS)
    assert "Connection refused" in await on(lab, "node1", APPCTL)
    assert "db.sock" in await on(lab, "node2", PS)
    await client.mend("tokyo", "vswitch")
    assert "db.sock" in await on(lab, "node1", PS)
    assert (await on(lab, "node1", APPCTL)).startswith("ovs-vswitchd (Open vSwitch)")


async def test_a_killed_runtime_is_a_failed_unit_and_its_client_finds_nobody(lab: Path, client: LabClient) -> None:
    assert "ActiveState=active\nSubState=running\n" in await on(lab, "node1", SYSTEMCTL)
    await client.break_("tokyo", "runtime")
    assert "ActiveState=failed\nSubState=failed\nMainPID=0\nResult=signal\n" in await on(lab, "node1", SYSTEMCTL)
    assert "connection refused" in await on(lab, "node1", CRICTL)
    await client.mend("tokyo", "runtime")
    assert "ActiveState=active\nSubState=running\n" in await on(lab, "node1", SYSTEMCTL)


async def test_a_killed_virtual_machine_is_shut_off_and_its_host_tells_it_as_an_event(
    lab: Path, client: LabClient
) -> None:
    cluster = await view(lab)
    async with connect(lab, cluster.machine) as connection:
        assert (await output(connection, VIRSH)).split()[4:] == [
            *("1", "tokyo-node1", "running"),
            *("2", "tokyo-node2", "running"),
        ]
        async with connection.create_process(
            "sudo -n virsh -c qemu:///system event --loop --event lifecycle"
        ) as events:
            await listening(Path(cluster.machine.directory), "virsh")
            fault = await client.break_("tokyo", "machine", "node2")
            assert "answering SSH" in fault.said
            async with asyncio.timeout(10):
                line = await events.stdout.readline()
            assert line == "event 'lifecycle' for domain 'tokyo-node2': Stopped Failed\n"
        assert (await output(connection, VIRSH)).split()[-4:] == ["-", "tokyo-node2", "shut", "off"]
        await client.mend("tokyo", "machine", "node2")
        assert (await output(connection, VIRSH)).split()[-3:] == ["3", "tokyo-node2", "running"]  # a new number


async def listening(node: Path, tool: str) -> None:
    """Until an event command has its FIFO open."""
    async with asyncio.timeout(10):
        while not any(
            fifo.samefile(open_file)
            for fifo in (node / "monitors").glob(f"{tool}.*")
            for open_file in Path(f"/proc/{fifo.name.partition('.')[2]}/fd").glob("*")
            if open_file.exists()
        ):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("option", "line"), [("", "delete table ip kube-proxy"), ("-j ", '{"delete": {"table": ')])
async def test_nft_monitor_prints_a_line_for_a_change_and_none_before(
    lab: Path, client: LabClient, option: str, line: str
) -> None:
    node = (await view(lab)).nodes[0]
    async with connect(lab, node) as connection, connection.create_process(f"sudo -n nft {option}monitor") as events:
        await listening(Path(node.directory), "nft")
        await client.break_("tokyo", "routes")
        async with asyncio.timeout(10):
            assert (await events.stdout.readline()).startswith(line)


async def test_a_killed_router_refuses_and_a_mended_one_answers(lab: Path, client: LabClient) -> None:
    url = (await view(lab)).router
    async with aiohttp.ClientSession() as http:
        for page, text in (("/", "tokyo\n"), ("/healthz", "ok\n"), ("/healthz", "ok\n")):  # over one kept connection
            async with http.get(url + page) as response:
                assert (response.status, await response.text()) == (200, text)
        await client.break_("tokyo", "router")
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"{url}/healthz")
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(f"{url}/healthz")
        await client.mend("tokyo", "router")
        async with http.get(f"{url}/healthz") as again:
            assert again.status == 200


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_database_speaks_redis_and_refuses_when_killed(lab: Path, client: LabClient, protocol: int) -> None:
    url = (await view(lab)).database
    async with redis.asyncio.from_url(url, protocol=protocol, db=0, retry=None) as database:
        assert await database.ping()
        assert (await database.info("clients"))["connected_clients"] == 1
        assert await database.config_get("maxclients") == {"maxclients": "100"}
        assert await database.set("key", "value")
        assert await database.get("nothing") is None
        await client.break_("tokyo", "database")
        with pytest.raises(redis.exceptions.ConnectionError):
            await database.ping()
        await client.mend("tokyo", "database")
        assert await database.get("key") == b"value"


async def test_a_database_that_is_full_says_so(lab: Path) -> None:
    url = (await view(lab)).database
    async with redis.asyncio.from_url(url) as first, redis.asyncio.from_url(url) as second:
        await first.config_set("maxclients", 1)
        with pytest.raises(redis.exceptions.ConnectionError, match="max number of clients"):
            await second.ping()
        await first.config_set("maxclients", 100)


async def test_a_cut_network_is_silent_and_what_was_under_way_arrives_when_it_is_joined(
    lab: Path, client: LabClient
) -> None:
    cluster = await view(lab)
    async with (
        connect(lab, cluster.nodes[0]) as connection,
        connection.create_process('while read -r line; do echo "got $line"; done') as shell,
    ):
        shell.stdin.write("one\n")
        assert await shell.stdout.readline() == "got one\n"
        await client.break_("tokyo", "network")
        shell.stdin.write("two\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await shell.stdout.readline()
        address, _, port = cluster.router.removeprefix("http://").partition(":")
        with pytest.raises(TimeoutError):  # no answer to a SYN: neither accepted nor refused
            await asyncio.to_thread(socket.create_connection, (address, int(port)), 0.7)
        await client.mend("tokyo", "network")
        async with asyncio.timeout(10):
            assert await shell.stdout.readline() == "got two\n"
    async with aiohttp.ClientSession() as http, http.get(f"{cluster.router}/healthz") as response:
        assert response.status == 200


async def test_a_node_can_be_cut_off_alone(lab: Path, client: LabClient) -> None:
    cluster = await view(lab)
    await client.break_("tokyo", "network", "node2")
    with pytest.raises((TimeoutError, asyncssh.Error)):
        async with connect(lab, cluster.nodes[1], timeout=0.7):
            pass
    assert await on(lab, "node1", "echo here") == "here\n"


async def test_a_slow_network_delays_each_way_and_keeps_the_order(lab: Path, client: LabClient) -> None:
    async with connect(lab, (await view(lab)).nodes[0]) as connection, connection.create_process("cat") as shell:
        await client.break_("tokyo", "slow")
        begun = time.monotonic()
        sent = [f"{number}\n" for number in range(200)]
        for line in sent:
            shell.stdin.write(line)
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            received = [await shell.stdout.readline() for _ in sent]
        assert received == sent
        assert time.monotonic() - begun >= 0.6
        await client.mend("tokyo", "slow")


async def test_a_process_killed_by_hand_is_a_fault_that_can_be_mended(lab: Path, client: LabClient) -> None:
    node = (await view(lab)).nodes[0]
    victim = next(process for process in node.processes if process.name == "ovs-vswitchd")
    os.kill(victim.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while not (faults := (await view(lab)).faults):
            await asyncio.sleep(0.02)
    assert [(fault.kind, fault.node) for fault in faults] == [(FaultKind.VSWITCH, "node1")]
    assert [fault.kind for fault in await client.mend("tokyo")] == [FaultKind.VSWITCH]
    assert "db.sock" in await on(lab, "node1", PS)


async def test_a_ruleset_flushed_by_hand_is_a_fault_that_can_be_mended(lab: Path, client: LabClient) -> None:
    assert await on(lab, "node1", "sudo nft flush ruleset") == ""
    assert [(fault.kind, fault.node) for fault in (await view(lab)).faults] == [(FaultKind.ROUTES, "node1")]
    await client.mend("tokyo")
    assert "dnat to" in await on(lab, "node1", NFT)


async def test_every_fault_is_listed_with_its_time_and_gone_when_mended(lab: Path, client: LabClient) -> None:
    before = time.time()
    made = [await client.break_("osaka", kind) for kind in FaultKind]
    assert (await view(lab, "osaka")).faults == tuple(made)
    mended = await client.mend("osaka")
    assert [(f.kind, f.node) for f in mended] == [(f.kind, f.node) for f in made]
    times = [before, *(fault.at for fault in made), *(fault.at for fault in mended), time.time()]
    assert times == sorted(times)
    assert (await view(lab, "osaka")).faults == ()
    assert (await view(lab)).faults == ()


async def test_what_is_broken_cannot_be_broken_and_what_is_well_cannot_be_mended(lab: Path, client: LabClient) -> None:
    await client.break_("tokyo", "routes", "node1")
    with pytest.raises(CommandRefused, match="routes of node1 in tokyo is already broken"):
        await client.break_("tokyo", "routes")
    with pytest.raises(CommandRefused, match="no fault vswitch"):
        await client.mend("tokyo", "vswitch")
    assert isinstance((await client.mend("tokyo"))[0], Fault)
    with pytest.raises(CommandRefused, match="no fault"):
        await client.mend("tokyo")


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (("kyoto", "routes", None), "no cluster 'kyoto'; there are tokyo, osaka"),
        (("tokyo", "flood", None), "no fault 'flood'; there are containers, routes, vswitch,"),
        (("tokyo", "routes", "node7"), "tokyo has no node 'node7'; it has node1, node2"),
        (("tokyo", "database", "node1"), "database befalls the cluster"),
    ],
)
async def test_an_unknown_name_is_answered_with_those_there_are(
    client: LabClient, order: tuple[str, str, str | None], said: str
) -> None:
    with pytest.raises(UnknownName, match=said):
        await client.break_(*order)


async def test_a_stranger_and_a_wrong_host_key_are_refused(lab: Path, tmp_path: Path) -> None:
    node = (await view(lab)).nodes[0]
    address, _, port = node.ssh.partition("@")[2].partition(":")
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            *(address, int(port)),
            username="lab",
            client_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            known_hosts=str(lab / "known_hosts"),
            config=None,
            agent_path=None,
        )
    lines = (lab / "known_hosts").read_text().splitlines()
    keys = [line.partition(" ")[2] for line in lines]
    (tmp_path / "known_hosts").write_text(f"[{address}]:{port} {keys[-1]}\n")
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        await asyncssh.connect(
            address,
            int(port),
            known_hosts=str(tmp_path / "known_hosts"),
            client_keys=None,
            config=None,
            agent_path=None,
        )


async def test_what_a_command_started_dies_with_its_channel(lab: Path) -> None:
    async with (
        connect(lab, (await view(lab)).nodes[0]) as connection,
        connection.create_process("bash -c 'echo $$; sleep 1000' & wait") as shell,
    ):
        pid = int(await shell.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
    await gone(pid)


async def gone(pid: int) -> None:
    """A zombie is gone."""
    async with asyncio.timeout(10):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                await asyncio.sleep(0.02)


async def test_a_long_script_over_a_held_shell_leaves_nothing_behind_and_loses_nothing(lab: Path) -> None:
    async with connect(lab, (await view(lab)).nodes[0]) as connection, connection.create_process("bash -s") as shell:
        shell.stdin.write("for ((i = 0; i < 20000; i++)); do echo tick $i; done; exit 7\n")
        lines = (await shell.stdout.read()).splitlines()
        await shell.wait_closed()
        assert lines == [f"tick {number}" for number in range(20000)]
        assert shell.exit_status == 7


async def test_commands_that_end_at_once_end_with_their_codes(lab: Path) -> None:
    async with connect(lab, (await view(lab)).nodes[0]) as connection:
        for _ in range(10):
            done = await asyncio.gather(*(connection.run(f"echo {n}; exit {n}", timeout=20) for n in range(8)))
            assert [(str(one.stdout), one.exit_status) for one in done] == [(f"{n}\n", n) for n in range(8)]
        killed = await connection.run("kill -9 $$", timeout=20)
        assert killed.exit_signal is not None
        assert killed.exit_signal[0] == "KILL"
