"""Zones by the dice, signed: whatever is asked, everything that is answered verifies, and everything that is not there is denied.

``POINTSMAN_QUESTIONS=5000 POINTSMAN_SEED=7`` asks more, and of other zones.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from core.records import RecordTable
from core.settings import Dns, Settings, Zone
from dnsserver.dnssec import keys
from dnsserver.respond import Responder
from dnsserver.zone import load
from tests.wire.generated import Generated

SEED = int(os.environ.get("POINTSMAN_SEED", "1"))
QUESTIONS = int(os.environ.get("POINTSMAN_QUESTIONS", "250"))
ORIGINS = ("z0.test.", "nested.z0.test.", "z1.test.")
NS, CNAME, DNAME, DS, SOA, RRSIG, NSEC, ANY = (
    dns.rdatatype.from_text(text) for text in ("NS", "CNAME", "DNAME", "DS", "SOA", "RRSIG", "NSEC", "ANY")
)

Ask = Callable[[str, str], dns.message.Message]
Keys = dict[dns.name.Name, dns.rrset.RRset]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ask, Keys, dict[str, Generated]]:
    """What answers, the keys of the zones, and what they were made from."""
    directory = tmp_path_factory.mktemp("signed")
    zones, generated = [], {}
    for origin in ORIGINS:
        generated[origin] = Generated(origin, SEED, [other for other in ORIGINS if other != origin])
        (directory / origin).write_text(generated[origin].text)
        keys.generate(directory / f"{origin}key", origin)
        zones.append(Zone(name=origin, file=str(directory / origin), dnssec=(str(directory / f"{origin}key"),)))
    config = Settings(dns=Dns(), zone=tuple(zones))
    responder = Responder(load(config), RecordTable(1, {}), config.dns, stream=True)

    def ask(name: str, qtype: str) -> dns.message.Message:
        query = dns.message.make_query(name, qtype, want_dnssec=True, payload=4096)
        return dns.message.from_wire(responder.respond(query.to_wire(), 0).message)

    found = {dns.name.from_text(origin): ask(origin, "DNSKEY").answer[0] for origin in ORIGINS}
    return ask, found, generated


def unverified(section: list[dns.rrset.RRset], known: Keys) -> list[dns.rrset.RRset]:
    """The sets of a section that no signature beside them vouches for."""
    signatures = {(rrset.name, rrset.covers): rrset for rrset in section if rrset.rdtype == RRSIG}
    bare = []
    for rrset in section:
        if rrset.rdtype == RRSIG:
            continue
        signed = signatures.get((rrset.name, rrset.rdtype))
        if signed is None:
            bare.append(rrset)
        else:
            dns.dnssec.validate(rrset, signed, known)  # type: ignore[arg-type] # one key set for each zone
    return bare


def denied(response: dns.message.Message, name: dns.name.Name, rdtype: int) -> bool:
    """Whether an NSEC at the name says that it has no such type (RFC 9824)."""
    for rrset in response.authority:
        if rrset.rdtype == NSEC and rrset.name == name:
            types = {
                (window << 8) + at * 8 + bit
                for window, bits in rrset[0].windows
                for at, octet in enumerate(bits)
                for bit in range(8)
                if octet & 0x80 >> bit
            }
            return rdtype not in types
    return False


@pytest.mark.parametrize("origin", ORIGINS)
def test_every_answer_verifies_and_every_absence_is_denied(
    origin: str, world: tuple[Ask, Keys, dict[str, Generated]]
) -> None:
    ask, known, generated = world
    seen = set()
    for name, kind in generated[origin].questions(QUESTIONS):
        response = ask(name, kind)
        where = f"{name} {kind}\n{response}"
        dnames = [rrset.name for rrset in response.answer if rrset.rdtype == DNAME]
        for rrset in unverified(response.answer, known):
            made = rrset.rdtype == CNAME and any(rrset.name.is_subdomain(above) for above in dnames)
            assert made, f"not signed: {rrset} in {where}"
        referral = not any(rrset.rdtype == SOA for rrset in response.authority) and bool(response.authority)
        for rrset in unverified(response.authority, known):
            assert rrset.rdtype == NS and referral, f"not signed: {rrset} in {where}"
            cut = rrset.name
            signed = any(each.rdtype == DS and each.name == cut for each in response.authority)
            assert signed != denied(response, cut, DS), where
            seen.add("signed cut" if signed else "unsigned cut")
        if response.rcode() == dns.rcode.NOERROR and any(rrset.rdtype == SOA for rrset in response.authority):
            end = dns.name.from_text(name)
            leads = {rrset.name: rrset[0].target for rrset in response.answer if rrset.rdtype == CNAME}
            while end in leads:
                end = leads.pop(end)
            assert denied(response, end, dns.rdatatype.from_text(kind)), where
            seen.add("denial")
        seen |= {dns.rdatatype.to_text(rrset.rdtype) for rrset in response.answer}
    assert {"denial", "CNAME", "DNAME", "RRSIG"} <= seen
