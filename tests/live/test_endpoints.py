"""``pointsman endpoints``: the deployment instruction of a running pointsman, at a real HAProxy (spec S18)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.cli.output import DIFFERS
from core.model import EventName
from tests.live.app_program import Program, program
from tests.live.haproxy import Haproxy, free_port

pytestmark = pytest.mark.live
CONFIG = """
[dns]
listen = ["127.0.0.1:0"]
[store]
directory = "state"
[control]
socket = "control.sock"
[detection]
sudo = ""
interval = 0.2
checks = ["containers"]
commands.containers_podman = "{python} {directory}/podman.py ps -a"
[recovery]
ramp_step = 0.1
[[app]]
domain = "svc1.net."
clusters = ["a", "b"]
pods = ["default/web-*"]
min_healthy = 0
endpoint = "{{name}}.web.{{namespace}}.svc:8080"
[[cluster]]
name = "a"
addresses = ["192.0.2.1"]
node = [{{ name = "n1", local = true, runtime = "podman" }}]
[cluster.router]
kind = "haproxy"
address = "{socket}"
frontends = ["web"]
pods = {{ "default/web-0" = "127.0.0.1:{zero}", "default/web-1" = "127.0.0.1:{one}" }}
[[cluster]]
name = "b"
addresses = ["192.0.2.2"]
"""
LISTING = """
import json, pathlib
pods = json.loads((pathlib.Path(__file__).parent / "pods.json").read_text())
print(json.dumps([
    {"Id": f"{n:064x}", "Names": [name], "State": state, "Pid": %d, "Restarts": 0, "Created": 1,
     "Labels": {"io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.name": name, "io.kubernetes.container.name": "web"}}
    for n, (name, state) in enumerate(pods.items())
]))
"""


class Bed:
    """A pointsman that watches a list of pods on this machine, before a HAProxy that has one of them."""

    def __init__(self, directory: Path, haproxy: Haproxy, found: Program) -> None:
        self.directory, self.haproxy, self.program = directory, haproxy, found

    def listed(self, **pods: str) -> None:
        _list(self.directory, {name.replace("_", "-"): state for name, state in pods.items()})

    def lines(self, *words: str, code: int = 0) -> list[str]:
        done = self.program.command("endpoints", *words, "--config", str(self.directory / "config.toml"))
        assert done.code == code, done
        return done.out.splitlines()

    def until(self, weights: dict[str, int]) -> None:
        """The router has confirmed these weights, in percent, of all pods that it was told of."""
        ends = time.monotonic() + 30
        while (found := {p.pod.partition("/")[2]: p.confirmed for p in self.program.cluster("a").pods}) != weights:
            assert time.monotonic() < ends, found
            time.sleep(0.02)


def _list(directory: Path, pods: dict[str, str]) -> None:
    (directory / "new").write_text(json.dumps(pods))
    (directory / "new").rename(directory / "pods.json")


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    haproxy = Haproxy(tmp_path, ("web-0",))
    haproxy.start_now()
    _list(tmp_path, {"web-0": "running", "web-1": "running"})
    (tmp_path / "podman.py").write_text(LISTING % os.getpid())
    text = CONFIG.format(
        python=sys.executable, directory=tmp_path, socket=haproxy.socket, zero=haproxy.pods["web-0"], one=free_port()
    )
    (tmp_path / "config.toml").write_text(text)
    with program(tmp_path / "config.toml") as found:
        made = Bed(tmp_path, haproxy, found)
        made.until({"web-0": 100, "web-1": 100})
        yield made
    haproxy.kill()


def test_what_is_missing_is_told_added_and_removed_again(bed: Bed) -> None:
    (line,) = bed.lines("diff", code=DIFFERS)
    assert line.startswith("a: + svc1.net/default.web-1 127.0.0.1:")
    assert bed.lines("apply") == [line]
    assert bed.lines("diff") == ["a: nothing differs"]
    assert bed.haproxy.weights_now() == {"web-0": 100, "web-1": 100}
    bed.listed(web_0="running")
    _until(lambda: bed.haproxy.weights_now() == {"web-0": 100, "web-1": 0})  # a pod that is gone gets nothing
    (line,) = bed.lines("diff", code=DIFFERS)
    assert line == "a: - svc1.net/default.web-1 stands for default/web-1, which is no pod that is seen"
    assert bed.lines("apply") == []
    assert bed.lines("apply", "--prune") == [line]
    assert bed.haproxy.weights_now() == {"web-0": 100}


def test_what_belongs_into_the_configuration_is_printed(bed: Bed) -> None:
    lines = bed.lines("render")
    assert lines[:4] == ["# cluster a", "backend svc1.net", "  balance roundrobin", "  option redispatch 1"]
    assert [line.split()[:2] for line in lines[4:6]] == [["server", "default.web-0"], ["server", "default.web-1"]]
    found = json.loads("\n".join(bed.lines("render", "--format", "kubernetes")))
    assert [item["kind"] for item in found["items"]] == ["Service", "EndpointSlice"] * 2 + ["HTTPRoute"]
    bed.listed(web_0="running", web_1="running", web_2="running")
    bed.until({"web-0": 100, "web-1": 100, "web-2": 100})
    assert "  server default.web-2 web-2.web.default.svc:8080 weight 100" in bed.lines("render")
    assert any("HAProxy looks up no name at run time" in line for line in bed.lines("diff", code=DIFFERS))
    assert (
        "1 differences are left"
        in bed.program.command("endpoints", "apply", "--config", str(bed.directory / "config.toml")).err
    )


def test_a_router_that_cannot_be_asked_is_one_line(bed: Bed) -> None:
    bed.haproxy.kill()
    done = bed.program.command("endpoints", "diff", "--config", str(bed.directory / "config.toml"))
    assert (done.code, done.out) == (1, "")
    assert "a: its router cannot be asked" in done.refusal


def test_a_pod_that_dies_is_detached_at_the_router_and_comes_back_by_steps(bed: Bed) -> None:
    bed.lines("apply")
    bed.listed(web_0="exited", web_1="running")
    bed.until({"web-0": 0, "web-1": 100})
    assert bed.haproxy.weights_now() == {"web-0": 0, "web-1": 100}
    bed.listed(web_0="running", web_1="running")
    bed.until({"web-0": 100, "web-1": 100})
    told = [event.name for event in bed.program.ask(lambda client: client.events(cluster="a"))]
    ramp = [name for name in told if name in {EventName.POD_DETACHED, EventName.POD_ATTACHED, EventName.RAMP_STEP}]
    assert ramp[:2] == [EventName.POD_DETACHED, EventName.POD_ATTACHED]
    assert ramp[2:] == [EventName.RAMP_STEP] * 3


def test_an_erase_closes_the_router_and_a_restore_opens_it_before_the_address_is_answered(bed: Bed) -> None:
    found = bed.program
    assert found.command("erase", "a", "--yes", "--reason", "test").code == 0
    _until(lambda: any(e.name is EventName.ROUTER_STOPPED for e in found.ask(lambda c: c.events(cluster="a"))))
    assert found.addresses() == {"192.0.2.2"}
    assert not bed.haproxy.is_open()
    assert found.command("restore", "a", "--yes").code == 0
    _until(lambda: found.addresses() == {"192.0.2.1", "192.0.2.2"})
    assert bed.haproxy.is_open()
    names = [event.name for event in found.ask(lambda client: client.events(cluster="a"))]
    assert names.index(EventName.ROUTER_OPENED) < names.index(EventName.ADDRESS_RESTORED)


def _until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)
