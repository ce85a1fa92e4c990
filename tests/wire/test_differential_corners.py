"""Packets that are seldom sent, to us, NSD, Knot and BIND: what comes back is alike but for what stands in :data:`ACCEPTED`."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import dns.exception
import dns.message
import dns.rcode
import pytest

from core.records import RecordTable
from core.settings import Dns, Settings, Zone
from dnsserver.server import DnsServer
from tests.live.name_servers import NameServer
from tests.wire.peers import primaries

pytestmark = pytest.mark.live
ZONE = "z.test."
TEXT = """\
$TTL 300
@ SOA ns1 hostmaster 1 7200 900 86400 60
@ NS ns1
ns1 A 192.0.2.53
w A 192.0.2.1
""" + "".join(f'{name} TXT "{n} {"x" * 90}"\n' for name, count in (("t400", 4), ("t900", 9), ("t2000", 20)) for n in range(count))  # fmt: skip
NAME = b"\1w\1z\4test\0"
A, IN = b"\0\1", b"\0\1"
QUESTION = NAME + A + IN


def opt(size: int = 1232, version: int = 0, flags: int = 0, data: bytes = b"") -> bytes:
    return struct.pack("!BHHBBHH", 0, 41, size, 0, version, flags, len(data)) + data


def packet(body: bytes = QUESTION, counts: tuple[int, int, int, int] = (1, 0, 0, 0), flags: int = 0) -> bytes:
    return struct.pack("!6H", 0x4321, flags, *counts) + body


def with_opt(*options: bytes, body: bytes = QUESTION) -> bytes:
    return packet(body + b"".join(options), (1, 0, 0, len(options)))


def text(name: str) -> bytes:
    return bytes((len(name),)) + name.encode() + b"\1z\4test\0\0\x10\0\1"


CORNERS = {
    "class CH": packet(NAME + A + b"\0\3"),
    "class ANY": packet(NAME + A + b"\0\xff"),
    "class NONE": packet(NAME + A + b"\0\xfe"),
    "class 0": packet(NAME + A + b"\0\0"),
    "EDNS version 1": with_opt(opt(version=1)),
    "EDNS version 255 with options": with_opt(opt(version=255, data=b"\0\3\0\0")),
    "EDNS flags nobody knows": with_opt(opt(flags=0x1FFF)),
    "two OPTs": with_opt(opt(), opt()),
    "an OPT whose data is cut short": with_opt(opt(data=b"\0\3\0\7x")),
    "an OPT that is not at the root": packet(QUESTION + NAME + opt()[1:], (1, 0, 0, 1)),
    "trailing octet": packet(QUESTION + b"\0"),
    "trailing octet after the OPT": packet(QUESTION + opt() + b"\0", (1, 0, 0, 1)),
    "no question": packet(b"", (0, 0, 0, 0)),
    "no question, an OPT": packet(opt(), (0, 0, 0, 1)),
    "no question, a cookie": packet(opt(data=b"\0\x0a\0\x08" + bytes(8)), (0, 0, 0, 1)),
    "two questions": packet(QUESTION * 2, (2, 0, 0, 0)),
    "a question that is not there": packet(b"", (1, 0, 0, 0)),
    "an answer in the query": packet(QUESTION + NAME + A + IN + bytes(4) + b"\0\4" + bytes(4), (1, 1, 0, 0)),
    "a record before the OPT": packet(QUESTION + NAME + A + IN + bytes(4) + b"\0\4" + bytes(4) + opt(), (1, 0, 0, 2)),
    "opcode IQUERY": packet(flags=1 << 11),
    "opcode STATUS": packet(flags=2 << 11),
    "opcode 3": packet(flags=3 << 11),
    "opcode UPDATE": packet(flags=5 << 11),
    "opcode 15": packet(flags=15 << 11),
    "a response": packet(flags=0x8000),
    "AA, TC, RA, Z, AD and CD set": packet(flags=0x0400 | 0x0200 | 0x00F0),
    "RD set": packet(flags=0x0100),
    "an rcode in the query": packet(flags=0x0005),
    "type 0": packet(NAME + b"\0\0" + IN),
    "type OPT": packet(NAME + b"\0\x29" + IN),
    "type TSIG": packet(NAME + b"\0\xfa" + IN),
    "type MAILB": packet(NAME + b"\0\xfd" + IN),
    "type 65535": packet(NAME + b"\xff\xff" + IN),
    "label of 64 octets": packet(b"\x40" + b"l" * 64 + NAME + A + IN),
    "a pointer as the name": packet(b"\xc0\x0c" + A + IN),
    "name over 255 octets": packet((b"\x3f" + b"l" * 63) * 4 + NAME + A + IN),
    **{
        f"{name}, {'no EDNS' if size is None else f'EDNS {size}'}": packet(text(name)) if size is None else with_opt(opt(size), body=text(name))
        for name in ("t400", "t900", "t2000")
        for size in (None, 0, 100, 512, 1232, 4096)
    },
}  # fmt: skip


class Reply(NamedTuple):
    """``silence`` or an rcode; flags AA, TC, RD, RA, AD, CD; records in answer and authority; whether there is an OPT, its
    version; and whether the question comes back."""

    rcode: str
    flags: str
    answer: int
    authority: int
    edns: int
    question: int


SILENCE = Reply("silence", "", 0, 0, -1, 0)


def asked(server: NameServer, query: bytes, within: float = 0.5) -> Reply:
    """Silence where nothing comes; a second try tells it from a loss."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(within)
        sock.connect(("127.0.0.1", server.port))
        for _ in range(2):
            sock.send(query)
            try:
                return read(sock.recv(65535))
            except TimeoutError:
                continue
        return SILENCE


def read(wire: bytes) -> Reply:
    ident, flags, questions, answers, authorities, _ = struct.unpack_from("!6H", wire)
    assert ident == 0x4321
    said = "".join(f"{name} " for name, bit in FLAGS.items() if flags & bit)
    rcode, edns = flags & 15, -1
    try:
        message = dns.message.from_wire(wire)
        rcode, edns = int(message.rcode()), message.edns
    except (
        dns.exception.DNSException
    ):  # no header of an opcode that it knows, or a question of a class that it does not
        pass
    return Reply(dns.rcode.to_text(dns.rcode.Rcode(rcode)), said, answers, authorities, edns, questions)


FLAGS = {"AA": 0x0400, "TC": 0x0200, "RD": 0x0100, "RA": 0x0080, "Z": 0x0040, "AD": 0x0020, "CD": 0x0010}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NameServer, list[NameServer]]]:
    """Ours, and theirs."""
    directory = tmp_path_factory.mktemp("corners")
    path = directory / "zone"
    path.write_text(TEXT)
    deaths: list[BaseException] = []
    with ExitStack() as stack:
        server = DnsServer(
            Settings(dns=Dns(listen=("127.0.0.1:0",)), zone=(Zone(name=ZONE, file=str(path)),)),
            RecordTable(1, {}),
            deaths.append,
        )
        server.start()
        stack.callback(server.stop)
        yield NameServer("pointsman", server.addresses[0][1]), stack.enter_context(primaries(directory, {ZONE: path}))
    assert deaths == []


class Difference(NamedTuple):
    case: str
    peer: str
    ours: Reply
    theirs: Reply


ACCEPTED: tuple[tuple[str, Callable[[Difference], bool]], ...] = (
    (
        "What cannot be read is answered with a header alone here and at NSD; Knot and BIND repeat the question, as far as they "
        "could read it.",
        lambda d: d.ours.rcode in ("FORMERR", "NOTIMP") and d.theirs == d.ours._replace(question=1),
    ),
    (
        "Knot is silent where a name cannot be read or there are two questions; FORMERR tells who made it what is wrong.",
        lambda d: d.peer == "knot" and d.ours.rcode == "FORMERR" and d.theirs == SILENCE,
    ),
    (
        "Classes: this server has IN, and CH for its own name; of any other nothing is known, which is REFUSED. For ANY NSD and Knot "
        "answer from IN (RFC 1035 3.2.5), BIND says FORMERR; NSD repeats no question in a class that there is not.",
        lambda d: d.case in ("class ANY", "class NONE", "class 0") and d.ours.rcode == "REFUSED",
    ),
    (
        "Octets behind the message: FORMERR here and at Knot, overlooked by NSD and BIND. What sends them is broken or tries something "
        "(RFC 9267).",
        lambda d: d.case.startswith("trailing") and d.peer in ("nsd", "bind") and d.theirs.rcode == "NOERROR",
    ),
    (
        "Records that no query has, before the OPT or without one: FORMERR here and at NSD, overlooked by Knot and BIND.",
        lambda d: d.case in ("an answer in the query", "a record before the OPT") and d.peer in ("knot", "bind"),
    ),
    (
        "An OPT at another name than the root is FORMERR (RFC 6891 6.1.2), to NSD and BIND too; Knot takes it.",
        lambda d: d.case == "an OPT that is not at the root" and d.peer == "knot",
    ),
    (
        "Without a question and without a cookie there is nothing to say: FORMERR as at Knot and BIND, which put an OPT "
        "beside it; to NSD it is NOERROR.",
        lambda d: d.case == "no question, an OPT" and d.theirs._replace(rcode=d.ours.rcode) == d.ours._replace(edns=0),
    ),
    (
        "Who asks nothing and shows a cookie is told the server's (RFC 7873 5.4).",
        lambda d: d.case == "no question, a cookie" and d.ours.rcode == "NOERROR",
    ),
    (
        "UPDATE is not for this server: NOTIMP, as NSD says; Knot and BIND read it first, and find it malformed.",
        lambda d: d.case == "opcode UPDATE" and d.theirs.rcode == "FORMERR",
    ),
    (
        "CD comes back (RFC 4035 3.1.6), as from BIND; NSD and Knot clear it.",
        lambda d: d.theirs == d.ours._replace(flags=d.ours.flags.replace("CD ", "")) and d.peer in ("nsd", "knot"),
    ),
    (
        "An rcode in a query means nothing; to NSD it is FORMERR.",
        lambda d: d.case == "an rcode in the query" and d.peer == "nsd",
    ),
    (
        "Types that are no data (RFC 6895 3.1), as far as they are not told apart by all: OPT is FORMERR as at BIND; TSIG, MAILB and "
        "their like NOTIMP, which BIND says of MAILB; type 0 is a type that the name lacks, and to Knot NOTIMP.",
        lambda d: d.case in ("type OPT", "type TSIG", "type MAILB", "type 0") and d.theirs.answer == 0,
    ),
    (
        "A truncated answer holds nothing here and at NSD and Knot, at BIND what fits. A resolver uses none of it (RFC 2181 9).",
        lambda d: d.peer == "bind" and "TC" in d.ours.flags and d.theirs._replace(answer=0) == d.ours,
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CORNERS)
def test_a_corner_is_answered_as_nsd_knot_and_bind_do(case: str, servers: tuple[NameServer, list[NameServer]]) -> None:
    ours, theirs = servers
    mine = asked(ours, CORNERS[case])
    wrong = [
        f"{peer.name}: {reply}"
        for peer in theirs
        if (reply := asked(peer, CORNERS[case])) != mine
        and not any(holds(Difference(case, peer.name, mine, reply)) for _, holds in ACCEPTED)
    ]
    assert not wrong, f"ours: {mine}\n" + "\n".join(wrong)
