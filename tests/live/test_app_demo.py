"""The demo with every command on it, and DNS asked by clients (issue 2). The tests share one demo, in this order."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from signal import SIGHUP
from socket import AF_UNIX, socket

import pytest

from core.errors import CommandRefused
from core.lab.client import LabClient
from core.model import Action, EventName, Order
from core.snapshot import ClusterState
from tests.live.app_program import Done, Program, environment, eventually, pointsman

pytestmark = pytest.mark.live
ALL = ("tokyo", "osaka", "fukuoka")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    directory = tmp_path_factory.mktemp("demo")
    words = ("demo", "--headless", "--dir", str(directory), "--dns-port", "0", "--log-format", "json")
    it = Program(directory, directory / "control.sock", *words)
    try:
        eventually(lambda: not it.snapshot().starting)
        yield it
        it.end()
        assert [json.loads(line)["event"] for line in it.said().splitlines()].count("started") == 1
    finally:
        it.close()


@pytest.fixture(autouse=True)
def whole(demo: Program) -> None:
    """Each test begins with everything in DNS, whatever the one before has left."""
    with suppress(CommandRefused):
        asyncio.run(LabClient(demo.directory).mend())
    for view in demo.snapshot().clusters:
        if view.override:
            demo.order(Action.RESTORE, view.name)
    eventually(lambda: all(view.state is ClusterState.OK for view in demo.snapshot().clusters), within=40)
    assert inside(demo) == {*ALL}


def inside(demo: Program, name: str = "svc1.net.") -> set[str]:
    """The clusters that a client is sent to, by what DNS answers."""
    clusters = {view.addresses[0]: view.name for view in demo.snapshot().clusters}
    return {clusters[address] for address in demo.addresses(name)}


def names(demo: Program, since: float) -> list[EventName]:
    """The history."""
    return [event.name for event in demo.ask(lambda client: client.events(since=since))]


def lab(demo: Program, *words: str) -> Done:
    return pointsman(demo.directory, "lab", *words, "--dir", str(demo.directory))


def http(demo: Program, path: str) -> tuple[int, str]:
    connection = HTTPConnection("pointsman")
    connection.sock = socket(AF_UNIX)
    connection.sock.connect(str(demo.socket))
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


# --- looking ----------------------------------------------------------------------------------------------------------


def test_status_shows_every_cluster_well_and_what_dns_answers(demo: Program) -> None:
    lines = demo.command("status").out.splitlines()
    for name in ALL:
        assert any(re.match(rf"{name} +ok +2 of 2 +ok (\d+)/\1 +ok 1/1 ", line) for line in lines), lines
    addresses = " ".join(demo.cluster(name).addresses[0] for name in ALL)
    assert any(line.startswith(f"svc1.net.  {addresses}  all") for line in lines)
    found = json.loads(demo.command("status", "--json").out)
    assert [cluster["state"] for cluster in found["clusters"]] == ["ok"] * 3


def test_answers_are_those_of_dns(demo: Program) -> None:
    done = demo.command("answers", "svc2.net")
    assert done.code == 0
    assert set(re.findall(r"127\.0\.\d+\.\d+", done.out)) == demo.addresses("svc2.net.")
    assert inside(demo, "svc2.net.") == {*ALL}
    nowhere = demo.command("answers", "elsewhere.example")
    assert (nowhere.code, nowhere.refusal.count("REFUSED")) == (1, 1)
    assert demo.answer("elsewhere.example").rcode() == 5
    assert demo.command("answers", "svc1.net", "NOSUCH").code == 1


def test_the_api_tells_monitors_how_it_is(demo: Program) -> None:
    assert http(demo, "/healthz")[0] == 200
    assert http(demo, "/readyz") == (200, '{"ready":true}')
    demo.addresses()
    status, metrics = http(demo, "/metrics")
    assert status == 200
    values = dict(re.findall(r"^(\S+) (\S+)$", metrics, re.MULTILINE))
    assert float(values['pointsman_in_dns{cluster="tokyo",domain="svc1.net."}']) == 1
    assert float(values['pointsman_cluster_state{cluster="osaka",pointsman_cluster_state="ok"}']) == 1
    assert float(values['pointsman_dns_queries_total{rcode="NOERROR"}']) > 0
    assert float(values["pointsman_trouble"]) == 0


# --- a fault, from the lab to the client -----------------------------------------------------------------------------


def test_a_fault_is_seen_by_check_erased_explained_and_told_and_ends_with_the_mending(demo: Program) -> None:
    config = str(demo.directory / "config.toml")
    patient = {"POINTSMAN_DETECTION__TIMEOUT": "20"}  # the machine may be busy with other tests
    well = pointsman(demo.directory, "check", "--config", config, "--probe", **patient)
    assert (well.code, well.err) == (0, ""), well.out
    verdicts = [re.split(r"  +", line)[1] for line in well.out.splitlines() if line.startswith(("tokyo/", "osaka/"))]
    assert len(verdicts) > 10
    assert set(verdicts) == {"ok"}

    before = time.time()
    broken = lab(demo, "break", "tokyo", "routes")
    assert re.match(rf"{STAMP}  ", broken.out), broken
    eventually(lambda: inside(demo) == {"osaka", "fukuoka"})
    assert inside(demo, "svc2.net.") == {"osaka", "fukuoka"}

    ill = pointsman(demo.directory, "check", "--config", config, "--probe", **patient)
    assert ill.code == 1
    rows = [re.split(r"  +", line)[:2] for line in ill.out.splitlines()]
    assert [row for row in rows if row[1:] == ["fail"]] == [["tokyo/node1/routes:nftables", "fail"]] == rows[-1:]

    eventually(lambda: EventName.FIRST_CLEAN_ANSWER in names(demo, before))
    explained = demo.command("explain", "tokyo").out
    assert re.match(r"tokyo is erased since .*: .*routes", explained), explained
    steps = re.findall(r"^([a-z]+)  +2\S+Z  +\+[\d.]+ ms", explained, re.MULTILINE)
    assert steps == ["check", "verdict", "decision", "record", "answer"], explained
    stages = [
        "fault_seen",
        "internal_anomaly",
        "external_anomaly",
        "switch_ordered",
        "address_erased",
        "first_clean_answer",
    ]
    told = demo.command("events", "--since", f"{time.time() - before + 1:.0f}s", "--cluster", "tokyo", "--json").out
    history = [json.loads(line)["name"] for line in told.splitlines()]
    assert [name for name in dict.fromkeys(history) if name in stages] == stages

    assert re.match(rf"{STAMP}  ", lab(demo, "mend", "tokyo").out)
    eventually(lambda: demo.cluster("tokyo").state is ClusterState.OK, within=40)
    assert {EventName.RAMP_STEP, EventName.ADDRESS_RESTORED} <= {*names(demo, before)}
    assert inside(demo) == {*ALL}


def test_a_lab_that_has_nothing_of_that_name_is_one_line(demo: Program) -> None:
    for words, code in ((("break", "kyoto", "routes"), 2), (("break", "tokyo", "nonsense"), 2), (("mend", "tokyo"), 1)):
        done = lab(demo, *words)
        assert (done.code, done.out, done.err.count("\n")) == (code, "", 1), done
    nobody = pointsman(demo.directory, "lab", "list", "--dir", str(demo.directory / "nowhere"))
    assert (nobody.code, nobody.err.count("\n")) == (1, 1)


# --- orders -----------------------------------------------------------------------------------------------------------


def test_orders_are_in_dns_when_the_command_returns(demo: Program) -> None:
    done = demo.command("drain", "osaka", "--yes", "--reason", "new switch")
    assert done.code == 0
    assert "osaka is drained: no new clients" in done.out
    assert inside(demo) == inside(demo, "svc2.net.") == {"tokyo", "fukuoka"}
    assert demo.command("erase", "osaka", "--yes").code == 0
    assert inside(demo) == {"tokyo", "fukuoka"}
    again = demo.command("restore", "osaka", "--yes")
    assert "osaka is restored and ramps up" in again.out
    eventually(lambda: "osaka" in inside(demo))
    nothing = demo.command("restore", "fukuoka", "--yes")
    assert (nothing.code, nothing.err.count("\n")) == (1, 1)
    assert "nothing to restore" in nothing.err


def test_without_a_terminal_nothing_is_done_unless_confirmed(demo: Program) -> None:
    done = demo.command("drain", "osaka")
    assert done.code == 1
    assert done.err == "pointsman: not confirmed, as there is no terminal to ask at; add --yes to do it nevertheless\n"
    assert inside(demo) == {*ALL}


def test_the_last_cluster_stays_unless_forced_and_names_that_are_unknown_do_nothing(demo: Program) -> None:
    assert demo.command("drain", "osaka", "fukuoka", "--yes").code == 0
    refused = demo.command("drain", "tokyo", "--yes")
    assert refused.code == 1
    assert "would be left without a healthy cluster" in refused.err
    assert refused.err.count("\n") == 1
    assert inside(demo) == {"tokyo"}
    assert demo.command("drain", "tokyo", "--yes", "--force").code == 0
    assert inside(demo) == inside(demo, "svc2.net.") == set()
    unknown = demo.command("restore", "tokyo", "kyoto", "--yes")
    assert (unknown.code, unknown.out) == (1, "")
    assert "there is no cluster 'kyoto'" in unknown.err
    assert demo.command("restore", "tokyo", "osaka", "fukuoka", "--yes").code == 0


def test_an_override_with_an_end_ends_by_itself(demo: Program) -> None:
    assert demo.command("erase", "fukuoka", "--yes", "--for", "2s").code == 0
    assert inside(demo) == {"tokyo", "osaka"}
    eventually(lambda: demo.cluster("fukuoka").override is None)
    eventually(lambda: "fukuoka" in inside(demo))
    assert "override_expired" in demo.command("events", "--since", "1m", "--cluster", "fukuoka").out


def test_of_two_who_saw_the_same_one_wins(demo: Program) -> None:
    ours, theirs = pty.openpty()
    words = ("drain", "osaka", "--socket", str(demo.socket))
    racing = [
        subprocess.Popen(
            [sys.executable, "-m", "core.cli", *words],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(demo.directory),
        )
        for _ in range(2)
    ]
    shown = b""
    for each in racing:  # both have seen the cluster as it is, and wait for an answer
        assert each.stdout is not None
        while not (shown := shown + os.read(each.stdout.fileno(), 4096)).endswith(b"[y/N]: "):
            pass
        shown = b""
    os.write(ours, b"y\ny\n")
    with ThreadPoolExecutor(2) as waiting:
        said = list(waiting.map(lambda each: each.communicate(timeout=30)[0].decode(), racing))
    os.close(ours)
    os.close(theirs)
    assert sorted(each.returncode for each in racing) == [0, 1], said
    assert "osaka has changed since you looked at it" in "".join(said)
    demo.order(Action.RESTORE, "osaka")


def test_a_frozen_process_erases_nothing_until_it_is_thawed(demo: Program) -> None:
    since = time.time()
    assert demo.command("freeze", "--reason", "storm").code == 0
    assert demo.command("freeze").refusal.startswith("pointsman: already frozen by ")
    asyncio.run(LabClient(demo.directory).break_("osaka", "vswitch"))
    eventually(lambda: EventName.EXTERNAL_ANOMALY in names(demo, since))
    assert inside(demo) == {*ALL}
    assert demo.command("thaw").code == 0
    eventually(lambda: inside(demo) == {"tokyo", "fukuoka"})


# --- settings -------------------------------------------------------------------------------------------------------


def test_a_reload_that_connects_every_node_anew_erases_nothing(demo: Program) -> None:
    config = demo.directory / "config.toml"
    text = config.read_text()
    since = time.time()
    config.write_text(text.replace("[ssh]\n", "[ssh]\nconnect_timeout = 4\n"))
    demo.process.send_signal(SIGHUP)
    eventually(lambda: "reload" in [json.loads(line)["event"] for line in demo.said().splitlines()])
    eventually(lambda: not demo.snapshot().starting and all(v.internal == "ok" for v in demo.snapshot().clusters))
    config.write_text(text.replace('runtime = "containerd"', 'runtime = "crio"', 1))
    demo.process.send_signal(SIGHUP)
    time.sleep(2)
    config.write_text(text)
    demo.process.send_signal(SIGHUP)
    time.sleep(2)
    assert EventName.ADDRESS_ERASED not in names(demo, since)


def test_every_log_line_is_json_with_a_name_and_history_has_known_names(demo: Program) -> None:
    lines = [json.loads(line) for line in demo.said().splitlines()]
    told = {line["event"] for line in lines}
    assert {"started", "address_erased", "first_clean_answer", "override_set", "frozen"} <= told
    for line in lines:
        assert {"event", "level", "timestamp"} <= line.keys()
        if "id" in line:
            assert line["event"] in set(EventName)
            assert line["at"].endswith("Z")
    ids = [line["id"] for line in lines if "id" in line]
    assert ids == list(range(1, len(ids) + 1))


def test_a_stale_revision_is_refused_with_the_present_one(demo: Program) -> None:
    seen = demo.cluster("tokyo").revision
    with pytest.raises(CommandRefused) as caught:
        demo.ask(lambda client: client.order(Order(Action.DRAIN, ("tokyo",), "alice", expected=(("tokyo", seen - 1),))))
    assert caught.value.revision == seen
