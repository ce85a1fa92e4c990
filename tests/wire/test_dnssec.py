"""Signed zones: every answer verifies with another's code, what is not there is denied compactly, erases cost no signature."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from core.errors import ConfigError
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings, Zone
from dnsserver.dnssec import keys
from dnsserver.dnssec.signer import NXNAME, REFRESH, VALIDITY, Signer, nsec
from dnsserver.server import DnsServer
from dnsserver.wireform import labels_of
from dnsserver.zone import load
from tests.wire.conftest import Serve
from tests.wire.helpers import eventually, tcp, udp

APEX = "example.test."
APP = f"app.{APEX}"


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("keys")
    paths = directory / "first", directory / "second"
    for path in paths:
        keys.generate(path, APEX)
    return paths


def settings(zone_file: Path, *paths: Path, **dns_keys: Any) -> Settings:
    apps = (App(domain=APP, clusters=("a", "b", "c")), App(domain=f"*.many.{APEX}", clusters=("a",)))
    section = Zone(name=APEX, file=str(zone_file), dnssec=tuple(map(str, paths)))
    return Settings(dns=Dns(listen=("127.0.0.1:0",), **dns_keys), zone=(section,), app=apps)


def table(serial: int, *numbers: int, ttl: int = 5) -> RecordTable:
    records = tuple(Record(f"c{n}", (f"198.51.100.{n}",)) for n in numbers)
    both = (Record("a", ("198.51.100.9", "2001:db8::9")),)
    return RecordTable(
        serial,
        {APP: AppRecords(APP, ttl, records), f"*.many.{APEX}": AppRecords(f"*.many.{APEX}", 5, both)},
    )


def verified(server: DnsServer, message: dns.message.Message) -> dict[tuple[str, str], dns.rrset.RRset]:
    """The sets of answer and authority by name and type, each with a signature that verifies; those without are left out."""
    found = tcp(server, APEX, "DNSKEY").answer[0]
    signed = {}
    for section in (message.answer, message.authority):
        for rrset in section:
            if rrset.rdtype != dns.rdatatype.RRSIG:
                rrsig = next(
                    (
                        s
                        for s in section
                        if s.rdtype == dns.rdatatype.RRSIG and s.name == rrset.name and s.covers == rrset.rdtype
                    ),
                    None,
                )
                if rrsig:
                    dns.dnssec.validate(rrset, rrsig, {dns.name.from_text(APEX): found})
                    signed[rrset.name.to_text().removesuffix(APEX).rstrip("."), rrset.rdtype.name] = rrset
    return signed


SIGNED = {
    ("app", "A"): {("app", "A")},
    ("app", "AAAA"): {("", "SOA"), ("app", "NSEC")},
    ("x.many", "AAAA"): {("x.many", "AAAA")},
    ("x.many", "TXT"): {("", "SOA"), ("x.many", "NSEC")},
    ("www", "A"): {("www", "CNAME"), ("app", "A")},
    ("", "SOA"): {("", "SOA")},
    ("", "NS"): {("", "NS")},
    ("", "DNSKEY"): {("", "DNSKEY")},
    ("", "CDS"): {("", "CDS")},
    ("", "CDNSKEY"): {("", "CDNSKEY")},
    ("", "MX"): {("", "MX")},
    ("b.ent", "A"): {("", "SOA"), ("b.ent", "NSEC")},
    ("nothing", "A"): {("", "SOA"), ("nothing", "NSEC")},
    ("gone", "A"): {("gone", "CNAME"), ("", "SOA"), ("nothing.here", "NSEC")},
    ("any.wild", "TXT"): {("any.wild", "TXT")},
    ("any.wild", "MX"): {("", "SOA"), ("any.wild", "NSEC")},
    ("*.wild", "TXT"): {("*.wild", "TXT")},
    ("x.old", "A"): {("old", "DNAME"), ("x.new", "A")},
    ("a.sub", "A"): {("sub", "DS")},
    ("sub", "DS"): {("sub", "DS")},
    ("a.sibling", "A"): {("sibling", "NSEC")},
    ("sibling", "DS"): {("", "SOA"), ("sibling", "NSEC")},
    ("web", "HTTPS"): {("web", "HTTPS")},
    ("odd", "TYPE65280"): {("odd", "TYPE65280")},
    ("app", "NSEC"): {("app", "NSEC")},
    ("nothing", "NSEC"): {("nothing", "NSEC")},
    ("app", "ANY"): {("app", "HINFO")},
}


@pytest.fixture
def server(serve: Serve, zone_file: Path, key_files: tuple[Path, Path]) -> DnsServer:
    return serve(settings(zone_file, key_files[0]), table(7, 1, 2))


@pytest.mark.parametrize(
    ("asked", "expected"), SIGNED.items(), ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_every_set_that_the_zone_vouches_for_is_signed(
    server: DnsServer, asked: tuple[str, str], expected: set[tuple[str, str]]
) -> None:
    name = f"{asked[0]}.{APEX}".lstrip(".")
    answer = tcp(server, name, asked[1], want_dnssec=True)
    assert answer.rcode() == dns.rcode.NOERROR
    assert set(verified(server, answer)) == expected


def types(rrset: dns.rrset.RRset) -> str:
    text: str = rrset[0].to_text().partition(" ")[2]
    return text.replace("TYPE128", "NXNAME")  # as older versions of dnspython have it


@pytest.mark.parametrize(
    ("name", "qtype", "present"),
    [
        ("app", "AAAA", "A RRSIG NSEC"),
        ("x.many", "MX", "A AAAA RRSIG NSEC"),
        ("nothing", "A", "RRSIG NSEC NXNAME"),
        ("b.ent", "A", "RRSIG NSEC"),
        ("sibling", "DS", "NS RRSIG NSEC"),
        ("", "AAAA", "NS SOA MX RRSIG NSEC DNSKEY CDS CDNSKEY"),
    ],
)
def test_a_denial_tells_what_the_name_has_and_nothing_of_others(
    server: DnsServer, name: str, qtype: str, present: str
) -> None:
    answer = udp(server, f"{name}.{APEX}".lstrip("."), qtype, want_dnssec=True, payload=1232)
    proof = verified(server, answer)[name, "NSEC"]
    assert types(proof) == present
    assert proof[0].next == dns.name.Name((b"\0", *proof.name.labels))


def test_a_name_that_does_not_exist_is_nxdomain_to_who_knows_nxname(server: DnsServer) -> None:
    """RFC 9824 sections 3.1 and 5: without the CO bit the rcode is NOERROR."""
    plain = udp(server, f"nothing.{APEX}")
    compact = udp(server, f"nothing.{APEX}", ednsflags=dns.flags.DO | 0x4000, payload=1232)
    assert plain.rcode() == dns.rcode.NXDOMAIN
    assert udp(server, f"nothing.{APEX}", want_dnssec=True, payload=1232).rcode() == dns.rcode.NOERROR
    assert (compact.rcode(), compact.ednsflags & 0x4000) == (dns.rcode.NXDOMAIN, 0x4000)
    assert udp(server, f"nothing.{APEX}", f"TYPE{NXNAME}").rcode() == dns.rcode.FORMERR


def test_without_the_do_bit_nothing_of_dnssec_is_added(server: DnsServer) -> None:
    for qtype in ("A", "AAAA", "TXT"):
        answer = udp(server, APP, qtype)
        assert {rrset.rdtype.name for rrset in (*answer.answer, *answer.authority)} <= {"A", "SOA"}
    assert tcp(server, f"a.sub.{APEX}").authority[0].rdtype != dns.rdatatype.DS


def test_every_key_is_published_and_signs_the_keys_and_the_first_signs_the_rest(
    serve: Serve, zone_file: Path, key_files: tuple[Path, Path]
) -> None:
    server = serve(settings(zone_file, *key_files), table(7, 1))
    tags = [keys.load(str(path)).tag for path in key_files]
    for qtype, signers in (("DNSKEY", tags), ("CDS", tags), ("CDNSKEY", tags), ("SOA", tags[:1])):
        rrset, rrsigs = tcp(server, APEX, qtype, want_dnssec=True).answer
        assert len(rrset) == (1 if qtype == "SOA" else 2)
        assert sorted(rrsig.key_tag for rrsig in rrsigs) == sorted(signers)


def test_the_ds_is_that_of_the_published_key(server: DnsServer, key_files: tuple[Path, Path]) -> None:
    (dnskey,) = tcp(server, APEX, "DNSKEY").answer[0]
    theirs = dns.dnssec.make_ds(APEX, dnskey, "SHA256")
    ours = keys.load(str(key_files[0])).ds_text(labels_of(APEX))
    assert ours.split(" DS ")[1].lower() == theirs.to_text()
    (cds,) = tcp(server, APEX, "CDS").answer[0]
    assert cds.to_text() == theirs.to_text()
    assert dns.dnssec.key_id(dnskey) == keys.load(str(key_files[0])).tag


def test_an_erase_costs_no_signature_where_it_is_answered(
    serve: Serve, zone_file: Path, key_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(settings(zone_file, key_files[0]), table(7, 1, 2, 3))
    eventually(lambda: server._ahead.idle)
    signed: list[tuple[str, int]] = []
    sign = Signer._sign

    def spy(self: Signer, key: keys.Key, covered: Any, now: float) -> bytes:
        signed.append((threading.current_thread().name, covered[1]))
        return sign(self, key, covered, now)

    monkeypatch.setattr(Signer, "_sign", spy)
    for serial, left in ((8, (1, 3)), (9, (3,)), (10, (1, 2, 3))):
        server.publish(table(serial, *left))
        for _ in range(3):
            answer = udp(server, APP, want_dnssec=True, payload=1232)
            assert {rdata.to_text() for rdata in answer.answer[0]} == {f"198.51.100.{n}" for n in left}
            assert (APP.removesuffix("." + APEX), "A") in verified(server, answer)
        eventually(lambda: server._ahead.idle)
    assert [each for each in signed if each[0] != "dns-signer"] == []
    assert signed


def test_signatures_are_made_anew_long_before_they_end() -> None:
    now = [1_000_000.0]
    key = keys.Key(ec.generate_private_key(ec.SECP256R1()))
    signer = Signer(labels_of(APEX), (key,), lambda: now[0])
    covered = labels_of(APP), 1, 5, (b"\xc0\x00\x02\x01",)
    first = signer.signatures(*covered)
    now[0] += VALIDITY - REFRESH
    assert signer.signatures(*covered) is first
    now[0] += 1
    again = signer.signatures(*covered)
    assert again != first
    rdata: Any = dns.rdata.from_wire("IN", "RRSIG", again[0], 0, len(again[0]))
    assert (rdata.inception < now[0], rdata.expiration) == (True, int(now[0]) + VALIDITY)


def test_what_is_built_again_has_fresh_signatures(serve: Serve, zone_file: Path, key_files: tuple[Path, Path]) -> None:
    server = serve(settings(zone_file, key_files[0]), table(7, 1))
    clock = [0.0]
    for zone in server._generation.zones.values():
        if zone.signer:
            zone.signer._clock = lambda: 2e9 + clock[0]

    def expiration() -> int:
        rrsigs: Any = tcp(server, APEX, "SOA", want_dnssec=True).answer[1]
        return int(rrsigs[0].expiration)

    before = expiration()
    clock[0] += VALIDITY
    assert expiration() == before  # the built answer
    server.refresh()
    assert expiration() > before


@pytest.mark.parametrize(
    ("name", "successor"),
    [
        ((b"a",), (b"\0", b"a")),
        ((b"*", b"a"), (b"\0", b"*", b"a")),
        ((b"x" * 62, *(b"y" * 62,) * 2, b"z" * 61), (b"\0", b"x" * 62, *(b"y" * 62,) * 2, b"z" * 61)),
        ((b"x" * 61, *(b"y" * 63,) * 3), (b"x" * 60 + b"y", *(b"y" * 63,) * 3)),
        ((b"x" * 62, *(b"y" * 62,) * 2, b"z" * 63), (b"x" * 62 + b"\0", *(b"y" * 62,) * 2, b"z" * 63)),
    ],
)
def test_the_next_name_is_legal_and_the_nearest(name: tuple[bytes, ...], successor: tuple[bytes, ...]) -> None:
    data = nsec(name, (1,))
    after = dns.name.from_wire(data, 0)[0]
    assert len(after.to_wire() or b"") <= 255
    assert after.labels[:-1] == successor
    assert after > dns.name.Name((*name, b""))


@pytest.mark.parametrize(
    "record",
    ["x RRSIG A 13 3 5 20300101000000 20200101000000 1 example.test. AAAA", "@ DNSKEY 257 3 13 AAAA", "x NSEC y A"],
)
def test_a_zone_that_we_sign_cannot_bring_signatures(tmp_path: Path, key_files: tuple[Path, Path], record: str) -> None:
    path = tmp_path / "zone"
    path.write_text(f"$TTL 60\n{record}\n")
    with pytest.raises(ConfigError, match=r"zone:2: .*the zone is signed here"):
        load(settings(path, key_files[0]))


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path, zone_file: Path) -> None:
    path = tmp_path / "key"
    for content, reason in ((None, "No such file"), (b"nonsense", "not a private key in PEM")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=reason) as caught:
            load(settings(zone_file, path))
        assert str(path) in str(caught.value)
