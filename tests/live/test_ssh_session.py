"""The session with a node, over a real OpenSSH server: what it survives, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model import Evidence, Kind, Silence
from core.probes import link
from core.probes.ssh import Ssh
from core.probes.transport import Collector, Transport
from tests.live.sshd import WATCH, Command, Sshd, eventually, executable, over_ssh, watching

pytestmark = pytest.mark.live


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd.make(tmp_path)
    yield server
    server.stop()


async def test_ticks_arrive_and_the_first_round_comes_at_once(server: Sshd) -> None:
    server.start()
    check = Command("echo well")
    async with over_ssh(server, check) as seen:
        assert (await seen.evidence(check.id)).said == "well"
        assert (await seen.evidence()).said == "the watch runs in bash"
        await seen.beating()
        assert seen.statuses[-1].mode == "bash"


async def test_how_it_is_watched_is_told_with_what_it_costs(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_ROUND", 0.2)
    server.start()
    check = Command("echo well", interval=0.5, events="sleep 1000")
    async with over_ssh(server, check) as seen:
        await seen.until(lambda: bool(seen.statuses) and seen.statuses[-1].cost is not None)
        await seen.until(lambda: bool(seen.statuses[-1].event_driven))
        status = seen.statuses[-1]
        assert (status.tick, status.periods, status.event_driven) == (0.05, ((Kind.COMMAND, 0.5),), (Kind.COMMAND,))
        assert status.late is not None


async def test_a_killed_process_is_noticed_and_the_full_check_follows(server: Sshd) -> None:
    server.start()
    with subprocess.Popen(["sleep", "1000"]) as process:
        check = Command(f"kill -0 {process.pid} && echo pid {process.pid}", interval=1000)
        async with over_ssh(server, check) as seen:
            assert (await seen.evidence(check.id)).healthy
            await seen.beating()
            process.kill()
            process.wait()
            after = await seen.evidence(check.id, 2)
            assert not after.healthy
            assert after.noticed_at is not None
            assert after.noticed_at <= after.at


async def test_a_lost_session_is_silence_and_is_begun_again(server: Sshd) -> None:
    server.start()
    check = Command("echo well")
    async with over_ssh(server, check) as seen:
        await seen.evidence(check.id)
        for pid in server.sessions():
            os.kill(pid, signal.SIGKILL)
        assert "SSH connection lost" in (await seen.silence()).reason
        await seen.evidence(check.id, 2)
        assert len(seen.of(WATCH, Evidence)) == 2


async def test_a_server_that_is_down_is_named_until_it_is_back(server: Sshd) -> None:
    check = Command("echo well")
    async with over_ssh(server, check) as seen:
        reason = (await seen.silence()).reason
        assert reason == f"connection refused by 127.0.0.1:{server.port}: is sshd running there?"
        server.start()
        await seen.evidence(check.id)


async def test_an_unknown_host_key_is_rejected(server: Sshd) -> None:
    server.trust("")
    server.start()
    async with over_ssh(server, Command("echo well")) as seen:
        assert "is not in known_hosts" in (await seen.silence()).reason
        assert seen.beats == 0


async def test_a_changed_host_key_is_rejected_loudly(server: Sshd) -> None:
    server.trust((server.directory / "id.pub").read_text())
    server.start()
    async with over_ssh(server, Command("echo well")) as seen:
        assert "HAS CHANGED" in (await seen.silence()).reason
        assert seen.beats == 0


async def test_any_host_key_will_do_only_by_setting(server: Sshd) -> None:
    server.trust("")
    server.start()
    async with over_ssh(server, Command("echo well"), ssh={"insecure_accept_any_host_key": True}) as seen:
        await seen.evidence()


async def test_refused_authentication_names_the_user(server: Sshd) -> None:
    (server.directory / "authorized_keys").write_text("")
    server.start()
    async with over_ssh(server, Command("echo well")) as seen:
        assert f"authentication refused for user {server.target.user}" in (await seen.silence()).reason


async def test_one_session_is_enough(server: Sshd) -> None:
    server.start("MaxSessions 1")
    checks = [Command(f"echo {name}", name=name, interval=0.2) for name in ("one", "two", "three")]
    async with over_ssh(server, *checks) as seen:
        for check in checks:
            await seen.evidence(check.id, 3)
        assert not seen.of(WATCH, Silence)


async def test_one_session_is_enough_for_polling(server: Sshd) -> None:
    server.force("echo polled")
    server.start("MaxSessions 1")
    checks = [Command("look", name=name) for name in ("one", "two", "three")]
    async with over_ssh(server, *checks, poll=0.1) as seen:
        for check in checks:
            assert (await seen.evidence(check.id, 2)).said == "polled"


async def test_a_forced_command_is_polled(server: Sshd) -> None:
    server.force('[ "$SSH_ORIGINAL_COMMAND" = "look well" ] && exec echo well; echo "not allowed" >&2; exit 1')
    server.start()
    good, bad = Command("look well", name="good"), Command("rm -rf /tmp/x", name="bad")
    async with over_ssh(server, good, bad, poll=0.1) as seen:
        assert (await seen.evidence(good.id, 3)).healthy
        assert not (await seen.evidence(bad.id, 3)).healthy
        status = seen.statuses[-1]
        assert status.mode == "poll"
        assert "not allowed" in status.detail
        assert seen.beats > 0


async def test_a_hung_command_is_silent_and_stops_nothing_else(server: Sshd) -> None:
    server.start()
    hung = Command("sleep 987", name="hung", timeout=0.5, interval=0.5)
    check = Command("echo well", interval=0.5)
    async with over_ssh(server, hung, check) as seen:
        assert (await seen.silence(hung.id, 2)).reason == "no answer in 0.5 s"
        await seen.evidence(check.id, 3)
        await seen.beating()
        assert len([line for line in server.processes() if line.endswith("sleep 987 ")]) <= 2


async def test_a_hung_command_is_silent_in_polling_too_and_never_piles_up(server: Sshd) -> None:
    server.force("case $SSH_ORIGINAL_COMMAND in hang) exec sleep 988 ;; look) echo well ;; *) exit 1 ;; esac")
    server.start()
    hung, check = Command("hang", name="hung", timeout=0.3), Command("look")
    async with over_ssh(server, hung, check, poll=0.1) as seen:
        await seen.silence(hung.id, 4)
        await seen.evidence(check.id, 4)
        assert len([line for line in server.processes() if "sleep 988" in line]) == 1


async def test_banner_and_start_up_noise_are_passed_over(server: Sshd) -> None:
    (server.directory / "banner").write_text("*** authorised use only ***\n" * 50)
    (server.home / ".bashrc").write_text("echo 'welcome, it is '; date; printf 'no end of line'; echo oops >&2\necho\n")
    server.start(f"Banner {server.directory}/banner")
    check = Command("echo well")
    async with over_ssh(server, check) as seen:
        assert (await seen.evidence(check.id)).said == "well"
        assert seen.statuses[-1].mode == "bash"


@pytest.mark.parametrize("garbage", ["cat /dev/urandom", "yes 'a line of no meaning'", "cat /dev/zero"])
async def test_a_node_that_floods_is_cut_off(server: Sshd, garbage: str) -> None:
    server.allow(f'command="{garbage}"')
    server.start()
    async with over_ssh(server, Command("echo well")) as seen:
        assert "sends garbage" in (await seen.silence()).reason


async def test_garbage_between_the_lines_harms_nothing(server: Sshd) -> None:
    server.start()
    noisy = Command("head -c 3000 /dev/urandom > /proc/$PPID/fd/1; echo well", name="noisy")
    check = Command("echo well", interval=0.2)
    async with over_ssh(server, noisy, check) as seen:
        await seen.evidence(check.id, 5)
        await seen.beating()
        assert not seen.of(WATCH, Silence)


async def test_sudo_that_asks_for_a_password_is_silence_that_says_what_to_do(server: Sshd) -> None:
    executable(server.directory / "bin" / "sudo", "echo 'sudo: a password is required' >&2; exit 1")
    server.start(path=f"{server.directory}/bin:/usr/bin:/bin")
    check = Command("sudo -n crictl ps")
    async with over_ssh(server, check) as seen:
        reason = (await seen.silence(check.id)).reason
        assert reason == "sudo asks for a password: allow `sudo -n crictl ps` with NOPASSWD in sudoers"


async def test_without_bash_a_posix_shell_watches(server: Sshd) -> None:
    tools = server.directory / "bin"
    tools.mkdir()
    for name in ("sh", "sleep", "id", "setsid", "head", "tail", "base64", "awk", "kill"):
        for place in ("/usr/bin", "/bin"):
            if Path(place, name).exists() and not (tools / name).exists():
                (tools / name).symlink_to(Path(place, name))
    server.start(path=str(tools))
    with subprocess.Popen(["sleep", "1000"]) as process:
        check = Command(f"kill -0 {process.pid} && echo pid {process.pid}", interval=1000)
        hung = Command("sleep 986", name="hung", timeout=0.5)
        async with over_ssh(server, check, hung, tick_sh=0.2) as seen:
            assert (await seen.evidence(check.id)).healthy
            await seen.silence(hung.id)
            assert seen.statuses[-1].mode == "sh"
            assert seen.statuses[-1].detail == "no bash: using sh"
            await seen.beating()
            process.kill()
            process.wait()
            after = await seen.evidence(check.id, 2)
            assert not after.healthy
            assert after.noticed_at is not None
        assert await eventually(lambda: not server.processes()), server.processes()


_VICTIM = """
import asyncio, sys
from pathlib import Path
from tests.live.sshd import Command, Sshd, over_ssh

async def main():
    server = Sshd(Path(sys.argv[1]), int(sys.argv[2]))
    hung = Command("sleep 991 & sleep 992 | cat", name="hung", timeout=60)
    events = Command("echo well", name="events", events="while sleep 0.2; do echo event; done")
    ignores = Command("trap '' TERM HUP; while :; do sleep 1; done", name="ignores", timeout=60)
    async with over_ssh(server, hung, events, ignores) as seen:
        await seen.evidence(events.id, 3)
        print("ready", flush=True)
        await asyncio.sleep(100)

asyncio.run(main())
"""


async def test_kill_9_of_our_side_leaves_no_process_and_no_file_on_the_node(server: Sshd) -> None:
    server.start()
    ours = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _VICTIM, str(server.directory), str(server.port), stdout=subprocess.PIPE
    )
    assert ours.stdout is not None
    assert await ours.stdout.readline() == b"ready\n"
    assert any("sleep 991" in line for line in server.processes())
    ours.kill()
    await ours.wait()
    assert await eventually(lambda: not server.processes()), server.processes()
    assert list(server.home.iterdir()) == []


async def test_kill_9_of_the_watch_on_the_node_leaves_no_process_there(server: Sshd) -> None:
    server.start()
    hung = Command("sleep 993", name="hung", timeout=60)
    events = Command("echo well", name="events", events="sleep 994")
    async with over_ssh(server, hung, events, ssh={"backoff": 30.0, "backoff_limit": 30.0}) as seen:
        await seen.evidence(events.id)
        assert await eventually(lambda: any("sleep 994" in line for line in server.processes()))
        watch = min(int(line.split()[0]) for line in server.processes() if "--noprofile" in line)
        os.kill(watch, signal.SIGKILL)
        await seen.silence()
        assert await eventually(lambda: not server.processes()), server.processes()


async def test_kill_9_of_the_servers_session_leaves_no_process_on_the_node(server: Sshd) -> None:
    server.start()
    check = Command("echo well", events="sleep 998")
    async with over_ssh(server, check, ssh={"backoff": 30.0, "backoff_limit": 30.0}) as seen:
        await seen.evidence(check.id)
        assert await eventually(lambda: any("sleep 998" in line for line in server.processes()))
        for pid in server.sessions():
            os.kill(pid, signal.SIGKILL)
        await seen.silence()
        assert await eventually(lambda: not server.processes()), server.processes()


async def test_a_node_behind_a_jump_host_is_watched_and_named_when_it_is_down(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "behind").mkdir()
    behind = Sshd.make(tmp_path / "behind")
    try:
        both = [(place / "known_hosts").read_text() for place in (server.directory, behind.directory)]
        (server.directory / "known_hosts").write_text("".join(both))
        (behind.directory / "authorized_keys").write_text((server.directory / "authorized_keys").read_text())
        server.start()
        settings = server.settings(jump=f"{server.target.user}@127.0.0.1:{server.port}")
        hub = Ssh(settings)
        check = Command("echo well")
        async with watching(lambda: hub.connect(behind.target), check, ssh=settings) as seen:
            assert f"the jump host cannot reach 127.0.0.1:{behind.port}" in (await seen.silence()).reason
            behind.start()
            await seen.evidence(check.id)
        await hub.close()
    finally:
        behind.stop()


async def test_a_stopped_server_stops_the_heartbeat_and_hangs_nothing(server: Sshd) -> None:
    server.start()
    check = Command("echo well")
    async with over_ssh(server, check) as seen:
        await seen.evidence(check.id)
        stopped = server.sessions()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        assert (await seen.silence()).reason == "no tick for 5 s"
        await seen.evidence(check.id, 2)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


async def test_a_storm_of_sessions_all_connect(server: Sshd) -> None:
    server.start()
    hub = Ssh(server.settings())

    async def connect() -> Transport:
        return await hub.connect(server.target)

    async def one() -> None:
        async with watching(connect, ssh=server.settings(), tick=0.5) as seen:
            await seen.evidence()
            await arrived.wait_for(60)

    arrived = _Together()
    await asyncio.gather(*(one() for _ in range(60)))
    assert "MaxStartups" not in (server.directory / "log").read_text(), "no more at once than sshd takes"


@pytest.mark.parametrize("end", ["opened", "closed"])
async def test_a_session_keeps_its_place_among_those_that_connect_until_it_has_begun(server: Sshd, end: str) -> None:
    """A server that is short of time still counts one that it has let in among those that are not yet (MaxStartups)."""
    server.start()
    hub = Ssh(server.settings(connects=1))
    first = await hub.connect(server.target)
    second = asyncio.create_task(hub.connect(server.target))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(second), 0.5)
    if end == "opened":
        await first.open("true", Collector(100))
    else:
        await first.close()
    await (await asyncio.wait_for(second, 30)).close()
    await first.close()


class _Together:
    """Lets everybody go on once so many have come."""

    def __init__(self) -> None:
        self._come, self._all = 0, asyncio.Event()

    async def wait_for(self, count: int) -> None:
        self._come += 1
        if self._come >= count:
            self._all.set()
        await self._all.wait()
