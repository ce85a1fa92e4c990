"""The routing tables of a node (spec S5)."""

from __future__ import annotations

import pytest

from core.model import Verdict
from core.probes.check import Output
from core.probes.kinds.routes import iptables_rules, mention, nft_rules
from tests.unit.kinds_common import checks, fixture, ok, refused, settings, verdict

NFT = checks(routes=("nftables",))["routes:nftables"]
IPTABLES = checks(routes=("iptables",))["routes:iptables"]


@pytest.mark.parametrize(
    ("name", "rules"),
    [("nft-1.0.6-kube-proxy.txt", 5), ("nft-1.0.6-handles.txt", 5), ("nft-1.0.6-flushed.txt", 0)],
)
def test_the_rules_of_nft_are_the_lines_of_chains(name: str, rules: int) -> None:
    assert nft_rules(fixture(name)) == rules


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("iptables-save-1.8.9.txt", 2),
        ("iptables-save-1.8.9-flushed.txt", 0),
        ("iptables-S-1.8.9.txt", 2),
        ("iptables-L-1.8.9.txt", 2),
        ("iptables-L-1.8.9-flushed.txt", 0),
    ],
)
def test_the_rules_of_iptables_are_counted_in_each_of_its_formats(name: str, rules: int) -> None:
    assert iptables_rules(fixture(name)) == rules


def test_listed_rules_are_well() -> None:
    assert verdict(NFT, ok(fixture("nft-1.0.6-kube-proxy.txt"))) == (
        Verdict.OK,
        "5 rules listed by nft list ruleset",
    )
    assert verdict(IPTABLES, ok(fixture("iptables-save-1.8.9.txt")))[0] is Verdict.OK


@pytest.mark.parametrize("text", ["", "\n", fixture("nft-1.0.6-flushed.txt"), "# Warning: table ip nat is managed\n"])
def test_nothing_listed_by_nft_is_a_fail(text: str) -> None:
    assert verdict(NFT, ok(text)) == (Verdict.FAIL, "no rules listed by nft list ruleset")


@pytest.mark.parametrize("text", ["", fixture("iptables-save-1.8.9-flushed.txt")])
def test_nothing_listed_by_iptables_is_a_fail(text: str) -> None:
    assert verdict(IPTABLES, ok(text)) == (Verdict.FAIL, "no rules listed by iptables-save")


def test_an_empty_listing_beside_legacy_tables_says_so() -> None:
    warning = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them\n"
    assert "legacy tables are present" in verdict(IPTABLES, ok("", warning))[1]


def test_colours_carriage_returns_and_comments_do_not_matter() -> None:
    text = fixture("nft-1.0.6-kube-proxy.txt").replace("\n", "\r\n").replace("table", "\x1b[1mtable\x1b[0m")
    assert verdict(NFT, ok("# Warning: foo\r\n" + text))[0] is Verdict.OK


@pytest.mark.parametrize("size", [100, 300, 500, 700])
def test_a_listing_cut_off_is_no_proof(size: int) -> None:
    for check, name in ((NFT, "nft-1.0.6-kube-proxy.txt"), (IPTABLES, "iptables-save-1.8.9-flushed.txt")):
        text = fixture(name)[:size]
        assert verdict(check, Output(0, text, truncated=True))[0] is Verdict.UNKNOWN
        if not text.endswith(("}\n", "2026\n")):
            assert verdict(check, ok(text.rsplit("\n", 2)[0] + "\n"))[0] is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "output",
    [
        refused(1, "Operation not permitted (you must be root)\nnetlink: Error: cache initialization failed\n"),
        refused(4, "iptables-save v1.8.9 (nf_tables): Could not fetch rule set: Permission denied (you must be root)"),
        refused(1, "sudo: a password is required\n"),
        refused(1, "sudo: a terminal is required to read the password; either use the -S option to read\n"),
        refused(127, "bash: line 1: nft: command not found\n"),
        refused(1, "sudo: nft: command not found\n"),
        refused(126, "bash: /usr/sbin/nft: Permission denied\n"),
        Output(None, ""),
        refused(137, ""),
        ok("Last login: Mon Nov 2 from 10.0.0.1\n"),
        ok('{"nftables": []}\n'),
        ok("}\n"),
    ],
)
def test_what_is_no_listing_is_unknown(output: Output) -> None:
    assert verdict(NFT, output)[0] is Verdict.UNKNOWN
    assert verdict(IPTABLES, output)[0] is Verdict.UNKNOWN


def test_required_addresses_and_chains_must_appear() -> None:
    text = ok(fixture("iptables-save-1.8.9.txt"))
    present = checks(routes=("iptables",), routes_require=("10.96.0.10", "KUBE-SERVICES"))["routes:iptables"]
    assert verdict(present, text)[0] is Verdict.OK
    lacking = checks(routes=("iptables",), routes_require=("10.96.0.1", "KUBE-SERVICES", "KUBE"))["routes:iptables"]
    assert verdict(lacking, text) == (Verdict.FAIL, "iptables-save lists 2 rules but not 10.96.0.1, KUBE")


@pytest.mark.parametrize(
    ("wanted", "text", "found"),
    [
        ("10.0.0.1", "-d 10.0.0.1/32 -j X", True),
        ("10.0.0.1", "to:10.0.0.1:80", True),
        ("10.0.0.1", "elements = { 10.0.0.1, 10.0.0.2 }", True),
        ("10.0.0.1", "10.0.0.1-10.0.0.9", True),
        ("10.0.0.1", "-d 10.0.0.10/32", False),
        ("10.0.0.1", "-d 110.0.0.1/32", False),
        ("10.0.0.0/8", "-d 10.0.0.0/8", True),
        ("2001:db8::1", "ip6 daddr 2001:db8::1 accept", True),
        ("2001:db8::1", "ip6 daddr 2001:db8::1:2 accept", False),
        ("KUBE-SVC", "-j KUBE-SVC", True),
        ("KUBE-SVC", "-j KUBE-SVC-2", False),
    ],
)
def test_an_address_or_chain_is_found_as_a_whole(wanted: str, text: str, found: bool) -> None:
    assert bool(mention(wanted).search(text)) is found


def test_a_comment_before_a_rule_is_not_the_chains_own() -> None:
    rule = 'comment "kubernetes service portals" counter packets 0 bytes 0 jump KUBE-SERVICES'
    table = 'table ip nat {{\n\tchain OUTPUT {{\n\t\tcomment "of the chain"\n{}\t}}\n}}\n'
    assert nft_rules(table.format(f"\t\t{rule}\n")) == 1
    assert nft_rules(table.format("")) == 0


def test_each_table_of_a_node_is_a_check_of_its_own_with_events() -> None:
    both = checks(routes=("iptables", "nftables", "nftables"))
    assert [name for name in both if name.startswith("routes")] == ["routes:iptables", "routes:nftables"]
    assert {both["routes:iptables"].events, both["routes:nftables"].events} == {"sudo -n nft monitor"}
    assert both["routes:iptables"].command == "sudo -n iptables-save"


def test_events_and_sudo_can_be_switched_off() -> None:
    check = checks(settings(events=False, sudo=""))["routes:nftables"]
    assert (check.command, check.events) == ("nft list ruleset", "")
