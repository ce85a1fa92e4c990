"""What a zone file may hold, and the one line that says where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from core.records import AppRecords, Record, RecordTable
from core.settings import App, Settings, Zone
from core.snapshot import AnswerView
from dnsserver.server import DnsServer, read
from dnsserver.zone import load

HEAD = "$TTL 60\n"


def refused(tmp_path: Path, text: str, *apps: str) -> tuple[str, ...]:
    path = tmp_path / "z"
    path.write_text(text)
    app = tuple(App(domain=domain, clusters=("a",)) for domain in apps)
    with pytest.raises(ConfigError) as caught:
        load(Settings(zone=(Zone(name="example.test.", file=str(path)),), app=app))
    return tuple(problem.replace(str(path), "z") for problem in caught.value.problems)


REFUSED = {
    "outside": ("www.other.test. A 192.0.2.1", "www.other.test. A: lies outside the zone example.test."),
    "CNAME beside data": ("@ MX 1 a\nx A 192.0.2.1\nx CNAME y", "x.example.test. CNAME: a CNAME beside other data"),
    "data beside CNAME": ("\n\nx CNAME y\nx TXT a", "x.example.test. TXT: other data beside a CNAME"),
    "two CNAMEs": ("x CNAME y\nx CNAME z", "x.example.test. CNAME: a second CNAME"),
    "CNAME at the apex": ("@ CNAME y", "example.test. CNAME: a CNAME beside other data"),
    "SOA elsewhere": ("x SOA a b 1 2 3 4 5", "x.example.test. SOA: a zone has one SOA, at its apex"),
    "two SOAs": ("@ SOA a b 1 2 3 4 5\n@ SOA a b 1 2 3 4 6", "example.test. SOA: a zone has one SOA, at its apex"),
    "two DNAMEs": ("x DNAME a\nx DNAME b", "x.example.test. DNAME: a second DNAME"),
    "wildcard NS": ("*.x NS a", "*.x.example.test. NS: not at a wildcard"),
    "DNAME at a cut": ("x NS a\nx DNAME t", "x.example.test. is delegated: no DNAME and no app can stand here"),
    "data under a DNAME": ("x DNAME a\ny.x TXT t", "y.x.example.test. lies below the DNAME of x.example.test."),
    "unknown type": ("x NOTATYPE 1", "unknown rdatatype 'NOTATYPE'"),
    "bad address": ("a A 192.0.2.1\nx A 192.0.2", "a value that cannot stand there"),
    "wrong class": ("x CH A 192.0.2.1", "RR class is not zone's class"),
    "unknown directive": ("$UNICODE 2008", "zone file directive '$UNICODE' is not allowed"),
    "too much": ("$GENERATE 1-99999999 h$ A 192.0.2.1", "$GENERATE makes at most 65536 records"),
    "type 0": ("x TYPE0 \\# 0", "x.example.test. TYPE0: not a type that a zone can hold"),
}


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_answered_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = refused(tmp_path, HEAD + text)
    line = HEAD.count("\n") + text.count("\n") + 1
    assert problem.startswith(f"z:{line}: {expected}")


def test_a_record_over_several_lines_is_placed_at_its_first(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, HEAD + "@ TXT a\nother. TXT (\n a\n b )\n")
    assert problem.startswith("z:3: other. TXT")


def test_an_included_file_lies_beside_its_own_and_leaves_origin_owner_and_ttl_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "z").write_text(
        HEAD + "x A 192.0.2.1\n$INCLUDE parts/a sub\n  A 192.0.2.2\n$GENERATE 3-4 h$ A 192.0.2.$\n"
    )
    (tmp_path / "parts/a").write_text("$TTL 7\nwww A 192.0.2.9\n$INCLUDE b ; beside a\n")
    (tmp_path / "parts/b").write_text("@ TXT b\n")
    settings = Settings(zone=(Zone(name="example.test.", file=str(tmp_path / "z")),))
    assert set(ask(settings, "x.example.test", "A").answer) == {
        "x.example.test. 60 IN A 192.0.2.1",
        "x.example.test. 60 IN A 192.0.2.2",
    }
    assert ask(settings, "www.sub.example.test", "A").answer == ("www.sub.example.test. 7 IN A 192.0.2.9",)
    assert ask(settings, "sub.example.test", "TXT").answer == ('sub.example.test. 7 IN TXT "b"',)
    assert ask(settings, "h4.example.test", "A").answer == ("h4.example.test. 60 IN A 192.0.2.4",)


def test_an_error_in_an_included_file_has_that_files_name_and_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("w A 192.0.2.1\nw A 192.0.2\n")
    assert refused(tmp_path, HEAD + "$INCLUDE a\n") == (f"{tmp_path}/a:2: a value that cannot stand there",)
    (tmp_path / "a").write_text("w. TXT t\n")
    (problem,) = refused(tmp_path, HEAD + "$INCLUDE a\n")
    assert problem.startswith(f"{tmp_path}/a:1: w. TXT: lies outside")


def test_an_included_file_that_is_not_there_is_named_with_the_line_that_wants_it(tmp_path: Path) -> None:
    expected = f"z:2: {tmp_path}/gone cannot be read: No such file or directory"
    assert refused(tmp_path, HEAD + "$INCLUDE gone\n") == (expected,)


def test_files_that_include_each_other_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "$INCLUDE z\n") == ("z:1: $INCLUDE goes deeper than 8 files",)


def test_what_stands_twice_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "z"
    path.write_text(HEAD + "x CNAME y\nX CNAME Y\nd DNAME e\nd DNAME e\n")
    settings = Settings(zone=(Zone(name="example.test.", file=str(path)),))
    assert ask(settings, "x.example.test", "CNAME").answer == ("x.example.test. 60 IN CNAME y.example.test.",)
    assert ask(settings, "d.example.test", "DNAME").answer == ("d.example.test. 60 IN DNAME e.example.test.",)


def test_what_a_delegation_hides_may_stand_there_and_is_not_answered(tmp_path: Path) -> None:
    path = tmp_path / "z"
    path.write_text(HEAD + "x NS a\nx TXT t\ny.x TXT t\nz.x CNAME a\nw.x NS b\n")
    settings = Settings(zone=(Zone(name="example.test.", file=str(path)),))
    for question in ("x TXT", "y.x TXT", "z.x A", "v.w.x A"):
        name, qtype = question.split()
        view = ask(settings, f"{name}.example.test", qtype)
        assert (view.answer, view.authority) == ((), ("x.example.test. 60 IN NS a.example.test.",)), question


def test_name_servers_without_an_address_are_worth_a_note(tmp_path: Path) -> None:
    path = tmp_path / "z"
    path.write_text(HEAD + "@ NS a\n@ NS b\n@ NS app\n@ NS elsewhere.test.\na A 192.0.2.1\nx NS gone.x\nb CNAME a\n")
    settings = Settings(
        zone=(Zone(name="example.test.", file=str(path)), Zone(name="bare.test.")),
        app=(App(domain="app.example.test.", clusters=("a",)),),
    )
    assert [note.replace(str(path), "z") for note in read(settings).notes] == [
        "z: the name server b.example.test. of example.test. is an alias (RFC 2181 section 10.3)",
        "z: the name server gone.x.example.test. of x.example.test. has no address",
    ]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    assert len(refused(tmp_path, HEAD + "a. A 192.0.2.1\nb. A 192.0.2.2\n")) == 2


@pytest.mark.parametrize("rtype", ["A 192.0.2.1", "AAAA 2001:db8::1", "CNAME x"])
def test_an_apps_addresses_cannot_stand_in_the_file(tmp_path: Path, rtype: str) -> None:
    (problem,) = refused(tmp_path, HEAD + f"app {rtype}\n", "app.example.test.")
    assert problem.startswith("z:2: app.example.test.")
    assert "its addresses come from the record table" in problem


def test_an_app_below_a_delegation_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, HEAD + "x NS ns.other.test.\n", "app.x.example.test.")
    assert problem == ("zone example.test.: the app app.x.example.test. lies below the delegation of x.example.test.")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(ConfigError, match="No such file") as caught:
        load(Settings(zone=(Zone(name="example.test.", file=str(missing)),)))
    assert str(missing) in caught.value.problems[0]
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a text file"):
        load(Settings(zone=(Zone(name="example.test.", file=str(binary)),)))


def ask(settings: Settings, name: str, qtype: str) -> AnswerView:
    return DnsServer(settings, RecordTable(1), lambda error: None).ask(name, qtype)


def test_soa_and_ns_come_from_the_settings_then_the_file_then_defaults(tmp_path: Path) -> None:
    path = tmp_path / "z"
    path.write_text(HEAD + "@ SOA f.test. h.f.test. 1 2 3 4 5\n@ NS f.test.\n")
    bare = Settings(zone=(Zone(name="example.test."),))
    filed = Settings(zone=(Zone(name="example.test.", file=str(path)),))
    stated = Settings(
        zone=(
            Zone(
                name="example.test.",
                file=str(path),
                primary="s.test.",
                contact="h.s.test.",
                nameservers=("s1.test.", "s2.test."),
                ttl=77,
                negative_ttl=7,
            ),
        )
    )
    soa = "example.test. {} IN SOA {}"
    expected_bare = soa.format(300, "ns1.example.test. hostmaster.example.test. 1 3600 600 1209600 5")
    assert ask(bare, "example.test", "SOA").answer == (expected_bare,)
    assert ask(bare, "example.test", "NS").answer == ("example.test. 300 IN NS ns1.example.test.",)
    assert ask(filed, "example.test", "SOA").answer == (soa.format(60, "f.test. h.f.test. 1 2 3 4 5"),)
    assert ask(filed, "example.test", "NS").answer == ("example.test. 60 IN NS f.test.",)
    assert ask(stated, "example.test", "SOA").answer == (soa.format(77, "s.test. h.s.test. 1 2 3 4 7"),)
    assert ask(stated, "example.test", "NS").answer == (
        "example.test. 77 IN NS s1.test.",
        "example.test. 77 IN NS s2.test.",
    )


def test_an_app_below_another_lies_in_its_zone_whatever_the_order() -> None:
    for domains in (("a.test.", "b.a.test."), ("b.a.test.", "a.test.")):
        zones = load(Settings(app=tuple(App(domain=domain, clusters=("a",)) for domain in domains)))
        assert list(zones) == [(b"a", b"test")]


def test_a_wildcard_app_answers_for_every_name_under_it() -> None:
    settings = Settings(app=(App(domain="*.svc.test.", clusters=("a",)),))
    table = RecordTable(1, {"*.svc.test.": AppRecords("*.svc.test.", 5, (Record("a", ("192.0.2.1",)),))})
    server = DnsServer(settings, table, lambda error: None)
    assert server.ask("any.svc.test", "A").answer == ("any.svc.test. 5 IN A 192.0.2.1",)
    assert server.ask("svc.test", "A").rcode == "NOERROR"
