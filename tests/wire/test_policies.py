"""The policies as clients meet them: shares over ten thousand answers, and names instead of addresses."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path

import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from core.errors import ConfigError
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Cluster, Dns, Settings, Zone
from dnsserver.dnssec import keys
from dnsserver.server import DnsServer
from dnsserver.zone import load
from tests.wire.conftest import Serve
from tests.wire.helpers import data, tcp, udp, udp_socket

APP = "app.example.test."
ANSWERS = 10_000
_AT_ONCE = 50


def settings(zone_file: Path | None = None, *clusters: Cluster, **zone: object) -> Settings:
    section = Zone(name="example.test.", file=str(zone_file or ""), **zone)
    app = App(domain=APP, clusters=tuple(c.name for c in clusters) or ("a", "b", "c", "d"), policy="weighted")
    return Settings(dns=Dns(listen=("127.0.0.1:0",)), zone=(section,), app=(app,), cluster=clusters)


def table(policy: str, *records: Record, fail_open: bool = False) -> RecordTable:
    return RecordTable(7, {APP: AppRecords(APP, 5, records, policy, fail_open)})


def at(number: int, share: int = 100, weight: int = 100) -> Record:
    return Record("abcd"[number - 1], (f"198.51.100.{number}",), share, weight)


def named(cluster: str, share: int = 100, weight: int = 100) -> Record:
    return Record(cluster, (), share, weight, f"lb.{cluster}.example.net.")


def shares(server: DnsServer, questions: int = 1) -> Counter[str]:
    """How often each address, or name, was answered first; ``questions`` in different spellings take turns."""
    packets = []
    for number in range(questions):
        name = "".join(c.upper() if number >> i & 1 else c for i, c in enumerate(APP))
        packets.append(dns.message.make_query(name, "A", payload=1232 + number).to_wire())
    found: Counter[str] = Counter()
    with udp_socket(server) as sock:
        for start in range(0, ANSWERS, _AT_ONCE):
            for number in range(start, start + _AT_ONCE):
                sock.send(packets[number % questions])
            for _ in range(_AT_ONCE):
                found[_first(sock.recv(4096))] += 1
    return found


def _first(packet: bytes) -> str:
    """The last octets of the first record's data: quicker than reading 10,000 messages whole."""
    at = packet.index(b"\xc0\x0c", 12)
    rtype, size = int.from_bytes(packet[at + 2 : at + 4]), int.from_bytes(packet[at + 10 : at + 12])
    content = packet[at + 12 : at + 12 + size]
    return socket.inet_ntoa(content) if rtype == dns.rdatatype.A else content[4:5].decode()


def test_weights_are_the_shares_of_answers_also_when_questions_differ(serve: Serve) -> None:
    weights = {1: 70, 2: 20, 3: 10, 4: 0}
    server = serve(settings(), table("weighted", *(at(n, weight=weight) for n, weight in weights.items())))
    found = shares(server, questions=8)
    for number, weight in weights.items():
        assert abs(found[f"198.51.100.{number}"] / ANSWERS - weight / 100) < 0.01
    assert "198.51.100.4" not in found


def test_a_weighted_cluster_that_is_ramped_up_has_that_part_of_its_weight(serve: Serve) -> None:
    server = serve(settings(), table("weighted", at(1, weight=60), at(2, weight=40, share=25)))
    assert abs(shares(server)["198.51.100.2"] / ANSWERS - 10 / 70) < 0.01


# --- names instead of addresses ---------------------------------------------------------------------------------------


def test_a_host_name_is_answered_as_a_cname_alone(serve: Serve) -> None:
    server = serve(settings(), table("failover", named("a"), at(2)))
    for qtype in ("A", "AAAA", "TXT", "MX", "CNAME", "ANY"):
        answer = tcp(server, APP, qtype)
        assert answer.rcode() == dns.rcode.NOERROR
        assert [line.to_text() for line in answer.answer] == [f"{APP} 5 IN CNAME lb.a.example.net."]
        assert answer.authority == []


def test_where_an_address_comes_first_the_name_is_not_told(serve: Serve) -> None:
    server = serve(settings(), table("failover", at(1), named("b")))
    assert data(udp(server, APP)) == ["198.51.100.1"]
    for qtype in ("AAAA", "TXT", "CNAME"):
        answer = udp(server, APP, qtype)
        assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
        assert answer.authority[0].rdtype == dns.rdatatype.SOA


def test_names_and_addresses_share_by_weight(serve: Serve) -> None:
    server = serve(settings(), table("weighted", at(1, weight=30), named("b", weight=70)))
    found = shares(server)
    assert abs(found["198.51.100.1"] / ANSWERS - 0.3) < 0.01
    assert found["198.51.100.1"] + found["b"] == ANSWERS


def test_a_name_leaves_the_answers_like_an_address(serve: Serve) -> None:
    server = serve(settings(), table("weighted", named("a"), named("b")))
    server.publish(RecordTable(8, table("weighted", named("b")).apps))
    assert shares(server) == {"b": ANSWERS}


def test_a_cname_of_a_signed_zone_is_signed(serve: Serve, tmp_path: Path) -> None:
    keys.generate(tmp_path / "key", "example.test.")
    server = serve(settings(dnssec=(str(tmp_path / "key"),)), table("failover", named("a")))
    for qtype in ("A", "MX"):
        answer = tcp(server, APP, qtype, want_dnssec=True).answer
        assert [rrset.rdtype.name for rrset in answer] == ["CNAME", "RRSIG"]
    proof = tcp(server, APP, "NSEC", want_dnssec=True).answer[0]
    assert proof[0].to_text().partition(" ")[2] == "CNAME RRSIG NSEC"


def test_nothing_else_can_stand_in_the_file_where_a_name_may_be_answered(tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text("$TTL 60\n\napp TXT hello\n")
    clusters = Cluster(name="a", addresses=("192.0.2.1",)), Cluster(name="b", hostname="lb.example.net.")
    load(settings(path, clusters[0]))
    with pytest.raises(ConfigError, match=r"zone:3: app\.example\.test\. TXT: .* a CNAME stands alone"):
        load(settings(path, *clusters))
