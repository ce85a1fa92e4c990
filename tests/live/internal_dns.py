"""What the tests of the internal DNS share: it on real sockets, behind it our own DNS server, and how it is asked and told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rrset
import dns.tsig
import dns.update
import pytest

from core.hands.asking import Server
from core.hands.hand import Target
from core.hands.internal_dns import InternalDns
from core.hands.tellers import Orders
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Resolver, Settings
from core.settings import tsig as keys
from dnsserver.internal.server import InternalServer
from dnsserver.server import DnsServer
from dnsserver.tsig import Keyring
from tests.live.name_servers import new_key

NAME = "www.shop.test."


def table(serial: int, *clusters: int, ttl: int = 5) -> RecordTable:
    records = tuple(Record(f"c{number}", (f"192.0.2.{number}", f"2001:db8::{number}")) for number in clusters)
    return RecordTable(serial, {NAME: AppRecords(NAME, ttl, records)})


def erased(serial: int, *gone: int) -> Target:
    places = frozenset(place for n in gone for place in (f"192.0.2.{n}", f"2001:db8::{n}"))
    return Target(table(serial, *({1, 2, 3} - set(gone))), {NAME: places})


@pytest.fixture
def external() -> Iterator[DnsServer]:
    settings = Settings(dns=Dns(listen=("127.0.0.1:0",)), app=(App(domain=NAME, clusters=("c1", "c2", "c3")),))
    found = DnsServer(settings, table(1, 1, 2, 3), lambda error: None)
    found.start()
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def key(tmp_path: Path) -> dns.tsig.Key:
    return keys.read(str(new_key(tmp_path, "orders")[0]))


@asynccontextmanager
async def internal(key: dns.tsig.Key, *upstream: int, **settings: Any) -> AsyncIterator[InternalServer]:
    resolver = Resolver(
        **{
            "listen": ("127.0.0.1:0",),
            "domains": ("shop.test.",),
            "upstream": tuple(f"127.0.0.1:{port}" for port in upstream),
            "timeout": 0.3,
            **settings,
        }
    )
    async with InternalServer(Settings(resolver=resolver), Keyring((key,))) as found:
        yield found


async def ask(port: int, name: str = NAME, rtype: str = "A", *, tcp: bool = False, **query: Any) -> dns.message.Message:
    how = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await how(dns.message.make_query(name, rtype, **query), "127.0.0.1", 5, port)


async def addresses(port: int) -> set[str]:
    answer = await ask(port)
    return {rdata.to_text() for rrset in answer.answer for rdata in rrset}


def hand(port: int, key: dns.tsig.Key | None) -> InternalDns:
    server = Server("127.0.0.1", port, 1.0)
    return InternalDns("dns", "tokyo", server, (), Orders(server, key))


def order(serial: int, *places: str) -> dns.update.UpdateMessage:
    found = dns.update.UpdateMessage(NAME)
    found.add(NAME, 0, "SOA", f"pointsman. pointsman. {serial} 0 0 0 0")
    for place in places:
        found.delete(NAME, "A", place)
    return found


async def until(what: Callable[[], Any], wanted: object) -> None:
    async with asyncio.timeout(10):
        while await what() != wanted:
            await asyncio.sleep(0.02)
