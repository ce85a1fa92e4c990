"""Transfers: who gets what, signed how, and what a secondary has after it (RFC 1995, 5936, 8945)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.zone
import pytest

from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings, Zone
from core.settings import tsig as keys
from dnsserver import transfer
from dnsserver.server import DnsServer
from tests.wire.conftest import Serve
from tests.wire.helpers import TIMEOUT, framed, read_frame, tcp, tcp_socket, udp

APEX = "example.test."
KEY = "hmac-sha256:transfers:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    return path


def settings(zone_file: Path, **zone: object) -> Settings:
    section = {"name": APEX, "file": str(zone_file), "transfer_to": ("127.0.0.1",), **zone}
    app = App(domain=f"app.{APEX}", clusters=("a", "b", "c"))
    return Settings(dns=Dns(listen=("127.0.0.1:0",)), zone=(Zone(**section),), app=(app,))


def table(serial: int, *records: Record, policy: str = "all", ttl: int = 5) -> RecordTable:
    return RecordTable(serial, {f"app.{APEX}": AppRecords(f"app.{APEX}", ttl, records, policy)})


def cluster(number: int, share: int = 100, weight: int = 100) -> Record:
    return Record(f"c{number}", (f"198.51.100.{number}",), share, weight)


def whole(server: DnsServer) -> dns.zone.Zone:
    host, port = server.addresses[0]
    messages = dns.query.xfr(host, APEX, port=port, timeout=TIMEOUT, relativize=False)
    return dns.zone.from_xfr(messages, relativize=False)


def ask(
    server: DnsServer, qtype: str, serial: int | None = None, key: dns.tsig.Key | None = None
) -> list[dns.message.Message]:
    """The messages of one transfer, read until the server has nothing more to say."""
    query = dns.message.make_query(APEX, qtype, flags=0)
    if serial is not None:
        soa = f"ns1.{APEX} h.{APEX} {serial} 1 1 1 1"
        query.authority.append(dns.rrset.from_text(APEX, 0, "IN", "SOA", soa))
    if key:
        query.use_tsig(key)
    packet = query.to_wire()
    mac = query.mac
    found: list[dns.message.Message] = []
    with tcp_socket(server) as sock:
        sock.sendall(framed(packet))
        sock.shutdown(socket.SHUT_WR)
        context = None
        while True:
            try:
                wire = read_frame(sock)
            except EOFError:
                return found
            message = dns.message.from_wire(
                wire, keyring=key, request_mac=mac, multi=True, tsig_ctx=context, one_rr_per_rrset=True, xfr=True
            )
            context = message.tsig_ctx
            found.append(message)


def records(messages: list[dns.message.Message]) -> list[str]:
    """``name TTL type data`` of all answers; of an SOA only the serial."""
    found = []
    for message in messages:
        for rrset in message.answer:
            data = str(rrset[0].serial) if rrset.rdtype == dns.rdatatype.SOA else rrset[0].to_text()
            found.append(f"{rrset.name.to_text().removesuffix(APEX)}{rrset.ttl} {rrset.rdtype.name} {data}")
    return found


SOA = "300 SOA {}"


def addresses(zone: dns.zone.Zone) -> set[str]:
    found = zone.get_rrset(f"app.{APEX}", "A")
    return {rdata.to_text() for rdata in found} if found else set()


def test_a_transferred_zone_answers_as_ours_does(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1), cluster(2)))
    zone = whole(server)
    asked = 0
    for name, node in zone.nodes.items():
        for rdataset in node.rdatasets:
            ours = tcp(server, name.to_text(), rdataset.rdtype.name)
            if ours.answer:  # what lies at or below a cut is answered by a referral
                assert ours.answer[0].to_rdataset() == rdataset
                asked += 1
    assert asked > 20
    assert len(zone.find_rdataset(f"big.{APEX}", "TXT")) == 250
    assert addresses(zone) == {"198.51.100.1", "198.51.100.2"}


def test_a_large_zone_comes_in_messages_that_are_each_signed(serve: Serve, zone_file: Path, key_file: Path) -> None:
    key = keys.read(str(key_file))
    server = serve(settings(zone_file, tsig=str(key_file)), table(7, cluster(1)))
    messages = ask(server, "AXFR", key=key)
    assert len(messages) > 3
    assert all(message.had_tsig for message in messages)
    assert all(len(message.to_wire()) < 65536 for message in messages)


@pytest.mark.parametrize("qtype", ["AXFR", "IXFR"])
def test_a_zone_with_a_key_is_refused_to_who_does_not_sign(
    serve: Serve, zone_file: Path, key_file: Path, qtype: str
) -> None:
    server = serve(settings(zone_file, tsig=str(key_file)), table(7, cluster(1)))
    (answer,) = ask(server, qtype, serial=6)
    assert (answer.rcode(), answer.answer) == (dns.rcode.REFUSED, [])


def test_only_the_named_addresses_may_transfer(serve: Serve, zone_file: Path) -> None:
    for settled in (settings(zone_file, transfer_to=("127.0.0.2",)), settings(zone_file, transfer_to=())):
        server = serve(settled, table(7, cluster(1)))
        (answer,) = ask(server, "AXFR")
        assert (answer.rcode(), answer.answer) == (dns.rcode.REFUSED, [])


def test_a_zone_that_is_not_ours_is_not_ours(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1)))
    assert tcp(server, "other.test.", "AXFR").rcode() == dns.rcode.NOTAUTH
    assert tcp(server, f"app.{APEX}", "AXFR").rcode() == dns.rcode.NOTAUTH


def test_another_zones_key_is_refused(serve: Serve, zone_file: Path, key_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(KEY.replace("transfers", "other"))
    config = settings(zone_file, tsig=str(key_file))
    second = Zone(name="second.test.", tsig=str(other), transfer_to=("127.0.0.1",))
    server = serve(config.model_copy(update={"zone": (*config.zone, second)}), table(7, cluster(1)))
    (answer,) = ask(server, "AXFR", key=keys.read(str(other)))
    assert answer.rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("transport", [udp, tcp])
def test_signed_questions_get_signed_answers(serve: Serve, zone_file: Path, key_file: Path, transport) -> None:  # type: ignore[no-untyped-def]
    key = keys.read(str(key_file))
    server = serve(settings(zone_file, tsig=str(key_file)), table(7, cluster(1)))
    host, port = server.addresses[0]
    query = dns.message.make_query(APEX, "SOA", use_edns=0)
    query.use_tsig(key)
    send = dns.query.udp if transport is udp else dns.query.tcp
    answer = send(query, host, port=port, timeout=TIMEOUT)
    assert answer.had_tsig
    assert answer.answer[0][0].serial == 7


def test_a_signed_answer_that_is_too_long_for_udp_is_truncated_and_signed(
    serve: Serve, zone_file: Path, key_file: Path
) -> None:
    key = keys.read(str(key_file))
    server = serve(settings(zone_file, tsig=str(key_file)), table(7, *(cluster(number) for number in range(1, 27))))
    host, port = server.addresses[0]
    query = dns.message.make_query(f"app.{APEX}", "A", use_edns=False)
    query.use_tsig(key)
    answer = dns.query.udp(query, host, port=port, timeout=TIMEOUT)
    assert answer.had_tsig
    assert answer.flags & dns.flags.TC
    assert answer.answer == []


def _send(server: DnsServer, query: dns.message.Message, key: dns.tsig.Key) -> dns.message.Message:
    packet = query.to_wire()
    with tcp_socket(server) as sock:
        assert query.tsig
        time.sleep(0 if query.tsig[0].fudge else 1.1)
        sock.sendall(framed(packet))
        return dns.message.from_wire(read_frame(sock), keyring=key, request_mac=query.mac)


@pytest.mark.parametrize("qtype", ["SOA", "AXFR"])
def test_a_bad_signature_is_told_as_what_it_is(serve: Serve, zone_file: Path, key_file: Path, qtype: str) -> None:
    good = keys.read(str(key_file))
    server = serve(settings(zone_file, tsig=str(key_file)), table(7, cluster(1)))
    cases = (
        (dns.tsig.Key("strangers", good.secret, good.algorithm), 300, dns.tsig.PeerBadKey),
        (dns.tsig.Key(good.name, good.secret, "hmac-sha512"), 300, dns.tsig.PeerBadKey),
        (dns.tsig.Key(good.name, b"x" * 32, good.algorithm), 300, dns.tsig.PeerBadSignature),
        (good, 0, dns.tsig.PeerBadTime),
    )
    for key, fudge, error in cases:
        query = dns.message.make_query(APEX, qtype, flags=0)
        query.use_tsig(key, fudge=fudge)
        with pytest.raises(error):
            _send(server, query, key)


@pytest.mark.parametrize("damage", [b"\x00", b"\xff\xff", b"\x00\xfa\x00\xff" * 9])
def test_what_only_looks_signed_is_answered_or_refused(
    serve: Serve, zone_file: Path, key_file: Path, damage: bytes
) -> None:
    server = serve(settings(zone_file, tsig=str(key_file)), table(7, cluster(1)))
    query = dns.message.make_query(APEX, "AXFR", flags=0)
    query.use_tsig(keys.read(str(key_file)))
    packet = query.to_wire()
    damaged = [packet[:at] + damage + packet[at + len(damage) :] for at in range(12, len(packet))]
    for number, sent in enumerate(each for each in damaged if each != packet):
        with tcp_socket(server) as sock:
            sock.sendall(framed(sent))
            sock.shutdown(socket.SHUT_WR)
            try:
                answer = read_frame(sock)
            except EOFError:
                continue
        assert answer[3] & 15 in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.NOTAUTH, dns.rcode.REFUSED), number


# --- IXFR -------------------------------------------------------------------------------------------------------------


def test_a_change_is_told_as_a_difference(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1), cluster(2)))
    server.publish(table(8, cluster(2), cluster(3)))
    assert records(ask(server, "IXFR", serial=7)) == [
        SOA.format(8),
        SOA.format(7),
        "app.5 A 198.51.100.1",
        SOA.format(8),
        "app.5 A 198.51.100.3",
        SOA.format(8),
    ]


def test_changes_of_several_serials_come_as_one(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1), cluster(2)))
    server.publish(table(8, cluster(2)))
    server.publish(table(9, cluster(2), cluster(1)))
    server.publish(table(10, cluster(2), cluster(1), ttl=1))
    both = ["app.{} A 198.51.100.1", "app.{} A 198.51.100.2"]
    found = records(ask(server, "IXFR", serial=7))
    assert [found[0], found[1], found[4], found[7]] == [SOA.format(10), SOA.format(7), SOA.format(10), SOA.format(10)]
    assert found[2:4] == [line.format(5) for line in both]
    assert sorted(found[5:7]) == [line.format(1) for line in both]


def test_who_has_the_newest_serial_gets_it_alone(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1)))
    for serial in (7, 8, 7 + 2**31 - 1):
        assert records(ask(server, "IXFR", serial=serial)) == [SOA.format(7)]


def test_a_serial_that_nobody_remembers_gets_the_whole_zone(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1)))
    for serial in range(8, 9 + transfer.KEPT):
        server.publish(table(serial, cluster(serial)))
    assert len(ask(server, "IXFR", serial=8)[0].answer) == 6
    for serial in (7, 3, 2**32 - 5):
        found = records(ask(server, "IXFR", serial=serial))
        assert found == records(ask(server, "AXFR"))
        assert len(found) > 100


def test_after_the_zones_were_read_anew_everybody_gets_the_whole_zone(
    serve: Serve, zone_file: Path, tmp_path: Path
) -> None:
    """Until the next table, two contents go by one serial; from then on differences are told again."""
    server = serve(settings(zone_file), table(7, cluster(1)))
    server.publish(table(8, cluster(2)))
    other = tmp_path / "other"
    other.write_text("$TTL 60\nnew TXT new\n")
    server.replace_zones(settings(other))
    server.publish(table(9, cluster(2)))
    for serial in (7, 8):
        assert 'new.60 TXT "new"' in records(ask(server, "IXFR", serial=serial))
    server.publish(table(10, cluster(1)))
    assert len(records(ask(server, "IXFR", serial=9))) == 6


def test_over_udp_ixfr_says_only_which_serial_there_is(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1)))
    answer = udp(server, APEX, "IXFR")
    assert [rrset[0].serial for rrset in answer.answer] == [7]
    assert udp(server, APEX, "AXFR").rcode() == dns.rcode.REFUSED


def test_serials_are_compared_in_a_circle(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(2**32 - 1, cluster(1)))
    server.publish(table(2**32 + 1, cluster(2)))
    assert [line for line in records(ask(server, "IXFR", serial=2**32 - 1)) if "SOA" in line] == [
        SOA.format(1),
        SOA.format(2**32 - 1),
        SOA.format(1),
        SOA.format(1),
    ]


# --- what stands in a zone that clusters come to and go from ----------------------------------------------------------


def test_a_cluster_that_is_ramped_up_comes_in_at_the_end_of_its_ramp(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1), cluster(2, share=50)))
    assert addresses(whole(server)) == {"198.51.100.1"}
    server.publish(table(8, cluster(1, share=10), cluster(2, share=50)))
    assert addresses(whole(server)) == {"198.51.100.2"}


def test_of_failover_clusters_the_first_stands_there(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(2), cluster(1), policy="failover"))
    assert addresses(whole(server)) == {"198.51.100.2"}


def test_a_cluster_of_weight_0_is_never_transferred(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1, weight=0), cluster(2), policy="weighted"))
    assert addresses(whole(server)) == {"198.51.100.2"}


# --- on the connection ------------------------------------------------------------------------------------------------


def _frames(sock: socket.socket) -> Iterator[dns.message.Message]:
    while True:
        try:
            yield dns.message.from_wire(read_frame(sock), one_rr_per_rrset=True)
        except EOFError:
            return


def test_a_transfer_under_way_stays_one_of_its_serial(serve: Serve, zone_file: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_text("$TTL 60\n" + "".join(f'n{number} TXT "{"x" * 250}"\n' for number in range(20000)))
    server = serve(settings(large), table(7, cluster(1)))
    with tcp_socket(server, receive_buffer=4096) as sock:
        sock.sendall(framed(dns.message.make_query(APEX, "AXFR").to_wire()))
        first = dns.message.from_wire(read_frame(sock), one_rr_per_rrset=True)
        server.publish(table(8, cluster(2)))
        assert udp(server, f"app.{APEX}").answer[0][0].address == "198.51.100.2"  # and nobody waits for it
        sock.shutdown(socket.SHUT_WR)
        found = records([first, *_frames(sock)])
    assert (found[0], found[-1]) == (SOA.format(7), SOA.format(7))
    assert "app.5 A 198.51.100.1" in found
    assert len(found) == 20004


def test_questions_and_transfers_share_a_connection(serve: Serve, zone_file: Path) -> None:
    server = serve(settings(zone_file), table(7, cluster(1)))
    soa, axfr = (dns.message.make_query(APEX, qtype).to_wire() for qtype in ("SOA", "AXFR"))
    with tcp_socket(server) as sock:
        sock.sendall(framed(soa) + framed(axfr) + framed(soa))
        sock.shutdown(socket.SHUT_WR)
        kinds = [message.question[0].rdtype.name for message in _frames(sock)]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("SOA", "SOA", {"AXFR"})
