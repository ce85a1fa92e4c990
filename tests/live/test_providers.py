"""Other people's DNS, real: BIND, Knot and PowerDNS by dynamic updates, PowerDNS by its API; nobody else's records are touched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rrset
import dns.update
import pytest

from core.hands.hand import HandError, Target
from core.hands.provider import rfc2136
from core.hands.provider.hand import Provider, provider
from core.hands.provider.plan import Wanted
from core.records import AppRecords, Record, RecordTable
from core.settings import Provider as Settings
from core.settings import tsig as keys
from tests.live.name_servers import new_key
from tests.live.primaries import API_KEY, Primary, primary
from tests.live.stand_ins import name_server

ZONE = "shop.test."
NAME = f"www.{ZONE}"
MARK = f"_pointsman.{NAME}"
pytestmark = pytest.mark.live


def target(serial: int, *clusters: int, of: tuple[int, ...] = (1, 2, 3), ttl: int = 5) -> Target:
    def places(n: int) -> tuple[str, ...]:
        return (f"192.0.2.{n}", f"2001:db8::{n}")

    app = AppRecords(NAME, ttl, tuple(Record(f"c{n}", places(n)) for n in clusters))
    gone = frozenset(place for n in set(of) - set(clusters) for place in places(n))
    return Target(RecordTable(serial, {NAME: app}), {NAME: gone})


@dataclass
class Bed:
    primary: Primary
    settings: dict[str, Any]
    key_file: Path

    def hand(self, **instead: Any) -> Provider:
        return provider(Settings(**{**self.settings, **instead}))

    def addresses(self, name: str = NAME, rtype: str = "A") -> set[str]:
        return {rdata.to_text() for rrset in self.primary.server.ask(name, rtype).answer for rdata in rrset}

    def update(self, *changes: tuple[Any, ...]) -> None:
        """Somebody else's change."""
        message = dns.update.UpdateMessage(ZONE)
        for verb, *rest in changes:
            getattr(message, verb)(*rest)
        message.use_tsig(keys.read(str(self.key_file)))
        answer = dns.query.tcp(message, "127.0.0.1", 20, self.primary.server.port)
        assert answer.rcode() == dns.rcode.NOERROR


@pytest.fixture(params=["bind", "knot", "powerdns", "powerdns-api"])
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bed]:
    key_file, key = new_key(tmp_path, "updates")
    with primary(tmp_path, request.param.removesuffix("-api"), ZONE, key) as found:
        settings = {"name": "theirs", "zone": ZONE, "server": f"127.0.0.1:{found.server.port}", "timeout": 10.0}
        if request.param.endswith("-api"):
            api_key = tmp_path / "api"
            api_key.write_text(API_KEY)
            settings |= {"kind": "powerdns", "url": found.api, "api_key_file": str(api_key)}
        else:
            settings |= {"tsig": str(key_file)}
        yield Bed(found, settings, key_file)


def carry_out(hand: Provider, *targets: Target) -> list[str]:
    async def all_of_them() -> list[str]:
        try:
            return [await hand.carry_out(each) for each in targets]
        finally:
            await hand.close()

    return asyncio.run(all_of_them())


def test_addresses_are_put_erased_and_restored_and_marked_as_ours(bed: Bed) -> None:
    hand = bed.hand()
    assert carry_out(hand, target(1, 1, 2, 3)) == ["1 names as decided, at 1 servers"]
    assert bed.addresses() == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
    assert bed.addresses(rtype="AAAA") == {"2001:db8::1", "2001:db8::2", "2001:db8::3"}
    assert bed.primary.server.ask(NAME).answer[0].ttl == 5
    carry_out(bed.hand(), target(2, 1, 3))
    assert bed.addresses() == {"192.0.2.1", "192.0.2.3"}
    assert bed.addresses(MARK, "TXT") == {
        '"heritage=pointsman,owner=pointsman,places=192.0.2.1/192.0.2.3/2001:db8::1/2001:db8::3"'
    }
    carry_out(bed.hand(), target(3, 1, 2, 3, ttl=1))
    assert bed.addresses() == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
    assert bed.primary.server.ask(NAME).answer[0].ttl == 1
    assert bed.addresses(f"mail.{ZONE}") == {"192.0.2.25"}


def test_what_others_put_there_is_never_deleted(bed: Bed) -> None:
    carry_out(bed.hand(), target(1, 1, 2, 3))
    bed.update(("add", NAME, 60, "A", "203.0.113.9"), ("add", MARK, 60, "TXT", '"a \\"note\\"" "of theirs"'))
    carry_out(bed.hand(), target(2, 1))
    assert '"a \\"note\\"" "of theirs"' in bed.addresses(MARK, "TXT")
    assert bed.addresses() == {"192.0.2.1", "203.0.113.9"}
    carry_out(bed.hand(), target(3, 1, 2, 3))
    assert bed.addresses() == {"192.0.2.1", "192.0.2.2", "192.0.2.3", "203.0.113.9"}


def test_a_name_that_somebody_else_filled_is_left_until_it_may_be_taken_over(bed: Bed) -> None:
    bed.update(*(("add", NAME, 60, "A", address) for address in ("192.0.2.1", "192.0.2.2", "203.0.113.9")))
    with pytest.raises(HandError, match="which pointsman has not put there"):
        carry_out(bed.hand(), target(1, 1))
    assert bed.addresses() == {"192.0.2.1", "192.0.2.2", "203.0.113.9"}
    carry_out(bed.hand(adopt=True), target(1, 1))
    assert bed.addresses() == {"192.0.2.1", "203.0.113.9"}
    with pytest.raises(HandError, match='belongs to the pointsman that calls itself "pointsman"'):
        carry_out(bed.hand(owner="another", adopt=True), target(1, 2))


def test_a_name_is_never_left_empty(bed: Bed) -> None:
    carry_out(bed.hand(), target(1, 1, 2))
    with pytest.raises(HandError, match="without an address"):
        carry_out(bed.hand(), target(2))
    assert bed.addresses() == {"192.0.2.1", "192.0.2.2"}


def test_a_change_that_somebody_made_meanwhile_is_not_overwritten(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out(bed.hand(), target(1, 1, 2))
    hand = bed.hand()
    apply = hand._backend.apply

    async def late(plan: Any) -> None:
        await asyncio.to_thread(bed.update, ("add", NAME, 60, "A", "203.0.113.9"))
        await apply(plan)

    monkeypatch.setattr(hand._backend, "apply", late)
    if isinstance(hand._backend, rfc2136.Rfc2136):  # the API has no prerequisites
        with pytest.raises(HandError, match="changed by somebody else meanwhile"):
            carry_out(hand, target(2, 1))
        assert bed.addresses() == {"192.0.2.1", "192.0.2.2", "203.0.113.9"}
    monkeypatch.undo()
    carry_out(bed.hand(), target(2, 1))
    assert "192.0.2.2" not in bed.addresses()


def test_the_plan_shows_what_is_there_what_should_be_and_what_differs(bed: Bed) -> None:
    carry_out(bed.hand(), target(1, 1, 2))
    bed.update(("delete", NAME, "A", "192.0.2.1"), ("add", NAME, 60, "A", "203.0.113.9"))

    async def planned() -> Any:
        hand = bed.hand()
        try:
            known = frozenset(("192.0.2.1", "192.0.2.2", "192.0.2.3"))
            return await hand.plan(Wanted(NAME, 5, frozenset(("192.0.2.1", "192.0.2.3")), known))
        finally:
            await hand.close()

    plan = asyncio.run(planned())
    assert plan.add == {"192.0.2.1", "192.0.2.3"}
    assert plan.remove == {"192.0.2.2", "2001:db8::1", "2001:db8::2"}
    assert plan.others == {"203.0.113.9"}
    assert bed.addresses() == {"192.0.2.2", "203.0.113.9"}


def test_a_secondary_that_has_the_address_still_is_named(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.hands.asking.until.__defaults__", (0.3,))

    def lags(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        if query.question[0].rdtype == 1:
            reply.answer.append(dns.rrset.from_text(NAME, 60, "IN", "A", "192.0.2.1", "192.0.2.2"))
        return reply

    async def attempt() -> None:
        async with name_server(lags) as port, name_server(lambda query: None) as mute:
            hand = bed.hand(secondaries=(f"127.0.0.1:{port}", f"127.0.0.1:{mute}"), timeout=1.0)
            try:
                with pytest.raises(HandError) as raised:
                    await hand.carry_out(target(2, 1))
            finally:
                await hand.close()
            assert f"127.0.0.1:{port} still answers 192.0.2.2" in str(raised.value)
            assert f"127.0.0.1:{mute} does not answer" in str(raised.value)

    asyncio.run(attempt())
    assert bed.addresses() == {"192.0.2.1"}
