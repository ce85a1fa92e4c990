"""What the tools of a real node printed on the bed (``tests/bed/record.py``, which tells how each state was made), and what it means.

``containerd-cri`` is containerd's own answer as the bed's stand-in for crictl prints it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.model import Verdict
from core.probes.check import Check, Output
from tests.unit.kinds_common import checks, fixture, machine, one, settings

FAIL, OK, UNKNOWN = Verdict.FAIL, Verdict.OK, Verdict.UNKNOWN
NODE = checks(settings(pods=("shop/web-*",)), routes=("nftables", "iptables"))
RECORDED = {
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
    assert one(check, Output(0, spoil(real))).verdict in verdicts
    assert one(check, Output(0, real, "sudo: unable to resolve host c1n1\n")).verdict is OK


@pytest.mark.parametrize("name", [name for name, (_, code, _, _) in RECORDED.items() if not code])
def test_an_output_longer_than_the_bound_proves_no_absence(name: str) -> None:
    check, _, _, _ = RECORDED[name]
    if check != "runtime":  # its six lines stand at the beginning, or are not there
        real = fixture(f"recorded/{name}.txt")
        assert one(NODE[check], Output(0, real, truncated=True)).verdict is not FAIL
