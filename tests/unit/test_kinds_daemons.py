"""Runtime daemon, virtual switch and virtual machines (spec S6, S7, S8)."""

from __future__ import annotations

import pytest

from core.model import Verdict
from core.probes.check import Output, Sentinel
from tests.unit.kinds_common import checks, fixture, machine, ok, refused, settings, verdict

RUNTIME = checks()["runtime"]
PROCESS, ANSWER = checks()["vswitch:process"], checks()["vswitch:appctl"]
RUNNING = fixture("systemctl-252-show.txt")
PS = fixture("ps-4.0.2.txt")


# --- runtime --------------------------------------------------------------------------------------------------------


def test_an_active_and_running_daemon_is_well_and_its_process_is_watched() -> None:
    assert verdict(RUNTIME, ok(RUNNING)) == (Verdict.OK, "containerd.service is active (running)")
    assert RUNTIME.sentinels(ok(RUNNING), None) == (Sentinel(812, "containerd.service"),)


@pytest.mark.parametrize(
    ("active", "sub", "result", "said"),
    [
        ("failed", "failed", "exit-code", "containerd.service is failed (Result: exit-code)"),
        ("inactive", "dead", "success", "containerd.service is inactive (dead)"),
        ("activating", "auto-restart", "signal", "containerd.service is activating (auto-restart) (Result: signal)"),
        ("deactivating", "stop-sigterm", "success", "containerd.service is deactivating (stop-sigterm)"),
        ("active", "exited", "success", "containerd.service is active (exited)"),
    ],
)
def test_a_daemon_in_any_other_state_is_a_fail(active: str, sub: str, result: str, said: str) -> None:
    text = RUNNING.replace("=active", f"={active}").replace("=running", f"={sub}").replace("=success", f"={result}")
    assert verdict(RUNTIME, ok(text)) == (Verdict.FAIL, said)


def test_a_unit_that_is_not_there_is_a_wrong_setting_and_not_a_fault() -> None:
    text = "Id=containerd.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\n"
    found, said = verdict(RUNTIME, ok(text))
    assert found is Verdict.UNKNOWN
    assert "runtime" in said
    assert RUNTIME.sentinels(ok(text), None) == ()


@pytest.mark.parametrize(
    "output",
    [
        refused(1, "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect"),
        ok(""),
        ok("ActiveState=failed\n"),
        ok("garbage"),
        Output(None, RUNNING),
        refused(127, "systemctl: not found"),
    ],
)
def test_a_systemctl_that_tells_nothing_is_unknown(output: Output) -> None:
    assert verdict(RUNTIME, output)[0] is Verdict.UNKNOWN


@pytest.mark.parametrize("runtime", ["crio", "containerd", "docker"])
def test_the_unit_is_the_runtimes(runtime: str) -> None:
    assert f" {runtime}.service " in checks(runtime=runtime)["runtime"].command


def test_podman_has_no_daemon_to_check() -> None:
    assert "runtime" not in checks(runtime="podman")


# --- virtual switch -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ps-4.0.2.txt", "ps-aux-4.0.2.txt"])
def test_the_switch_is_found_by_its_own_program_and_socket(name: str) -> None:
    text = fixture(name)
    assert verdict(PROCESS, ok(text)) == (Verdict.OK, "ovs-vswitchd runs as process 1051")
    assert PROCESS.sentinels(ok(text), None) == (Sentinel(1051, "ovs-vswitchd"),)


@pytest.mark.parametrize("name", ["ps-4.0.2.txt", "ps-aux-4.0.2.txt"])
def test_a_grep_a_script_and_the_monitor_are_not_the_switch(name: str) -> None:
    text = "".join(line for line in fixture(name).splitlines(keepends=True) if " ovs-vswitchd unix" not in line)
    text += "   3001 sh -c tail -f /var/log/ovs-vswitchd unix:/db.sock\n" if "aux" not in name else ""
    assert verdict(PROCESS, ok(text)) == (Verdict.FAIL, "no process ovs-vswitchd with db.sock")
    assert PROCESS.sentinels(ok(text), None) == ()


def test_a_zombie_is_not_the_switch() -> None:
    text = "1 /sbin/init\n1051 [ovs-vswitchd] <defunct>\n"
    assert verdict(PROCESS, ok(text))[0] is Verdict.FAIL


@pytest.mark.parametrize(
    "output",
    [
        ok(""),
        ok("3000 bash\n3001 ps -eo pid=,args=\n"),  # others are hidden: /proc with hidepid=2
        Output(0, "1 /sbin/init\n", truncated=True),
        refused(1, "error: unsupported option"),
    ],
)
def test_a_process_list_that_is_not_whole_is_unknown(output: Output) -> None:
    assert verdict(PROCESS, output)[0] is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (ok("ovs-vswitchd (Open vSwitch) 3.1.0\n"), Verdict.OK),
        (
            refused(
                1,
                "2026-11-23T03:34:22Z|00001|daemon_unix|WARN|ovs-vswitchd.pid: open: No such file or directory\n"
                'ovs-appctl: cannot read pidfile "/var/run/openvswitch/ovs-vswitchd.pid" (No such file or directory)\n',
            ),
            Verdict.FAIL,
        ),
        (refused(1, 'ovs-appctl: cannot read pidfile "/run/ovs-vswitchd.pid" (No such process)'), Verdict.FAIL),
        (refused(1, 'ovs-appctl: cannot connect to "/run/ovs/ovs-vswitchd.1.ctl" (Connection refused)'), Verdict.FAIL),
        (refused(1, 'ovs-appctl: cannot read pidfile "/run/ovs-vswitchd.pid" (Permission denied)'), Verdict.UNKNOWN),
        (refused(2, "ovs-appctl: something else"), Verdict.UNKNOWN),
        (Output(None, ""), Verdict.UNKNOWN),
        (ok(""), Verdict.UNKNOWN),
    ],
)
def test_the_switch_must_answer_its_control_socket(output: Output, expected: Verdict) -> None:
    assert verdict(ANSWER, output)[0] is expected


def test_without_a_command_for_the_answer_only_the_process_counts() -> None:
    assert "vswitch:appctl" not in checks(settings(commands={"vswitch_appctl": ""}))


# --- virtual machines -----------------------------------------------------------------------------------------------

LIST = fixture("virsh-9.0.0-list.txt")


def test_each_domain_has_a_judgement_of_its_own() -> None:
    check = machine("osaka-node1", "osaka node 2", "osaka-node3", "vm in shutdown", "osaka-node9")
    judged = check.judge(ok(LIST))
    assert [(str(j.check), j.verdict, j.said) for j in judged] == [
        ("osaka/m1/machine:osaka-node1", Verdict.OK, "virtual machine osaka-node1 is running"),
        ("osaka/m1/machine:osaka node 2", Verdict.FAIL, "virtual machine osaka node 2 is paused"),
        ("osaka/m1/machine:osaka-node3", Verdict.FAIL, "virtual machine osaka-node3 is shut off"),
        ("osaka/m1/machine:vm in shutdown", Verdict.FAIL, "virtual machine vm in shutdown is crashed"),
        ("osaka/m1/machine:osaka-node9", Verdict.FAIL, "virtual machine osaka-node9 is not defined here"),
    ]


def test_a_domain_whose_name_begins_anothers_is_missing_all_the_same() -> None:
    assert machine("osaka").judge(ok(LIST))[0].verdict is Verdict.FAIL


def test_the_wider_table_of_old_versions_is_read() -> None:
    judged = machine("osaka-node1", "osaka-node3").judge(ok(fixture("virsh-1.3-list.txt")))
    assert [judgement.verdict for judgement in judged] == [Verdict.OK, Verdict.FAIL]


@pytest.mark.parametrize(
    "output",
    [
        refused(1, "error: failed to connect to the hypervisor\nerror: Failed to connect socket: No such file\n"),
        ok(""),
        ok(LIST.replace("State", "Status").replace("running", "laufend")),
        ok(LIST.replace("running", "dancing")),
        Output(0, LIST.splitlines()[0] + "\n" + LIST.splitlines()[1] + "\n", truncated=True),
        Output(None, ""),
    ],
)
def test_virsh_that_cannot_list_is_silence_about_the_machines(output: Output) -> None:
    assert machine("osaka-node1").judge(output)[0].verdict is Verdict.UNKNOWN


def test_the_process_of_a_machine_is_asked_for_once_for_each_start() -> None:
    check = machine("osaka-node1", "osaka-node3")
    assert check.pids_command(ok(LIST)) == "ps -eo pid=,args="
    assert check.sentinels(ok(LIST), ok(PS)) == (Sentinel(2201, "virtual machine osaka-node1"),)
    assert check.pids_command(ok(LIST)) == ""
    assert check.sentinels(ok(LIST), None) == (Sentinel(2201, "virtual machine osaka-node1"),)
    again = ok(LIST.replace(" 1    osaka", " 7    osaka"))
    assert check.pids_command(again) == "ps -eo pid=,args="


def test_a_failed_listing_keeps_the_processes() -> None:
    check = machine("osaka-node1")
    before = check.sentinels(ok(LIST), ok(PS))
    assert check.sentinels(refused(1, "error: failed to connect to the hypervisor"), None) == before


def test_the_uri_is_quoted_and_events_go_the_same_way() -> None:
    check = machine("a", made=settings(commands={"machine": "{sudo}virsh -c {uri} list --all"}))
    assert check.command == "sudo -n virsh -c qemu:///system list --all"
    assert check.events == "sudo -n virsh -c qemu:///system event --loop --event lifecycle"
