"""The internal DNS among hostile packets, floods, servers that fail, and orders at the worst moment."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path

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

from core.hands.hand import HandError
from dnsserver.internal import server as module
from dnsserver.internal.cache import place_of
from dnsserver.server import DnsServer
from dnsserver.wireform import labels_of
from tests.live.internal_dns import NAME, addresses, erased, external, hand, internal, key, order
from tests.live.name_servers import free_ports, new_key
from tests.live.stand_ins import name_server

pytestmark = pytest.mark.live
__all__ = ["external", "key"]  # fixtures


async def test_an_order_that_comes_while_an_answer_is_under_way_holds_for_that_answer_too(
    external: DnsServer, key: dns.tsig.Key
) -> None:
    async with internal(key, external.addresses[0][1]) as dns_server:
        resolver = dns_server.resolver
        query = dns.message.make_query(NAME, "A")
        found = resolver.answer(query.to_wire(), trusted=True, stream=False)
        assert isinstance(found, Coroutine)
        answering = asyncio.ensure_future(found)
        await asyncio.sleep(0)
        [fetching] = resolver._asking.values()

        def order(_: object) -> None:  # after the answer has come, and before whoever waits for it goes on
            resolver.cache.erase(labels_of(NAME), frozenset({place_of("192.0.2.2")}), 7, time.monotonic())

        fetching.add_done_callback(order)
        reply = dns.message.from_wire(await answering)
    assert {rdata.to_text() for rdata in reply.answer[0]} == {"192.0.2.1", "192.0.2.3"}


async def test_more_who_wait_than_there_is_room_for_are_not_answered(
    key: dns.tsig.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAITING", 3)
    async with name_server(lambda query: None) as mute, internal(key, mute, timeout=0.5) as dns_server:
        asked = (
            dns.asyncquery.udp(dns.message.make_query(f"n{n}.{NAME}", "A"), "127.0.0.1", 3, dns_server.ports[0])
            for n in range(8)
        )
        replies = await asyncio.gather(*asked, return_exceptions=True)
    rcodes = [reply.rcode() for reply in replies if isinstance(reply, dns.message.Message)]
    assert rcodes == [dns.rcode.SERVFAIL] * 3


async def test_hostile_packets_cost_nothing_but_an_answer(
    external: DnsServer, key: dns.tsig.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    defects: list[str] = []
    monkeypatch.setattr(module._log, "exception", defects.append)
    chance = random.Random(7)
    signed = order(9, "192.0.2.2")
    signed.use_tsig(key)
    seeds = [dns.message.make_query(NAME, "A", use_edns=0).to_wire(), signed.to_wire(), order(9).to_wire()]
    async with internal(key, external.addresses[0][1]) as dns_server:
        for _ in range(6000):
            packet = bytearray(chance.choice(seeds))
            for _ in range(chance.randint(0, 6)):
                packet[chance.randrange(len(packet))] = chance.randrange(256)
            packet = packet[: chance.randint(0, len(packet))] if chance.random() < 0.3 else packet
            packet[:2] = b"\0\0" if len(packet) > 1 else b""
            found = dns_server.answer(bytes(packet), "127.0.0.1", stream=False)
            if isinstance(found, bytes | None):
                assert found is None or found[2] & 0x80
            else:
                assert (await dns_server.settled(bytes(packet), found))[2] & 0x80
        assert defects == []
        assert len(await addresses(dns_server.ports[0])) >= 2


async def test_a_hand_says_who_is_down_slow_unsigned_or_lies(
    key: dns.tsig.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.hands.internal_dns._TELL_AGAIN", (0.05, 0.05))

    def lies(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        if query.opcode() == dns.opcode.QUERY and query.question[0].rdtype == 1:
            reply.answer.append(dns.rrset.from_text(NAME, 60, "IN", "A", "192.0.2.1", "192.0.2.2"))
        return reply

    def unsigned(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.tsig = None
        return reply

    forged = dns.tsig.Key(key.name, b"x" * 32, key.algorithm)
    async with (
        name_server(lies, key) as liar,
        name_server(lambda query: None, key) as mute,
        name_server(unsigned, key) as loose,
        internal(forged) as stranger,
    ):
        cases = {
            liar: "still answers 192.0.2.2 for www.shop.test",
            mute: "was not answered by",
            loose: "requires a TSIG",
            stranger.ports[0]: "was refused by .*BADSIG|was refused by .*signature",
            1: "was not answered by",
        }
        for port, said in cases.items():
            with pytest.raises(HandError, match=said):
                await hand(port, key).carry_out(erased(5, 2))


def test_the_command_serves_until_it_is_told_to_end_and_says_what_is_wrong(tmp_path: Path) -> None:
    key_file, _ = new_key(tmp_path, "orders")
    port = free_ports(1)[0]
    command = [
        sys.executable,
        "-m",
        "core.cli",
        "internal-dns",
        "--listen",
        f"127.0.0.1:{port}",
        "--tsig",
        str(key_file),
    ]
    more = ["--domain", "shop.test", "--upstream", "127.0.0.1:1"]
    config = tmp_path / "config.toml"
    config.write_text("")
    environment = {**os.environ, "POINTSMAN_CONFIG": str(config)}
    with subprocess.Popen(
        [*command, *more], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        answer = dns.query.udp(dns.message.make_query(NAME, "A"), "127.0.0.1", 20, port)
        assert answer.rcode() == dns.rcode.SERVFAIL
        busy = subprocess.run(
            [*command, *more], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (busy.returncode, "resolver.listen" in busy.stderr) == (1, True)
        process.terminate()
        assert process.wait(20) == 0
    nobody = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (nobody.returncode, "upstream" in nobody.stderr) == (2, True)
