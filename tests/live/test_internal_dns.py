"""The internal DNS on real sockets, behind it our own DNS server: caches, erases when it is told, and outlives the loss of both."""

from __future__ import annotations

import asyncio
import time
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

from core.settings import tsig as keys
from dnsserver.server import DnsServer
from tests.live.internal_dns import NAME, addresses, ask, erased, external, hand, internal, key, order, table, until
from tests.live.name_servers import new_key
from tests.live.stand_ins import name_server

pytestmark = pytest.mark.live
__all__ = ["external", "key"]  # fixtures


async def test_it_answers_from_its_cache_and_asks_again_when_the_time_is_over(
    external: DnsServer, key: dns.tsig.Key
) -> None:
    async with internal(key, external.addresses[0][1], ttl_max=1) as dns_server:
        port = dns_server.ports[0]
        before = external.stats().queries
        for _ in range(20):
            assert await addresses(port) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
        assert external.stats().queries - before <= 3
        external.publish(table(2, 1))
        answer = await ask(port, "WwW.sHoP.test.", use_edns=0)
        assert answer.question[0].name.to_text() == "WwW.sHoP.test."
        assert answer.flags & dns.flags.RA
        assert answer.edns == 0
        await until(lambda: addresses(port), {"192.0.2.1"})
        assert (await ask(port, f"none.{NAME}")).rcode() == dns.rcode.NXDOMAIN


async def test_what_it_is_told_is_gone_at_once_though_those_behind_it_lag_and_comes_back_when_told(
    external: DnsServer, key: dns.tsig.Key
) -> None:
    async with internal(key, external.addresses[0][1], ttl_max=1) as dns_server:
        port = dns_server.ports[0]
        assert "192.0.2.2" in await addresses(port)
        told = hand(port, key)
        assert await told.carry_out(erased(5, 2)) == "answers without 192.0.2.2, 2001:db8::2"
        for _ in range(15):  # longer than its entries live: what it fetches anew holds the address, and is not believed
            assert await addresses(port) == {"192.0.2.1", "192.0.2.3"}
            await asyncio.sleep(0.1)
        assert await told.carry_out(erased(6)) == "nothing is erased"
        await until(lambda: addresses(port), {"192.0.2.1", "192.0.2.2", "192.0.2.3"})


async def test_an_order_needs_a_good_signature_a_fresh_time_and_a_serial_that_is_not_behind(
    external: DnsServer, key: dns.tsig.Key, tmp_path: Path
) -> None:
    async with internal(key, external.addresses[0][1]) as dns_server:
        port = dns_server.ports[0]
        everything = await addresses(port)

        async def send(message: dns.message.Message, by: dns.tsig.Key | None) -> str:
            if by:
                message.use_tsig(by)
            try:
                answer = await dns.asyncquery.udp(message, "127.0.0.1", 5, port)
            except dns.exception.DNSException as error:
                return type(error).__name__
            return dns.rcode.to_text(answer.rcode())

        other = keys.read(str(new_key(tmp_path, "other")[0]))
        forged = dns.tsig.Key(key.name, b"x" * 32, key.algorithm)
        assert await send(order(7, "192.0.2.2"), None) == "REFUSED"
        assert await send(order(7, "192.0.2.2"), other) == "PeerBadKey"
        assert await send(order(7, "192.0.2.2"), forged) == "PeerBadSignature"
        assert await addresses(port) == everything
        assert await send(order(7, "192.0.2.2"), key) == "NOERROR"
        assert await send(order(7, "192.0.2.2"), key) == "NOERROR"
        assert await send(order(6), key) == "REFUSED"
        nothing = dns.update.UpdateMessage(NAME)
        assert await send(nothing, key) == "FORMERR"
        strange = order(8)
        strange.add(NAME, 5, "A", "203.0.113.66")
        assert await send(strange, key) == "REFUSED"
        elsewhere = dns.update.UpdateMessage("elsewhere.test.")
        elsewhere.add("elsewhere.test.", 0, "SOA", "a. b. 1 0 0 0 0")
        assert await send(elsewhere, key) == "NOTAUTH"
        assert await addresses(port) == {"192.0.2.1", "192.0.2.3"}


async def test_an_old_order_that_is_played_again_is_refused(
    external: DnsServer, key: dns.tsig.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with internal(key, external.addresses[0][1], ttl_max=1) as dns_server:
        port = dns_server.ports[0]
        seen: list[bytes] = []
        answer = dns_server.answer

        def spy(packet: bytes, address: str, *, stream: bool) -> Any:
            seen.append(packet)
            return answer(packet, address, stream=stream)

        monkeypatch.setattr(dns_server, "answer", spy)
        told = hand(port, key)
        await told.carry_out(erased(5, 2))
        recorded = seen[0]
        await told.carry_out(erased(6))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(len(recorded).to_bytes(2) + recorded)
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        assert reply[3] & 15 == dns.rcode.REFUSED
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() - 1000)
        late = order(7, "192.0.2.2")
        late.use_tsig(key)
        packet = late.to_wire()
        monkeypatch.setattr(time, "time", now)
        writer.write(len(packet).to_bytes(2) + packet)
        reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        assert reply[3] & 15 == dns.rcode.NOTAUTH
        writer.close()
        await until(lambda: addresses(port), {"192.0.2.1", "192.0.2.2", "192.0.2.3"})


async def test_a_signed_notify_makes_it_ask_anew(external: DnsServer, key: dns.tsig.Key) -> None:
    async with internal(key, external.addresses[0][1]) as dns_server:
        port = dns_server.ports[0]
        await addresses(port)
        external.publish(table(2, 1))
        assert "192.0.2.2" in await addresses(port)
        notify = dns.message.make_query(NAME, "SOA", flags=dns.flags.AA)
        notify.set_opcode(dns.opcode.NOTIFY)
        notify.answer.append(dns.rrset.from_text(NAME, 0, "IN", "SOA", "a. b. 2 0 0 0 0"))
        notify.use_tsig(key)
        answer = await dns.asyncquery.udp(notify, "127.0.0.1", 5, port)
        assert (answer.rcode(), answer.had_tsig) == (dns.rcode.NOERROR, True)
        assert await addresses(port) == {"192.0.2.1"}


@pytest.mark.parametrize("stale", [True, False])
async def test_without_anybody_behind_it_answers_what_it_has_where_that_is_allowed(
    external: DnsServer, key: dns.tsig.Key, stale: bool
) -> None:
    settings = {"ttl_max": 1, "serve_stale": 60.0 if stale else 0.0}
    async with internal(key, 1, external.addresses[0][1], **settings) as dns_server:
        port = dns_server.ports[0]
        assert "192.0.2.2" in await addresses(port)  # the first of those behind it is dead already
        await hand(port, key).carry_out(erased(5, 3))
        external.stop()
        await asyncio.sleep(1.1)
        answer = await ask(port)
        assert answer.rcode() == (dns.rcode.NOERROR if stale else dns.rcode.SERVFAIL)
        if stale:
            assert {rdata.to_text() for rdata in answer.answer[0]} == {"192.0.2.1", "192.0.2.2"}
            await hand(port, key).carry_out(erased(6, 2, 3))
            assert await addresses(port) == {"192.0.2.1"}


async def test_other_names_are_forwarded_where_that_is_set_and_refused_else(
    external: DnsServer, key: dns.tsig.Key
) -> None:
    def other(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "203.0.113.9"))
        reply.answer.append(dns.rrset.from_text("victim.test.", 60, "IN", "A", "203.0.113.66"))
        return reply

    async with name_server(other) as port:
        async with internal(key, external.addresses[0][1]) as alone:
            assert (await ask(alone.ports[0], "elsewhere.test.")).rcode() == dns.rcode.REFUSED
        async with internal(key, external.addresses[0][1], forward=(f"127.0.0.1:{port}",)) as both:
            answer = await ask(both.ports[0], "elsewhere.test.")
            assert [rrset.name.to_text() for rrset in answer.answer] == [
                "elsewhere.test."
            ]  # what nobody asked for is not believed
        async with internal(key, external.addresses[0][1], allow=("192.0.2.0/24",)) as closed:
            assert (await ask(closed.ports[0])).rcode() == dns.rcode.REFUSED


async def test_many_who_ask_at_once_are_one_question_behind_it(key: dns.tsig.Key) -> None:
    asked = 0

    def slow(query: dns.message.Message) -> dns.message.Message:
        nonlocal asked
        asked += 1
        time.sleep(0.05)
        reply = dns.message.make_response(query)
        many = [f"192.0.2.{n}" for n in range(1, 101)]
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *many))
        return reply

    async with name_server(slow) as behind, internal(key, behind, timeout=3.0) as dns_server:
        port = dns_server.ports[0]
        answers = await asyncio.gather(*(ask(port, tcp=True) for _ in range(50)))
        assert {len(answer.answer[0]) for answer in answers} == {100}
        assert asked <= 2  # over UDP, and over TCP where that is truncated
        short = await ask(port)
        assert short.flags & dns.flags.TC
        assert not short.answer
