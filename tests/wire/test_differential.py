"""The same zones and the same questions to us, NSD, Knot and BIND: header and sections compared, record by record.

What may differ stands in :data:`ACCEPTED`, each with its reason; everything else is a failure. ``POINTSMAN_QUESTIONS=5000
POINTSMAN_SEED=7 python -m pytest tests/wire/test_differential.py`` asks more, and other, questions.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from core.records import RecordTable
from core.settings import Dns, Settings, Zone
from dnsserver.server import DnsServer
from tests.live.name_servers import NameServer
from tests.wire.generated import Generated
from tests.wire.peers import PROGRAMS, primaries

SEED = int(os.environ.get("POINTSMAN_SEED", "1"))
QUESTIONS = int(os.environ.get("POINTSMAN_QUESTIONS", "250"))
NESTED = "nested.z0.test."
ORIGINS = ("z0.test.", NESTED, "z1.test.", "z2.test.", "deep.er.z3.test.", "z4.test.")

Records = frozenset[tuple[str, int, int, bytes]]


class Answer(NamedTuple):
    """A response as it is compared: records as (owner, type, TTL, data), names in lower case, of a SOA only that it is there."""

    rcode: str
    authoritative: bool
    answer: Records
    authority: Records
    additional: Records


class Difference(NamedTuple):
    """One part of a response in which a peer and we are not alike. ``kind`` is the type that was asked for; ``nested`` tells
    that the name is the apex of a zone within another."""

    peer: str
    part: str
    kind: str
    nested: bool
    ours: Answer
    theirs: Answer

    @property
    def lacking(self) -> Records:
        """What they have and we do not."""
        return getattr(self.theirs, self.part) - getattr(self.ours, self.part)  # type: ignore[no-any-return]

    @property
    def surplus(self) -> Records:
        return getattr(self.ours, self.part) - getattr(self.theirs, self.part)  # type: ignore[no-any-return]


ADDED = frozenset((dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.HTTPS))


def addresses_only(records: Records) -> bool:
    """Addresses, and what stands for them (RFC 9460 section 4.1)."""
    return all(rtype in ADDED for _, rtype, _, _ in records)


def aliases(records: Records) -> dict[bytes, bytes]:
    """Where each alias leads, as names in wire form."""
    return {
        dns.name.from_text(owner).to_digestable(): target
        for owner, rtype, _, target in records
        if rtype == dns.rdatatype.CNAME
    }


def loops(records: Records) -> bool:
    """Whether an alias leads back to itself, over others or at once."""
    leads = aliases(records)
    for start in leads:
        at: bytes | None = start
        for _ in leads:
            at = leads.get(at) if at is not None else None
            if at == start:
                return True
    return False


def grows(records: Records) -> bool:
    """Whether a DNAME leads to under itself, so that each alias is longer than the one before."""
    return any(
        rtype == dns.rdatatype.DNAME and target.endswith(dns.name.from_text(owner).to_digestable())
        for owner, rtype, _, target in records
    )


def home(name: bytes) -> str:
    """The zone of a name in wire form; empty for names of nobody."""
    within = (origin for origin in ORIGINS if name.endswith(dns.name.from_text(origin).to_digestable()))
    return max(within, key=len, default="")


def enters_nested(records: Records) -> bool:
    """Whether an alias leads into the zone within another."""
    leads = ((home(owner), home(target)) for owner, target in aliases(records).items())
    return any(there == NESTED != here for here, there in leads)


def crosses(difference: Difference) -> bool:
    """Whether their chain of aliases ends where it enters another of the zones, and ours goes on from there."""
    leads = aliases(difference.theirs.answer)
    ends = [(home(owner), home(target)) for owner, target in leads.items() if target not in leads]
    return difference.theirs.answer <= difference.ours.answer and any(there not in ("", here) for here, there in ends)


ACCEPTED: tuple[tuple[str, Callable[[Difference], bool]], ...] = (
    (
        "Addresses of the targets of MX, SRV, NS and HTTPS may be added (RFC 1035 3.3.9); Knot does for all, NSD and BIND "
        "for NS at the apex. We answer minimally: a resolver that needs them asks, and the answer stays small.",
        lambda d: d.part == "additional"
        and bool(d.ours.answer)
        and not d.surplus
        and addresses_only(d.lacking)
        and (d.peer == "knot" or d.kind == "NS"),
    ),
    (
        "In a referral we send, as NSD and Knot do, the addresses that our zone holds for any of the name servers; BIND with "
        "minimal-responses sends only those below the cut. RFC 9471 wants the latter and allows the former.",
        lambda d: d.part == "additional" and d.peer == "bind" and not d.lacking and addresses_only(d.surplus),
    ),
    (
        "Aliases that lead in a circle: BIND answers SERVFAIL, we give the records once, as NSD and Knot do.",
        lambda d: d.peer == "bind" and d.theirs.rcode == "SERVFAIL" and loops(d.ours.answer),
    ),
    (
        "A DNAME that leads to under itself: each server stops after another number of turns; BIND answers SERVFAIL.",
        lambda d: grows(d.ours.answer)
        and (d.peer == "bind" or (d.part == "answer" and (not d.lacking or not d.surplus))),
    ),
    (
        "An alias that leads into another zone of ours is followed there (RFC 1034 4.3.2), by NSD too; Knot and BIND leave "
        "that to the resolver.",
        lambda d: d.peer in ("knot", "bind") and d.part in ("rcode", "answer", "authority", "additional") and crosses(d),
    ),
    (
        "An alias that leads to below the apex of a zone that is served too and not delegated by its parent: we look there, as for "
        "a question, and so do NSD and BIND; Knot goes on in the parent, where a wildcard may answer.",
        lambda d: d.peer == "knot"
        and d.part in ("rcode", "answer", "authority")
        and enters_nested(d.ours.answer)
        and (d.part != "answer" or all(owner.endswith(NESTED) for owner, *_ in d.lacking)),
    ),
    (
        "ANY: a minimal answer is one HINFO record (RFC 8482 4.2) here, one set of those at the name (4.1) at NSD, all at Knot "
        "and BIND. It is an answer where theirs is.",
        lambda d: d.kind == "ANY" and d.part in ("answer", "additional") and bool(d.ours.answer) == bool(d.theirs.answer),
    ),
    (
        "NSEC and RRSIG of an alias in an unsigned zone: NSD follows the alias as we do; Knot and BIND do not, as these types "
        "may stand beside it.",
        lambda d: d.kind in ("NSEC", "RRSIG")
        and d.peer in ("knot", "bind")
        and d.part != "authoritative"
        and bool(aliases(d.ours.answer))
        and d.theirs.answer < d.ours.answer,
    ),
    (
        "ANY below a DNAME: the alias made there is followed (RFC 6672 3.2), by NSD and Knot too; BIND stops at it.",
        lambda d: d.kind == "ANY" and d.peer == "bind" and any(r == dns.rdatatype.DNAME for _, r, _, _ in d.ours.answer),
    ),
    (
        "DS of a zone whose parent zone is served too but does not delegate it: they answer from the parent, we from the child. "
        "The parent's NXDOMAIN would tell resolvers that nothing exists at or below the name (RFC 8020), and it does.",
        lambda d: d.kind == "DS" and d.nested and d.part in ("rcode", "authority") and not d.ours.answer,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Generated, Path]]:
    directory = tmp_path_factory.mktemp("generated")
    found = {}
    for origin in ORIGINS:
        zone = Generated(origin, SEED, [other for other in ORIGINS if other != origin])
        path = directory / f"{origin}zone"
        path.write_text(zone.text)
        found[origin] = (zone, path)
    return found


@pytest.fixture(scope="module")
def peers(
    zones: dict[str, tuple[Generated, Path]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[NameServer]]:
    directory = tmp_path_factory.mktemp("peers")
    with primaries(directory, {origin: path for origin, (_, path) in zones.items()}) as servers:
        yield servers


@pytest.fixture(scope="module")
def ours(zones: dict[str, tuple[Generated, Path]]) -> Iterator[NameServer]:
    config = tuple(Zone(name=origin, file=str(path)) for origin, (_, path) in zones.items())
    deaths: list[BaseException] = []
    server = DnsServer(
        Settings(dns=Dns(listen=("127.0.0.1:0",)), zone=config, app=()), RecordTable(1, {}), deaths.append
    )
    server.start()
    yield NameServer("pointsman", server.addresses[0][1])
    server.stop()
    assert deaths == []


def compared(response: dns.message.Message) -> Answer:
    def records(section: list[dns.rrset.RRset]) -> Records:
        return frozenset(
            (rrset.name.to_text().lower(), int(rrset.rdtype), rrset.ttl, data.to_digestable().lower())
            if rrset.rdtype != dns.rdatatype.SOA
            else (rrset.name.to_text().lower(), int(rrset.rdtype), rrset.ttl, b"")
            for rrset in section
            for data in rrset
        )

    return Answer(
        dns.rcode.to_text(response.rcode()),
        bool(response.flags & dns.flags.AA),
        records(response.answer),
        records(response.authority),
        records(response.additional),
    )


def ask(server: NameServer, name: str, qtype: str) -> Answer:
    query = dns.message.make_query(name, qtype, use_edns=0, payload=4096)
    response, _ = dns.query.udp_with_fallback(query, "127.0.0.1", timeout=5, port=server.port)
    assert response.question[0].name.to_text() == name, "the question comes back as it was written"
    return compared(response)


def differences(peer: str, name: str, kind: str, ours: Answer, theirs: Answer) -> Iterator[Difference]:
    for part in Answer._fields:
        if getattr(ours, part) != getattr(theirs, part):
            yield Difference(peer, part, kind, name.lower() == NESTED, ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("origin", ORIGINS)
def test_we_answer_as_nsd_knot_and_bind_do(
    origin: str, zones: dict[str, tuple[Generated, Path]], peers: list[NameServer], ours: NameServer
) -> None:
    used: Counter[str] = Counter()
    wrong = []
    rcodes: Counter[str] = Counter()
    for name, kind in zones[origin][0].questions(QUESTIONS):
        mine = ask(ours, name, kind)
        rcodes[mine.rcode] += 1
        for peer in peers:
            for difference in differences(peer.name, name, kind, mine, ask(peer, name, kind)):
                reason = next((text for text, holds in ACCEPTED if holds(difference)), None)
                if reason is None:
                    wrong.append(
                        f"{name} {kind}, {peer.name}, {difference.part}: ours {getattr(mine, difference.part)}, "
                        f"theirs {getattr(difference.theirs, difference.part)}"
                    )
                else:
                    used[reason] += 1
    assert not wrong, "\n".join(wrong[:30])
    assert len(peers) == len(PROGRAMS)
    assert rcodes["NOERROR"] > QUESTIONS * 0.3, "the questions have to hit"
    assert rcodes["NXDOMAIN"], "and to miss"


def test_names_of_nobody_are_refused_by_all(peers: list[NameServer], ours: NameServer) -> None:
    for name in ("elsewhere.invalid.", "test.", "z9.test."):
        for server in (ours, *peers):
            answer = ask(server, name, "A")
            assert (answer.rcode, answer.authoritative) == ("REFUSED", False), server.name
