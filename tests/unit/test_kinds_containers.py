"""The containers of a node's pods (spec S4)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.model import PodReport, Verdict
from core.probes.check import Check, Output, Sentinel
from tests.unit.kinds_common import checks, fixture, ok, one, refused, settings, verdict

BORN = 1_700_000_000_000_000_000


def containers(runtime: str = "containerd", *pods: str) -> Check:
    return checks(settings(pods or ("default/svc1-*",)), runtime=runtime)["containers"]


def cri(number: int, name: str = "app", state: str = "RUNNING", **changes: Any) -> dict[str, Any]:
    labels = {
        "io.kubernetes.container.name": name,
        "io.kubernetes.pod.name": changes.pop("pod", "svc1-0"),
        "io.kubernetes.pod.namespace": "default",
        "io.kubernetes.pod.uid": changes.pop("uid", "u1"),
    }
    attempt, born = changes.pop("attempt", 0), changes.pop("born", number)
    return {
        "id": f"{number:064x}",
        "podSandboxId": "s1",
        "metadata": {"name": name, "attempt": attempt},
        "state": f"CONTAINER_{state}",
        "createdAt": str(BORN + born),
        "labels": labels,
        **changes,
    }


def listed(*entries: dict[str, Any]) -> Output:
    return ok(json.dumps({"containers": entries}, indent=2))


def reports(check: Check, output: Output) -> list[tuple[str, str, bool]]:
    judgement = one(check, output)
    assert judgement.verdict is Verdict.OK, judgement
    return [(report.pod, report.container, report.running) for report in judgement.pods]


# --- which containers count -----------------------------------------------------------------------------------------


def test_of_each_container_the_newest_attempt_counts() -> None:
    judgement = one(containers(), ok(fixture("crictl-1.26-ps.json")))
    assert judgement.pods == (
        PodReport("default/job-x", "work", False, "pod default/job-x container work is Exited", 0),
        PodReport("default/svc1-0", "app", True, "pod default/svc1-0 container app is Running", 1),
        PodReport("default/svc2-0", "app", False, "pod default/svc2-0 container app is Exited", 2),
    )
    assert (judgement.verdict, judgement.said) == (Verdict.OK, "1 of 3 containers running")


def test_an_attempt_counts_by_its_number_before_its_time() -> None:
    clock_went_back = listed(cri(1, born=50, state="EXITED"), cri(2, born=10, attempt=1))
    assert reports(containers(), clock_went_back) == [("default/svc1-0", "app", True)]


def test_a_new_pod_of_the_old_name_counts_although_its_attempts_begin_anew() -> None:
    output = listed(cri(1, attempt=7, state="EXITED"), cri(2, uid="u2", podSandboxId="s2"))
    assert reports(containers(), output) == [("default/svc1-0", "app", True)]


def test_a_finished_init_container_is_left_out() -> None:
    output = listed(cri(1, "init", "EXITED"), cri(2, "app"))
    assert reports(containers(), output) == [("default/svc1-0", "app", True)]


def test_a_container_seen_running_beside_a_later_one_is_no_init_container() -> None:
    check = containers()
    check.judge(listed(cri(1, "app"), cri(2, "proxy")))
    for _ in range(2):
        output = listed(cri(1, "app", "EXITED"), cri(2, "proxy"))
        assert reports(check, output) == [("default/svc1-0", "app", False), ("default/svc1-0", "proxy", True)]


def test_the_last_container_of_a_pod_is_no_init_container() -> None:
    output = listed(cri(1, "proxy"), cri(2, "app", "EXITED"))
    assert ("default/svc1-0", "app", False) in reports(containers(), output)


@pytest.mark.parametrize("state", ["CREATED", "EXITED", "UNKNOWN", "PAUSED"])
def test_any_state_but_running_is_told_as_not_running(state: str) -> None:
    (report,) = one(containers(), listed(cri(1, state=state))).pods
    assert not report.running
    assert report.said == f"pod default/svc1-0 container app is {state.capitalize()}"


def test_no_containers_at_all_is_an_answer() -> None:
    assert reports(containers(), listed()) == []
    assert reports(containers("docker"), ok("")) == []
    assert reports(containers("podman"), ok("[]\n")) == []


# --- docker and podman ----------------------------------------------------------------------------------------------


def test_docker_names_pods_by_their_labels_or_the_container() -> None:
    judgement = one(containers("docker"), ok(fixture("docker-24.0-ps.jsonl")))
    assert [(r.pod, r.container, r.running, r.attempt) for r in judgement.pods] == [
        ("default/qbittorrent", "qbittorrent", False, 0),
        ("default/stuck", "stuck", False, 0),
        ("prod/svc1-0", "app", True, 18),
    ]
    assert judgement.pods[0].said == "pod default/qbittorrent container qbittorrent is Exited (137)"


def test_docker_before_it_had_a_state_is_read_by_its_status() -> None:
    lines = fixture("docker-24.0-ps.jsonl").splitlines()
    old = "\n".join(json.dumps({k: v for k, v in json.loads(line).items() if k != "State"}) for line in lines)
    new = one(containers("docker"), ok(fixture("docker-24.0-ps.jsonl")))
    assert one(containers("docker"), ok(old)).pods == new.pods


def test_podman_tells_pods_states_and_processes() -> None:
    entry = json.loads(fixture("podman-4.3.1-ps.json"))[0]
    web = {**entry, "State": "running", "Pid": 4711}
    podded = {**entry, "Id": "ab" * 32, "Names": ["c1"], "PodName": "svc1-0", "State": "exited", "ExitCode": 137}
    infra = {**entry, "Id": "cd" * 32, "IsInfra": True}
    output = ok("time=... level=warning msg=[cgroups]\n" + json.dumps([web, podded, infra], indent=2))
    check = containers("podman", "default/web")
    assert [report.said for report in one(check, output).pods] == [
        "pod default/svc1-0 container c1 is Exited (137)",
        "pod default/web container web is Running",
    ]
    assert check.pids_command(output) == ""
    assert check.sentinels(output, None) == (Sentinel(4711, "pod default/web container web"),)


# --- what is no listing ---------------------------------------------------------------------------------------------

FATAL = (
    'time="2024-03-19T04:51:36Z" level=fatal msg="validate service connection: validate CRI v1 runtime API for endpoint '
    '\\"unix:///run/containerd/containerd.sock\\": rpc error: code = {}"'
)
DIAL = (
    'Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix /run/c.sock: connect: {}"'
)


@pytest.mark.parametrize(
    ("runtime", "stderr"),
    [
        ("containerd", FATAL.format(DIAL.format("connection refused"))),
        ("crio", FATAL.format(DIAL.format("no such file or directory"))),
        ("docker", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"),
    ],
)
def test_a_runtime_that_refuses_is_a_fail(runtime: str, stderr: str) -> None:
    found, said = verdict(containers(runtime), refused(1, stderr))
    assert found is Verdict.FAIL
    assert said.startswith("the container runtime does not answer: ")


@pytest.mark.parametrize(
    "output",
    [
        refused(1, FATAL.format(DIAL.format("permission denied"))),
        refused(1, FATAL.format("DeadlineExceeded desc = context deadline exceeded")),
        refused(1, FATAL.format("Unimplemented desc = unknown service runtime.v1.RuntimeService")),
        refused(1, "sudo: a password is required"),
        refused(127, "crictl: not found"),
        Output(None, ""),
        Output(0, fixture("crictl-1.26-ps.json"), truncated=True),
        ok(fixture("crictl-1.26-ps.json")[:-20]),
        ok(""),
        ok('{"items": []}'),
        ok('{"containers": null}'),
        ok('{"containers": [1]}'),
        ok("[" * 100_000),
    ],
)
def test_what_is_no_listing_is_unknown(output: Output) -> None:
    assert verdict(containers(), output)[0] is Verdict.UNKNOWN


@pytest.mark.parametrize("field", ["id", "metadata", "createdAt", "labels", "state"])
def test_a_field_of_the_wrong_type_makes_the_listing_unreadable(field: str) -> None:
    assert verdict(containers(), listed({**cri(1), field: ["x"]}))[0] is Verdict.UNKNOWN


def test_warnings_colours_and_carriage_returns_around_the_json_do_not_matter() -> None:
    noise = 'WARN[0000] runtime connect using default endpoints: [unix:///run/x]\r\n[notice]\x1b[0m\r\n{"a": 1}\r\n'
    output = ok(noise + fixture("crictl-1.26-ps.json").replace("\n", "\r\n") + "bye\r\n")
    assert len(one(containers(), output).pods) == 3


def test_what_a_node_says_reaches_nobody_with_escapes_in_it() -> None:
    (report,) = one(containers(), listed(cri(1, pod="svc1\x1b]0;x\x07-\u202e0\n"))).pods
    assert report.pod == "default/svc1- 0"
    assert report.said == "pod default/svc1- 0 container app is Running"


# --- processes ------------------------------------------------------------------------------------------------------


def test_pids_are_asked_for_new_running_containers_of_named_pods_only() -> None:
    check = containers()
    first = listed(cri(1), cri(2, pod="other-0", uid="u9"), cri(3, pod="svc1-1", uid="u2", state="EXITED"))
    assert check.pids_command(first).startswith("sudo -n crictl inspect -o go-template --template ")
    assert check.pids_command(first).endswith(f" {1:064x}")
    told = ok(f"{1:064x} 4711\n")
    assert check.sentinels(first, told) == (Sentinel(4711, "pod default/svc1-0 container app"),)
    assert check.pids_command(first) == ""
    second = listed(cri(1), cri(4, pod="svc1-2", uid="u3"))
    assert check.pids_command(second).endswith(f"' {4:064x}")
    assert [s.pid for s in check.sentinels(second, ok(f"{4:064x} 4712\n"))] == [4711, 4712]
    assert check.sentinels(listed(cri(1, state="EXITED")), None) == ()


def test_a_pid_that_was_not_told_is_asked_for_again() -> None:
    check = containers()
    output = listed(cri(1))
    assert check.sentinels(output, refused(1, "no such container")) == ()
    assert check.pids_command(output)


def test_a_listing_that_cannot_be_read_keeps_the_sentinels() -> None:
    check = containers()
    before = check.sentinels(listed(cri(1)), ok(f"{1:064x} 4711\n"))
    assert check.sentinels(refused(1, "connect: connection refused"), None) == before
    assert check.pids_command(ok("garbage")) == ""


def test_a_docker_container_started_again_under_its_id_is_asked_for_again() -> None:
    check = containers("docker", "prod/svc1-0")
    text = fixture("docker-24.0-ps.jsonl")
    assert check.pids_command(ok(text)) == f"sudo -n docker inspect --format '{{{{.Id}}}} {{{{.State.Pid}}}}' {1:064x}"
    assert [s.pid for s in check.sentinels(ok(text), ok(f"{1:064x} 99\n"))] == [99]
    assert check.pids_command(ok(text)) == ""
    assert check.pids_command(ok(text.replace('"Up 2 days"', '"Up 1 second"')))


def test_an_id_that_is_no_id_never_gets_into_a_command() -> None:
    check = containers()
    output = listed({**cri(1), "id": "$(reboot)"})
    assert check.pids_command(output) == ""
    assert one(check, output).verdict is Verdict.UNKNOWN


def test_the_other_commands_follow_a_setting_of_the_listing() -> None:
    made = settings(commands={"containers_crictl": "k3s crictl --timeout 1s ps -a -o json"})
    check = checks(made)["containers"]
    assert check.pids_command(listed(cri(1))).startswith("k3s crictl --timeout 1s inspect -o go-template")


def test_events_are_listened_to_where_that_takes_them_from_nobody() -> None:
    assert containers("crio").events == ""
    assert containers("containerd").events.startswith("sudo -n ctr -n k8s.io events 'topic~=")
    assert containers("docker").events.startswith("sudo -n docker events --filter type=container --filter event=start")
    assert containers("podman").events.startswith("sudo -n podman events --filter event=start --filter event=died")
