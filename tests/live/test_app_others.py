"""The whole program with everybody beside it: an erase reaches a cache, another people's DNS, a webhook, and outlives a kill."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.cli.output import DIFFERS
from core.model import Action
from tests.live.app_program import CONFIG, Program, eventually, program, written
from tests.live.caching_servers import Cache, caching
from tests.live.name_servers import free_ports, new_key
from tests.live.primaries import Primary, primary

NAME = "svc1.net."
pytestmark = pytest.mark.live


@dataclass
class Bed:
    config: Path
    cache: Cache
    primary: Primary
    posted: list[dict[str, Any]]

    def theirs(self) -> set[str]:
        return {rdata.to_text() for rrset in self.primary.server.ask(NAME).answer for rdata in rrset}


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    port = free_ports(1)[0]
    _, key = new_key(tmp_path, "updates")
    with ExitStack() as stack:
        receiver = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        stack.callback(receiver.shutdown)
        theirs = stack.enter_context(primary(tmp_path, "bind", NAME, key))
        config = written(tmp_path, CONFIG.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        with program(config) as it:  # the cache is ready when it answers
            place = tmp_path / "cache"
            place.mkdir()
            cache = stack.enter_context(caching(place, "unbound", NAME, port))
            it.end()
        config.write_text(
            config.read_text()
            + f"""
[recovery]
ramp = [100]
[[internal_dns]]
name = "theirs"
kind = "unbound"
address = "127.0.0.1:{cache.server.port}"
command = {json.dumps(cache.settings["command"])}
[[provider]]
name = "corporate"
zone = "{NAME}"
server = "127.0.0.1:{theirs.server.port}"
tsig = "updates.key"
[[alerts.webhook]]
url = "http://127.0.0.1:{receiver.server_address[1]}/"
events = ["address_erased", "internal_dns_erased"]
[[alerts.webhook]]
url = "http://127.0.0.1:1/"
"""
        )
        yield Bed(config, cache, theirs, posted)


def confirmed(it: Program) -> bool:
    return all(hand.done for hand in it.snapshot().hands)


def test_an_erase_reaches_everybody_is_told_and_outlives_a_kill(bed: Bed) -> None:
    both, one = {"192.0.2.1", "192.0.2.2"}, {"192.0.2.1"}
    with program(bed.config) as it:
        eventually(lambda: confirmed(it))
        assert bed.theirs() == both
        eventually(lambda: bed.cache.addresses(NAME) == both)
        it.order(Action.ERASE, "b")
        eventually(lambda: confirmed(it))
        assert bed.cache.addresses(NAME) == one
        assert bed.theirs() == one
        said = it.command("provider", "diff", "--config", str(bed.config))
        assert (said.code, f"{NAME}  as it should be" in said.out) == (0, True)
        eventually(lambda: {"address_erased", "internal_dns_erased"} <= {each["name"] for each in bed.posted})
        told = next(each for each in bed.posted if each["name"] == "internal_dns_erased")
        assert (told["cluster"], told["app"], told["cause"]) == ("b", NAME, "theirs")
        assert "answers without 192.0.2.2" in told["evidence"]
        eventually(lambda: any("does not take them" in line for line in it.snapshot().trouble))
        it.process.kill()
        it.process.wait()
    with program(bed.config) as it:
        eventually(lambda: confirmed(it))
        assert bed.theirs() == one
        assert bed.cache.addresses(NAME) == one
        it.order(Action.RESTORE, "b")
        eventually(lambda: bed.theirs() == both)
        eventually(lambda: bed.cache.addresses(NAME) == both)
        it.end()


def test_a_plan_that_is_not_carried_out_shows_as_a_difference(bed: Bed) -> None:
    bed.config.write_text(bed.config.read_text() + "[safety]\nshadow = true\n")
    with program(bed.config) as it:
        said = it.command("provider", "diff", "--config", str(bed.config))
    assert (said.code, f"{NAME}  differs" in said.out) == (DIFFERS, True)
