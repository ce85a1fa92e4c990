"""Real unbound, BIND and Knot Resolver as internal DNS: flushed when an address is erased, and asked until it is gone (spec S17)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.hands.hand import Hand, HandError, Target
from core.hands.internal_dns import internal
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, InternalDns, Settings
from dnsserver.server import DnsServer
from tests.live.caching_servers import KINDS, Cache, caching

NAME = "www.shop.test."
pytestmark = pytest.mark.live


def table(serial: int, *clusters: int, ttl: int) -> RecordTable:
    return RecordTable(
        serial, {NAME: AppRecords(NAME, ttl, tuple(Record(f"c{n}", (f"192.0.2.{n}",)) for n in clusters))}
    )


def erased(serial: int) -> Target:
    return Target(table(serial, 1, ttl=300), {NAME: frozenset({"192.0.2.2"})})


@pytest.fixture
def external() -> Iterator[DnsServer]:
    settings = Settings(dns=Dns(listen=("127.0.0.1:0",)), app=(App(domain=NAME, clusters=("c1", "c2")),))
    found = DnsServer(settings, table(1, 1, 2, ttl=300), lambda error: None)
    found.start()
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(params=sorted(KINDS))
def cache(request: pytest.FixtureRequest, external: DnsServer, tmp_path: Path) -> Iterator[Cache]:
    with caching(tmp_path, request.param, NAME, external.addresses[0][1]) as found:
        yield found


def hand(cache: Cache, **instead: object) -> Hand:
    settings = InternalDns(
        **{"name": "dns", "address": f"127.0.0.1:{cache.server.port}", "timeout": 10.0, **cache.settings, **instead}
    )
    (found,) = internal(Settings(internal_dns=(settings,)))
    return found


def test_a_flushed_cache_answers_without_the_address_also_after_the_ttl(cache: Cache, external: DnsServer) -> None:
    assert cache.addresses(NAME) == {"192.0.2.1", "192.0.2.2"}
    external.publish(table(2, 1, ttl=1))
    assert cache.addresses(NAME) == {"192.0.2.1", "192.0.2.2"}  # what it has is good for five minutes
    assert asyncio.run(hand(cache).carry_out(erased(2))) == "answers without 192.0.2.2"
    for _ in range(8):
        assert cache.addresses(NAME) == {"192.0.2.1"}
        asyncio.run(asyncio.sleep(0.25))


def test_one_that_fetches_the_address_anew_has_not_confirmed_and_is_told_again(
    cache: Cache, external: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.hands.internal_dns._TELL_AGAIN", (0.05, 0.05))
    cache.addresses(NAME)
    told = hand(cache)
    with pytest.raises(HandError, match=r"still answers 192\.0\.2\.2 for www\.shop\.test\."):
        asyncio.run(told.carry_out(erased(2)))
    external.publish(table(2, 1, ttl=300))
    assert asyncio.run(told.carry_out(erased(2))) == "answers without 192.0.2.2"


def test_a_control_program_that_fails_hangs_or_lies_is_told_as_such(
    external: DnsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.hands.internal_dns._TELL_AGAIN", (0.05, 0.05))
    with caching(tmp_path, "unbound", NAME, external.addresses[0][1]) as cache:
        cache.addresses(NAME)
        hangs = (sys.executable, "-c", "import time; time.sleep(60)")
        fails = (sys.executable, "-c", "print('error: no such thing'); raise SystemExit(3)")
        cases: list[tuple[dict[str, object], str]] = [
            ({"command": (str(tmp_path / "none"),)}, "No such file"),
            ({"command": fails}, "error: no such thing"),
            ({"command": hangs, "timeout": 0.3}, "has not ended after 0.3 s"),
            ({"command": ("true",)}, "still answers"),
            ({"kind": "knot-resolver", "sockets": (str(tmp_path / "none"),)}, "No such file"),
        ]
        for instead, said in cases:
            with pytest.raises(HandError, match=said):
                asyncio.run(hand(cache, **instead).carry_out(erased(2)))


def test_a_name_reaches_a_program_as_one_plain_argument(external: DnsServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    writes = (sys.executable, "-c", "import sys; open(sys.argv[1], 'a').write(repr(sys.argv[2:]) + '\\n')", str(out))
    with caching(tmp_path, "unbound", NAME, external.addresses[0][1]) as cache:
        told = hand(cache, command=writes)
        for name in (f"none.{NAME}", f"*.none.{NAME}"):
            asyncio.run(told.carry_out(Target(RecordTable(2), {name: frozenset({"192.0.2.2"})})))
        with pytest.raises(HandError, match="cannot be named to a program"):
            asyncio.run(told.carry_out(Target(RecordTable(2), {"a;reboot.test.": frozenset({"192.0.2.2"})})))
    assert out.read_text() == f"['flush', 'none.{NAME}']\n['flush_zone', 'none.{NAME}']\n"
