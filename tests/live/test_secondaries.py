"""Real name servers as secondaries of ours: they fetch the zone, follow each change, and never go back (spec S14, S33)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from core.hands.hand import Target
from core.hands.secondary import secondaries
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings, Zone
from dnsserver.server import DnsServer
from dnsserver.transfer import Transfers
from tests.live.name_servers import NameServer, Wanted, free_ports, new_key, running

ZONE = "shop.test."
STATIC = """\
$TTL 300
@ SOA ns1 hostmaster 1 3600 600 86400 5
@ NS ns1
ns1 A 192.0.2.53
@ MX 10 mail.elsewhere.test.
long TXT "%s"
*.wild TXT "wild"
sub NS ns.elsewhere.test.
""" % ("x" * 200)

pytestmark = pytest.mark.live


def table(serial: int, *clusters: int, ttl: int = 5, policy: str = "all") -> RecordTable:
    records = tuple(Record(f"c{number}", (f"192.0.2.{number}", f"2001:db8::{number}")) for number in clusters)
    return RecordTable(serial, {f"www.{ZONE}": AppRecords(f"www.{ZONE}", ttl, records, policy)})


def addresses(server: NameServer) -> set[str]:
    return {rdata.to_text() for rrset in server.ask(f"www.{ZONE}").answer for rdata in rrset}


@dataclass
class Bed:
    primary: DnsServer
    settings: Settings
    servers: list[NameServer]

    def publish(self, table: RecordTable) -> None:
        """As the engine does it: the table, then those who must be told."""
        self.primary.publish(table)
        hands = secondaries(self.settings)
        said = asyncio.run(_all([hand.carry_out(Target(table)) for hand in hands]))
        assert said == [f"serial {table.serial}"] * len(hands)


async def _all(jobs: list) -> list[str]:  # type: ignore[type-arg]
    return list(await asyncio.wait_for(asyncio.gather(*jobs), 30))


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    directory = tmp_path_factory.mktemp("secondaries")
    key_file, key = new_key(directory, "transfers")
    zone_file = directory / "zone"
    zone_file.write_text(STATIC)
    port, *ports = free_ports(5)
    settings = Settings(
        dns=Dns(listen=(f"127.0.0.1:{port}",)),
        zone=(
            Zone(
                name=ZONE,
                file=str(zone_file),
                tsig=str(key_file),
                transfer_to=tuple(f"127.0.0.1:{each}" for each in ports),
            ),
        ),
        app=(App(domain=f"www.{ZONE}", clusters=("c1", "c2", "c3")),),
    )
    deaths: list[BaseException] = []
    primary = DnsServer(settings, table(10, 1, 2, 3), deaths.append)
    primary.start()
    try:
        with running(directory, Wanted(ZONE, port, key), ports) as servers:
            yield Bed(primary, settings, servers)
    finally:
        primary.stop()
    assert deaths == []


def test_each_secondary_serves_the_whole_zone(bed: Bed) -> None:
    for server in bed.servers:
        assert addresses(server) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}, server.name
        assert server.ask(f"www.{ZONE}", "AAAA").answer[0].ttl == 5
        assert len(server.ask(f"any.wild.{ZONE}", "TXT").answer) == 1
        assert server.ask(f"x.sub.{ZONE}").authority[0].rdtype.name == "NS"
        assert server.ask(ZONE, "MX").answer[0][0].to_text() == "10 mail.elsewhere.test."


def test_an_erased_address_leaves_each_secondary_and_comes_back_by_ixfr(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    whole, incremental = Transfers._whole, Transfers._incremental

    def spy_whole(self, zone):  # type: ignore[no-untyped-def]
        asked.append("whole")
        return whole(self, zone)

    def spy_incremental(self, zone, serial):  # type: ignore[no-untyped-def]
        asked.append("incremental")
        return incremental(self, zone, serial)

    monkeypatch.setattr(Transfers, "_whole", spy_whole)
    monkeypatch.setattr(Transfers, "_incremental", spy_incremental)
    bed.publish(table(11, 1, 3))
    for server in bed.servers:
        assert addresses(server) == {"192.0.2.1", "192.0.2.3"}, server.name
    bed.publish(table(12, 1, 2, 3, ttl=1))
    for server in bed.servers:
        assert addresses(server) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}, server.name
        assert server.ask(f"www.{ZONE}").answer[0].ttl == 1
    assert asked.count("incremental") >= 8
    assert "whole" not in asked
