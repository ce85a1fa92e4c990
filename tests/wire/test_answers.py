"""What is answered, seen from outside through real sockets: RFC 1034, 2308, 4592, 6672, 8482, 9471."""

from __future__ import annotations

from collections.abc import Callable

import dns.message
import dns.rcode
import pytest

from core.records import Record, RecordTable
from dnsserver.server import DnsServer
from tests.wire.conftest import Serve
from tests.wire.helpers import authoritative, data, dig, lines, table, tcp, udp

pytestmark = pytest.mark.live

Ask = Callable[[DnsServer, str], dns.message.Message]
SOA = "example.test. 60 IN SOA ns1.example.test. hostmaster.example.test. 7 7200 900 86400 60"


@pytest.mark.parametrize("ask", [udp, tcp])
def test_an_app_answers_the_addresses_of_its_records(server: DnsServer, ask: Ask) -> None:
    answer = ask(server, "svc1.net")
    assert authoritative(answer)
    assert sorted(data(answer)) == ["198.51.100.1", "198.51.100.2", "198.51.100.3"]
    assert answer.answer[0].ttl == 5


def test_an_app_answers_its_ipv6_addresses_to_aaaa(server: DnsServer) -> None:
    assert sorted(data(udp(server, "svc1.net", "AAAA"))) == ["2001:db8::1", "2001:db8::2", "2001:db8::3"]


def test_an_app_without_ipv6_is_nodata_with_soa(server: DnsServer) -> None:
    answer = udp(server, "app.example.test", "AAAA")
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.answer == []
    assert lines(answer.authority) == [SOA]


def test_an_app_that_the_table_lacks_is_servfail_not_nxdomain(serve: Serve) -> None:
    server = serve(records=RecordTable(1, {}))
    assert udp(server, "svc1.net").rcode() == dns.rcode.SERVFAIL


def test_an_app_in_no_zone_has_a_zone_of_its_own(server: DnsServer) -> None:
    soa = udp(server, "svc1.net", "SOA")
    assert lines(soa.answer) == ["svc1.net. 300 IN SOA ns1.svc1.net. hostmaster.svc1.net. 7 3600 600 1209600 5"]
    assert data(udp(server, "svc1.net", "NS")) == ["ns1.svc1.net."]
    assert udp(server, "nothing.svc1.net").rcode() == dns.rcode.NXDOMAIN


def test_the_soa_serial_is_the_tables_modulo_32_bits(server: DnsServer) -> None:
    server.publish(table(2**32 + 8))
    assert data(udp(server, "example.test", "SOA"))[0].split()[2] == "8"


def test_the_name_is_answered_in_the_clients_own_spelling(server: DnsServer) -> None:
    for name in ("sVc1.NeT.", "SVC1.net.", "wWw.eXaMpLe.tEsT."):
        answer = udp(server, name)
        assert answer.question[0].name.to_text() == name
        assert answer.answer[0].name.to_text() == name


def test_static_records_are_answered(server: DnsServer) -> None:
    assert data(udp(server, "example.test", "MX")) == ["10 mail.example.test."]
    assert data(udp(server, "mail.example.test")) == ["192.0.2.25"]
    assert sorted(data(udp(server, "example.test", "NS"))) == ["ns1.example.test.", "ns2.elsewhere.test."]


@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        ("web.example.test", "HTTPS", '1 . alpn="h2"'),
        ("caa.example.test", "CAA", '0 issue "ca.test"'),
        ("odd.example.test", "TYPE65280", r"\# 2 abcd"),
    ],
)
def test_types_that_dnslib_does_not_know_are_answered(server: DnsServer, name: str, qtype: str, expected: str) -> None:
    assert data(udp(server, name, qtype)) == [expected]


def test_a_missing_name_is_nxdomain_with_soa_at_the_negative_ttl(server: DnsServer) -> None:
    answer = udp(server, "missing.example.test")
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert authoritative(answer)
    assert lines(answer.authority) == [SOA]


def test_a_missing_type_is_nodata_with_soa(server: DnsServer) -> None:
    answer = udp(server, "mail.example.test", "TXT")
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.answer == []
    assert lines(answer.authority) == [SOA]


@pytest.mark.parametrize("name", ["ent.example.test", "b.ent.example.test"])
def test_an_empty_non_terminal_exists(server: DnsServer, name: str) -> None:
    answer = udp(server, name)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.answer == []
    assert lines(answer.authority) == [SOA]


@pytest.mark.parametrize("name", ["x.wild.example.test.", "x.y.z.wild.example.test."])
def test_a_wildcard_answers_for_names_that_are_not_there(server: DnsServer, name: str) -> None:
    answer = udp(server, name, "TXT")
    assert data(answer) == ['"from the wildcard"']
    assert answer.answer[0].name.to_text() == name


def test_a_wildcard_lacks_types_as_any_name_does(server: DnsServer) -> None:
    answer = udp(server, "x.wild.example.test", "MX")
    assert answer.rcode() == dns.rcode.NOERROR
    assert lines(answer.authority) == [SOA]


def test_a_name_that_is_there_hides_the_wildcard_also_from_what_is_below(server: DnsServer) -> None:
    assert data(udp(server, "real.wild.example.test", "TXT")) == ['"from the name itself"']
    assert udp(server, "real.wild.example.test", "A").answer == []
    assert udp(server, "below.real.wild.example.test", "TXT").rcode() == dns.rcode.NXDOMAIN


def test_a_cname_is_followed_within_our_zones(server: DnsServer) -> None:
    assert lines(udp(server, "www.example.test").answer) == [
        "www.example.test. 300 IN CNAME app.example.test.",
        "app.example.test. 5 IN A 198.51.100.9",
    ]
    chain = lines(udp(server, "hop0.example.test").answer)
    assert chain[:2] == [
        "hop0.example.test. 300 IN CNAME hop1.example.test.",
        "hop1.example.test. 300 IN CNAME svc1.net.",
    ]
    assert len(chain) == 5


def test_a_cname_out_of_our_zones_is_left_to_the_resolver(server: DnsServer) -> None:
    answer = udp(server, "out.example.test")
    assert answer.rcode() == dns.rcode.NOERROR
    assert data(answer) == ["somewhere.else.test."]


def test_a_cname_asked_for_is_not_followed(server: DnsServer) -> None:
    assert data(udp(server, "www.example.test", "CNAME")) == ["app.example.test."]


def test_a_cname_to_a_missing_name_is_nxdomain_with_the_cname(server: DnsServer) -> None:
    answer = udp(server, "gone.example.test")
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert data(answer) == ["nothing.here.example.test."]
    assert lines(answer.authority) == [SOA]


def test_a_cname_loop_ends(server: DnsServer) -> None:
    assert len(udp(server, "loop1.example.test").answer) == 2


@pytest.mark.parametrize("name", ["sub.example.test", "deep.in.sub.example.test"])
def test_a_delegation_is_a_referral_with_glue_and_without_aa(server: DnsServer, name: str) -> None:
    answer = udp(server, name)
    assert not authoritative(answer)
    assert answer.answer == []
    assert sorted(lines(answer.authority)) == [
        "sub.example.test. 300 IN NS ns.sibling.example.test.",
        "sub.example.test. 300 IN NS ns.sub.example.test.",
    ]
    assert sorted(lines(answer.additional)) == [
        "ns.sibling.example.test. 300 IN AAAA 2001:db8::91",
        "ns.sub.example.test. 300 IN A 192.0.2.90",
    ]


def test_ds_is_answered_on_the_parents_side_of_the_cut(server: DnsServer) -> None:
    answer = udp(server, "sub.example.test", "DS")
    assert authoritative(answer)
    assert len(answer.answer) == 1


def test_a_dname_is_answered_with_the_cname_it_makes(server: DnsServer) -> None:
    assert lines(udp(server, "x.old.example.test").answer) == [
        "old.example.test. 300 IN DNAME new.example.test.",
        "x.old.example.test. 300 IN CNAME x.new.example.test.",
        "x.new.example.test. 300 IN A 192.0.2.88",
    ]


def test_a_name_that_a_dname_makes_too_long_is_yxdomain(server: DnsServer) -> None:
    labels = ".".join(["a" * 63] * 3)
    assert udp(server, f"{labels}.s.example.test").rcode() == dns.rcode.NXDOMAIN
    answer = udp(server, f"{labels}.{'b' * 20}.s.example.test")
    assert answer.rcode() == dns.rcode.YXDOMAIN
    assert data(answer) == ["a-target-that-is-much-longer.than-its-owner.example.test."]


def test_names_outside_the_zones_are_refused_without_aa(server: DnsServer) -> None:
    for name in ("elsewhere.test", ".", "net"):
        answer = udp(server, name)
        assert answer.rcode() == dns.rcode.REFUSED
        assert not authoritative(answer)
        assert answer.authority == []


def test_any_is_answered_with_hinfo(server: DnsServer) -> None:
    for name in ("svc1.net", "example.test"):
        assert data(udp(server, name, "ANY")) == ['"RFC8482" ""']
    assert data(udp(server, "www.example.test", "ANY")) == ["app.example.test."]


@pytest.mark.parametrize("qtype", ["AXFR", "IXFR=6"])
def test_transfers_are_refused(server: DnsServer, qtype: str) -> None:
    output = dig(server, "example.test", qtype, "+tcp")
    assert "Transfer failed" in output
    assert "192.0.2" not in output


def test_a_bad_address_in_the_table_is_servfail_and_nothing_else_suffers(serve: Serve) -> None:
    server = serve(records=table(records=(Record("a", ("not an address",)),)))
    assert udp(server, "svc1.net").rcode() == dns.rcode.SERVFAIL
    assert data(udp(server, "app.example.test")) == ["198.51.100.9"]
    assert dict(server.stats().by_rcode) == {"SERVFAIL": 1, "NOERROR": 1}


def test_dig_gets_an_answer_with_its_defaults(server: DnsServer) -> None:
    """dig sends a cookie, which we do not know and must not stumble over."""
    output = dig(server, "svc1.net", "A")
    assert "status: NOERROR" in output
    assert "flags: qr aa rd; QUERY: 1, ANSWER: 3, AUTHORITY: 0, ADDITIONAL: 1" in output
