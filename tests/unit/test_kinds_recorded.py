"""What the tools of real nodes printed on the bed, and what it means. How each state was made: ``tests/bed/record.py`` for this
Debian's tools, ``tests/bed/record_others.py`` for those of older and newer releases.

``containerd-cri`` is containerd's own answer as the bed's stand-in for crictl prints it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.model import Verdict
from core.probes.check import Check, Output
from tests.unit.kinds_common import FIXTURES, checks, fixture, machine, one, settings

FAIL, OK, UNKNOWN = Verdict.FAIL, Verdict.OK, Verdict.UNKNOWN
PODS = settings(pods=("shop/web-*",))
NODE = checks(PODS, routes=("nftables", "iptables")) | {
    runtime: checks(PODS, runtime=runtime)["containers"] for runtime in ("docker", "podman")
}
CONTAINERD, DOCKER, PODMAN = "1.4.13 1.7.24 2.1.9", "20.10.5 26.1.5 28.5.2", "3.0.1 5.4.2 5.8.6"
CRICTL = "1.24.0 1.36.0"
NFT, IPTABLES, SYSTEMD = "0.9.8 1.1.3 1.1.7", "1.8.7 1.8.11 1.8.13", "247 257 262"
OVS, PS = "2.15.0 3.5.0 4.0.0", "3.3.17 4.0.4 4.0.7"
Meaning = tuple[str, int, Verdict, str]
"""Of the fixture: the check that reads it, the tool's exit code, the verdict, and what is said."""
RECORDED: dict[str, Meaning] = {
    "containerd-cri-1.6.20-running": ("containers", 0, OK, "2 of 2 containers running"),
    "containerd-cri-1.6.20-stopped": ("containers", 0, OK, "1 of 2 containers running"),
    "containerd-cri-1.6.20-restarted": ("containers", 0, OK, "2 of 2 containers running"),
    "containerd-cri-1.6.20-refused": ("containers", 1, FAIL, "the container runtime does not answer"),
    "nft-1.0.6-rules": ("routes:nftables", 0, OK, "10 rules"),
    "nft-1.0.6-flushed": ("routes:nftables", 0, FAIL, "no rules listed"),
    "iptables-nft-save-1.8.9-rules": ("routes:iptables", 0, OK, "9 rules"),
    "iptables-nft-save-1.8.9-flushed": ("routes:iptables", 0, FAIL, "legacy tables are present"),
    "iptables-legacy-save-1.8.9-rules": ("routes:iptables", 0, OK, "1 rules"),
    "iptables-legacy-save-1.8.9-flushed": ("routes:iptables", 0, FAIL, "no rules listed"),
    "systemctl-show-252-running": ("runtime", 0, OK, "active (running)"),
    "systemctl-show-252-stopped": ("runtime", 0, FAIL, "inactive (dead) (Result: signal)"),
    "systemctl-show-252-restarting": ("runtime", 0, FAIL, "activating (auto-restart) (Result: signal)"),
    "systemctl-show-252-masked": ("runtime", 0, FAIL, "inactive (dead)"),
    "ovs-appctl-3.1.0-running": ("vswitch:appctl", 0, OK, "answers"),
    "ovs-appctl-3.1.0-killed": ("vswitch:appctl", 1, FAIL, "does not answer"),
    "ps-4.0.2-running": ("vswitch:process", 0, OK, "runs as process 146"),
    "ps-4.0.2-killed": ("vswitch:process", 0, FAIL, "no process ovs-vswitchd"),
}
# The same states of other releases: bullseye, trixie, forky.
OTHERS: dict[str, tuple[str, *Meaning]] = {
    "containerd-cri-{}-running": (CONTAINERD, "containers", 0, OK, "2 of 2 containers running"),
    "containerd-cri-{}-stopped": (CONTAINERD, "containers", 0, OK, "1 of 2 containers running"),
    "containerd-cri-{}-refused": (CONTAINERD, "containers", 1, FAIL, "the container runtime does not answer"),
    "crictl-{}-running": (CRICTL, "containers", 0, OK, "2 of 2 containers running"),
    "crictl-{}-stopped": (CRICTL, "containers", 0, OK, "1 of 2 containers running"),
    "crictl-{}-refused": (CRICTL, "containers", 1, FAIL, "the container runtime does not answer"),
    "docker-ps-{}-running": (DOCKER, "docker", 0, OK, "2 of 2 containers running"),
    "docker-ps-{}-broken": (DOCKER, "docker", 0, OK, "0 of 3 containers running"),
    "docker-ps-{}-refused": (DOCKER, "docker", 1, FAIL, "the container runtime does not answer"),
    "podman-ps-{}-running": (PODMAN, "podman", 0, OK, "2 of 2 containers running"),
    "podman-ps-{}-broken": (PODMAN, "podman", 0, OK, "0 of 3 containers running"),
    "nft-{}-rules": (NFT, "routes:nftables", 0, OK, "10 rules"),
    "nft-{}-flushed": (NFT, "routes:nftables", 0, FAIL, "no rules listed"),
    "iptables-nft-save-{}-rules": (IPTABLES, "routes:iptables", 0, OK, "10 rules"),
    "iptables-nft-save-{}-flushed": (IPTABLES, "routes:iptables", 0, FAIL, "legacy tables are present"),
    "iptables-nft-L-{}-rules": (IPTABLES, "routes:iptables", 0, OK, "1 rules"),
    "iptables-nft-L-{}-flushed": (IPTABLES, "routes:iptables", 0, FAIL, "legacy tables are present"),
    "iptables-legacy-save-{}-rules": (IPTABLES, "routes:iptables", 0, OK, "1 rules"),
    "iptables-legacy-save-{}-flushed": (IPTABLES, "routes:iptables", 0, FAIL, "no rules listed"),
    "systemctl-show-{}-running": (SYSTEMD, "runtime", 0, OK, "active (running)"),
    "systemctl-show-{}-restarting": (SYSTEMD, "runtime", 0, FAIL, "activating (auto-restart) (Result: signal)"),
    "systemctl-show-{}-stopped": (SYSTEMD, "runtime", 0, FAIL, "inactive (dead)"),
    "systemctl-show-{}-masked": (SYSTEMD, "runtime", 0, FAIL, "inactive (dead)"),
    "ovs-appctl-{}-running": (OVS, "vswitch:appctl", 0, OK, "answers"),
    "ovs-appctl-{}-killed": (OVS, "vswitch:appctl", 1, FAIL, "does not answer"),
    "ps-{}-running": (PS, "vswitch:process", 0, OK, "runs as process"),
    "ps-{}-killed": (PS, "vswitch:process", 0, FAIL, "no process ovs-vswitchd"),
}
RECORDED |= {
    name.format(version): (check, exit_code, verdict, said)
    for name, (versions, check, exit_code, verdict, said) in OTHERS.items()
    for version in versions.split()
}
VIRSH = ("7.0.0", "11.3.0", "12.8.0")


def output(name: str, exit_code: int) -> Output:
    text = fixture(f"recorded/{name}.txt")
    return Output(exit_code, "", text) if exit_code else Output(0, text)


@pytest.mark.parametrize("name", RECORDED)
def test_what_a_real_tool_printed_is_understood(name: str) -> None:
    check, exit_code, verdict, said = RECORDED[name]
    judgement = one(NODE[check], output(name, exit_code))
    assert judgement.verdict is verdict
    assert said in judgement.said


def test_a_stopped_container_is_its_pods_and_the_next_attempt_is_well() -> None:
    for state, running in (("stopped", False), ("restarted", True)):
        pods = one(NODE["containers"], output(f"containerd-cri-1.6.20-{state}", 0)).pods
        assert {pod.pod: pod.running for pod in pods} == {"shop/web-c1n1": running, "shop/api-c1n1": True}


def test_each_virtual_machine_is_told_by_its_state() -> None:
    judged = machine("c1n1", "c1n2", "c1n3", "gone").judge(output("virsh-list-9.0.0-states", 0))
    assert [(one.verdict, one.said.rpartition(" is ")[2]) for one in judged] == [
        (OK, "running"),
        (FAIL, "paused"),
        (FAIL, "shut off"),
        (FAIL, "not defined here"),
    ]


@pytest.mark.parametrize("version", VIRSH)
def test_each_virtual_machine_is_told_by_its_state_and_in_german_not_at_all(version: str) -> None:
    machines = machine("c1n1", "c1n3", "c1n5", "c1n6", "gone")
    told = machines.judge(output(f"virsh-list-{version}-states", 0))
    assert [one.verdict for one in told] == [OK, *[FAIL] * 4]
    assert [one.said.rpartition(" is ")[2] for one in told] == [
        "running", "paused", "shut off", "crashed", "not defined here"
    ]  # fmt: skip
    german = machines.judge(output(f"virsh-list-german-{version}-states", 0))
    assert {one.verdict for one in german} == {UNKNOWN}


@pytest.mark.parametrize(
    "name", [name for name in RECORDED if name.startswith(("docker", "podman")) and "broken" in name]
)
def test_a_container_that_is_not_running_is_its_pods(name: str) -> None:
    runtime = RECORDED[name][0]
    said = {pod.pod: pod.said.rpartition(" is ")[2] for pod in one(NODE[runtime], output(name, 0)).pods}
    stopped = {"docker": ("Paused", "Exited (137)"), "podman": ("Exited (137)", "Exited (0)")}[runtime]
    assert (said.pop("shop/api"), said.pop("shop/web")) == stopped
    assert list(said) == ["default/new"]


def test_docker_is_asked_in_words_that_each_version_of_it_knows() -> None:
    assert NODE["docker"].command.endswith(" --format '{{json .}}'")
    printed_by_20_10_5_for_format_json = "json\njson\n"
    assert one(NODE["docker"], Output(0, printed_by_20_10_5_for_format_json)).verdict is UNKNOWN


@pytest.mark.parametrize("version", CRICTL.split())
def test_crictl_tells_the_process_of_each_container(version: str) -> None:
    check = checks(settings(pods=("shop/*",)))["containers"]
    listed, told = (output(f"{tool}-{version}-running", 0) for tool in ("crictl", "crictl-inspect"))
    pids = {int(line.split()[1]) for line in told.stdout.splitlines() if line}
    assert len(pids) == 2
    assert {sentinel.pid for sentinel in check.sentinels(listed, told)} == pids


def test_every_recorded_file_is_judged_here() -> None:
    known = {*RECORDED, *(f"virsh-list{german}-{v}-states" for v in VIRSH for german in ("", "-german"))}
    known |= {f"crictl-inspect-{v}-running" for v in CRICTL.split()}
    files = {path.stem for path in (FIXTURES / "recorded").glob("*.txt")}
    assert files - known == {"virsh-list-9.0.0-states"}
    assert known <= files


FOREIGN = " Id   Name   Status\n-------------------------\n 1    c1n1   laufend\n -    c1n3   ausgeschaltet\n"


def coloured(text: str) -> str:
    return "".join(f"\x1b[0;1;32m{line}\x1b[0m\n" for line in text.splitlines())


def warned(text: str) -> str:
    return f"sudo: unable to resolve host c1n1: Name or service not known\n{text}"


def cut(text: str) -> str:
    return text[: len(text) * 2 // 3]


def test_a_list_in_another_language_is_silence() -> None:
    assert {judgement.verdict for judgement in machine("c1n1", "c1n3").judge(Output(0, FOREIGN))} == {UNKNOWN}


@pytest.mark.parametrize("name", [name for name, (_, _, verdict, _) in RECORDED.items() if verdict is OK])
@pytest.mark.parametrize("spoil, verdicts", [(coloured, {OK}), (warned, {OK, UNKNOWN}), (cut, {OK, UNKNOWN})])
def test_what_a_terminal_or_sudo_adds_is_no_anomaly(
    name: str, spoil: Callable[[str], str], verdicts: set[Verdict]
) -> None:
    check: Check = NODE[RECORDED[name][0]]
    real = fixture(f"recorded/{name}.txt")
    # A list of processes has no end to look for: whether it was cut, the watch alone can tell (the test below).
    unmarked = spoil is not cut or not name.startswith("ps-")
    assert one(check, Output(0, spoil(real), truncated=not unmarked)).verdict in verdicts
    assert one(check, Output(0, real, "sudo: unable to resolve host c1n1\n")).verdict is OK


@pytest.mark.parametrize("name", [name for name, (_, code, _, _) in RECORDED.items() if not code])
def test_an_output_longer_than_the_bound_proves_no_absence(name: str) -> None:
    check, _, _, _ = RECORDED[name]
    if check != "runtime":  # its six lines stand at the beginning, or are not there
        real = fixture(f"recorded/{name}.txt")
        assert one(NODE[check], Output(0, real, truncated=True)).verdict is not FAIL
