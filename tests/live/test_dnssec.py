"""Our signed zones before other people's validators: unbound as the resolver of clients, delv, drill and kdig by hand."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from core.records import AppRecords, Record, RecordTable
from core.settings import App, Dns, Settings, Zone
from dnsserver.dnssec import keys
from dnsserver.server import DnsServer
from dnsserver.wireform import labels_of
from tests.conftest import require
from tests.live.name_servers import free_ports
from tests.wire.helpers import EXAMPLE_ZONE

pytestmark = pytest.mark.live
APEX = "example.test."
APP = f"app.{APEX}"
WEIGHTED, FAILOVER, NAMED, RAMPING = (f"{name}.{APEX}" for name in ("weighted", "failover", "named", "ramping"))
ZONE = (
    EXAMPLE_ZONE.partition("\nbig ")[0]
    + """
large    TXT   "some {n}"
srv      SRV   0 5 5060 mail
naptr    NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .
ptr      PTR   mail
svcb     SVCB  1 mail port=853
tlsa     TLSA  3 1 1 0000000000000000000000000000000000000000000000000000000000000000
sshfp    SSHFP 4 2 0000000000000000000000000000000000000000000000000000000000000000
""".replace('large    TXT   "some {n}"', "\n".join(f'large TXT "{n} {"x" * 240}"' for n in range(40)))
)
POSITIVE = (
    f"{APP} A",
    f"{WEIGHTED} A",
    f"{FAILOVER} A",
    f"{FAILOVER} AAAA",
    f"{NAMED} A",
    f"{RAMPING} A",
    f"www.{APEX} A",
    f"x.many.{APEX} AAAA",
    f"any.wild.{APEX} TXT",
    f"*.wild.{APEX} A",
    f"real.wild.{APEX} TXT",
    f"x.old.{APEX} A",
    f"old.{APEX} DNAME",
    *(f"{APEX} {qtype}" for qtype in ("SOA", "NS", "MX", "DNSKEY", "CDS", "CDNSKEY")),
    *(f"{qtype}.{APEX} {qtype}" for qtype in ("caa", "srv", "naptr", "ptr", "svcb", "tlsa", "sshfp")),
    f"web.{APEX} HTTPS",
    f"odd.{APEX} TYPE65280",
    f"large.{APEX} TXT",
    f"{APP} NSEC",
    f"sub.{APEX} DS",
)
NEGATIVE = (
    f"{APP} AAAA",
    f"{NAMED} TXT",
    f"nothing.{APEX} A",
    f"a.b.c.d.{APEX} MX",
    f"b.ent.{APEX} A",
    f"x.many.{APEX} MX",
    f"any.wild.{APEX} MX",
    f"sibling.{APEX} DS",
    f"www.{APEX} AAAA",
    f"gone.{APEX} A",
)
ELSEWHERE = (
    f"a.sub.{APEX} A",
    f"a.sibling.{APEX} A",
    f"out.{APEX} A",
    f"loop1.{APEX} A",
    f"{APP} ANY",
    "nobody.org. A",
)
"""Where a resolver has to ask others, or has nobody to ask: for tools that show what we said."""
COMPLAINTS = (
    "warning",
    "error:",
    "malformed",
    "mismatch",
    "mangled",
    "bad packet",
    "badsig",
    "extra bytes",
    "failed",
    "trailing",
)


TC = ("truncated", "query again with tcp")
"""What is said of an answer that has to be asked for over TCP, as it should be."""


def table(serial: int, *numbers: int) -> RecordTable:
    records = tuple(Record(f"c{n}", (f"192.0.2.{n}",)) for n in numbers)
    both = tuple(Record(f"c{n}", (f"192.0.2.{n}", f"2001:db8::{n}"), weight=n) for n in (1, 3))
    apps = (
        AppRecords(APP, 0, records),
        AppRecords(f"*.many.{APEX}", 5, both[:1]),
        AppRecords(WEIGHTED, 5, both, "weighted"),
        AppRecords(FAILOVER, 5, both, "failover"),
        AppRecords(NAMED, 5, (Record("a", (), hostname=f"mail.{APEX}"),)),
        AppRecords(RAMPING, 5, (both[0], Record("c3", ("192.0.2.3",), share=25))),
    )
    return RecordTable(serial, {app.domain: app for app in apps})


@dataclass
class Bed:
    server: DnsServer
    key: keys.Key
    directory: Path

    @property
    def port(self) -> int:
        return self.server.addresses[0][1]

    def anchor(self) -> Path:
        """The DS record in a file."""
        path = self.directory / "anchor"
        path.write_text(self.key.ds_text(labels_of(APEX)) + "\n")
        return path


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    directory = tmp_path_factory.mktemp("dnssec")
    key = keys.generate(directory / "key", APEX)
    (directory / "zone").write_text(ZONE)
    settings = Settings(
        dns=Dns(listen=("127.0.0.1:0",)),
        zone=(Zone(name=APEX, file=str(directory / "zone"), dnssec=(str(directory / "key"),)),),
        app=tuple(App(domain=domain, clusters=("a",)) for domain in table(7).apps),
    )
    deaths: list[BaseException] = []
    server = DnsServer(settings, table(7, 1, 2), deaths.append)
    server.start()
    yield Bed(server, key, directory)
    server.stop()
    assert deaths == []


def run(*command: str) -> str:
    done = subprocess.run([require(command[0]), *command[1:]], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


@contextmanager
def unbound(bed: Bed, anchor: Path) -> Iterator[int]:
    """A validating resolver that asks us for our zone; its port."""
    [port] = free_ports(1)
    conf = bed.directory / f"unbound-{port}"
    conf.write_text(f"""\
server:
  interface: 127.0.0.1@{port}
  username: ""
  chroot: ""
  directory: "{bed.directory}"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  do-ip6: no
  num-threads: 1
  module-config: "validator iterator"
  trust-anchor-file: "{anchor}"
  local-zone: "test." nodefault
remote-control:
  control-enable: no
stub-zone:
  name: "{APEX}"
  stub-addr: 127.0.0.1@{bed.port}
""")
    with ExitStack() as stack:
        log = stack.enter_context((bed.directory / f"log-{port}").open("wb"))
        process = subprocess.Popen([require("unbound"), "-d", "-c", str(conf)], stdout=log, stderr=log)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        until = time.monotonic() + 20
        while True:
            try:
                ask(port, f"{APEX} NS", timeout=0.5)
                break
            except (OSError, dns.exception.Timeout):
                assert time.monotonic() < until, (bed.directory / f"log-{port}").read_text()
        yield port


def ask(port: int, question: str, timeout: float = 10.0) -> dns.message.Message:
    name, qtype = question.split()
    query = dns.message.make_query(name, qtype, want_dnssec=True)
    return dns.query.udp(query, "127.0.0.1", timeout=timeout, port=port, ignore_unexpected=True)


def test_a_validating_resolver_takes_every_answer_and_every_denial_as_authentic(bed: Bed) -> None:
    with unbound(bed, bed.anchor()) as port:
        for question in (*POSITIVE, *NEGATIVE):
            answer = ask(port, question)
            assert answer.flags & dns.flags.AD, question
            assert answer.rcode() == dns.rcode.NOERROR, question
            denied = any(rrset.rdtype == dns.rdatatype.SOA for rrset in answer.authority)
            assert denied == (question in NEGATIVE), question


def test_an_erase_reaches_the_clients_of_a_validating_resolver(bed: Bed) -> None:
    with unbound(bed, bed.anchor()) as port:
        bed.server.publish(table(8, 2))
        answer = ask(port, f"{APP} A")
        bed.server.publish(table(9, 1, 2))
    assert answer.flags & dns.flags.AD
    assert [rdata.to_text() for rdata in answer.answer[0]] == ["192.0.2.2"]


def test_a_resolver_that_trusts_another_key_refuses_ours(bed: Bed) -> None:
    """So that the other tests can fail."""
    other = bed.directory / "other"
    other.write_text(keys.generate(bed.directory / "otherkey", APEX).ds_text(labels_of(APEX)) + "\n")
    with unbound(bed, other) as port:
        assert ask(port, f"{APP} A").rcode() == dns.rcode.SERVFAIL


def test_delv_validates(bed: Bed) -> None:
    anchor = bed.directory / "delv"
    public = base64.b64encode(bed.key.dnskey[4:]).decode()
    anchor.write_text(f'trust-anchors {{ {APEX} static-key 257 3 13 "{public}"; }};\n')
    for question in (*POSITIVE, *NEGATIVE):
        said = run("delv", "-a", str(anchor), f"+root={APEX}", "@127.0.0.1", "-p", str(bed.port), *question.split())
        assert "fully validated" in said, (question, said)


def test_drill_chases_the_signature_to_the_anchor(bed: Bed) -> None:
    said = run("drill", "-S", "-k", str(bed.anchor()), "-p", str(bed.port), "@127.0.0.1", APP)
    assert "Chase successful" in said


@pytest.mark.parametrize("more", [(), ("+tcp",), ("+bufsize=512",), ("+noedns",)], ids=" ".join)
@pytest.mark.parametrize("tool", ["dig", "kdig", "drill"])
def test_no_tool_warns_of_an_answer(bed: Bed, tool: str, more: tuple[str, ...]) -> None:
    place = ("-p", str(bed.port), "@127.0.0.1")
    drill = {(): ("-D",), ("+tcp",): ("-D", "-t"), ("+bufsize=512",): ("-D", "-b", "512"), ("+noedns",): ()}
    questions = [question.split() for question in (*POSITIVE, *NEGATIVE, *ELSEWHERE)]
    if tool == "drill":
        commands = [(*drill[more], *place, *question) for question in questions]
    else:
        options = ("+norec",) if tool == "dig" else ()  # else it complains that we do not recurse
        commands = [(*place, "+dnssec", *more, *options, *chain(*questions))]
    said = []
    for command in commands:
        done = subprocess.run([require(tool), *command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (command, done)
        said += (done.stdout + done.stderr).splitlines()
    assert sum("->>HEADER<<-" in line for line in said) == len(questions)
    told = [line.lower() for line in said if not any(word in line.lower() for word in TC)]
    assert not [line for line in told if any(word in line for word in COMPLAINTS)], "\n".join(said)
