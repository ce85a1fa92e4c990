"""Commands of the operator's own, and which checks a node has."""

from __future__ import annotations

from typing import Any

import pytest

from core.model import Kind, Verdict
from core.probes.check import Check, Output
from core.settings import CustomCheck
from tests.unit.kinds_common import checks, ok, refused, settings, verdict


def custom(**fields: Any) -> Check:
    made = checks(command=(CustomCheck(**{"name": "lb", "command": "ask", **fields}),))
    return next(check for check in made.values() if check.id.name == "lb")


@pytest.mark.parametrize(
    ("fields", "output", "expected", "said"),
    [
        ({}, ok(""), Verdict.OK, "as expected"),
        ({}, refused(3, "it broke"), Verdict.FAIL, "exit code 3: it broke"),
        ({"exit_code": 3}, refused(3, ""), Verdict.OK, "as expected"),
        ({"exit_code": 3}, ok(""), Verdict.FAIL, "exit code 0"),
        ({"exit_code": None, "contains": "up"}, refused(3, "", "up"), Verdict.OK, "as expected"),
        ({"exit_code": 127}, refused(127, "not found"), Verdict.OK, "as expected"),
        ({"contains": "up"}, ok("it is up\n"), Verdict.OK, "as expected"),
        ({"contains": "up"}, ok("down\n"), Verdict.FAIL, 'does not contain "up"'),
        ({"matches": "^st.*ok$"}, ok("a\nstate ok\n"), Verdict.OK, "as expected"),
        ({"matches": "^ok$"}, ok("state ok\n"), Verdict.FAIL, "has no line like ^ok$"),
        ({"min_lines": 2}, ok("a\n\nb\n"), Verdict.OK, "as expected"),
        ({"min_lines": 2}, ok("a\n\n"), Verdict.FAIL, "has 1 lines, fewer than 2"),
        ({"json_path": "status.phase=Ready"}, ok('warning\n{"status": {"phase": "Ready"}}'), Verdict.OK, "as expected"),
        ({"json_path": "a.1.b=true"}, ok('{"a": [0, {"b": true}]}'), Verdict.OK, "as expected"),
        ({"json_path": "n=3"}, ok('{"n": 3}'), Verdict.OK, "as expected"),
        ({"json_path": "status.phase=Ready"}, ok('{"status": {"phase": "Lost"}}'), Verdict.FAIL, "= Lost, not Ready"),
        ({"json_path": "status.phase=Ready"}, ok('{"status": []}'), Verdict.FAIL, "has no status.phase"),
        ({"json_path": "status.phase=Ready"}, ok("Ready"), Verdict.UNKNOWN, "not JSON"),
        ({"contains": "up", "min_lines": 2}, ok("up"), Verdict.FAIL, "fewer than 2"),
    ],
)
def test_a_command_is_well_when_all_that_is_expected_holds(
    fields: dict[str, Any], output: Output, expected: Verdict, said: str
) -> None:
    found, text = verdict(custom(**fields), output)
    assert found is expected
    assert text.startswith("lb: ")
    assert said in text


@pytest.mark.parametrize(
    "output",
    [
        Output(None, "up"),
        refused(127, "ask: not found"),
        refused(126, "Permission denied"),
        refused(1, "sudo: a password is required"),
        refused(137, "Killed"),
    ],
)
def test_a_command_that_could_not_run_is_unknown(output: Output) -> None:
    assert verdict(custom(contains="up"), output)[0] is Verdict.UNKNOWN


def test_what_a_cut_off_output_lacks_is_no_proof_and_what_it_has_is() -> None:
    assert verdict(custom(contains="up"), Output(0, "down", truncated=True))[0] is Verdict.UNKNOWN
    assert verdict(custom(contains="up"), Output(0, "up", truncated=True))[0] is Verdict.OK


def test_a_regular_expression_sees_a_bounded_part_of_each_line() -> None:
    check = custom(matches="x$")
    assert verdict(check, ok("a" * 10_000 + "x"))[0] is Verdict.FAIL
    assert verdict(check, ok("x"))[0] is Verdict.OK


@pytest.mark.parametrize("kind", ["routes", "vswitch", "runtime"])
def test_a_command_of_a_kind_takes_the_place_of_the_built_in_check(kind: str) -> None:
    made = checks(command=(CustomCheck.model_validate({"name": "own", "command": "ask", "kind": kind}),))
    assert [name for name in made if name.partition(":")[0] == kind] == [f"{kind}:own"]


def test_the_places_of_a_command_are_filled_and_its_other_braces_stay() -> None:
    check = custom(command="{sudo}docker ps --format '{{json .}}' {unit}")
    assert check.command == "sudo -n docker ps --format '{{json .}}' {unit}"


def test_times_come_from_the_detection_settings() -> None:
    made = checks(settings(interval=7.0, timeout=3.0), command=(CustomCheck(name="lb", command="ask"),))
    assert {(check.interval, check.timeout) for check in made.values()} == {(7.0, 3.0)}


def test_kinds_are_switched_for_all_nodes_and_by_a_node_for_itself() -> None:
    assert set(checks()) == {"containers", "routes:nftables", "vswitch:process", "vswitch:appctl", "runtime"}
    assert set(checks(settings(checks=("routes",)))) == {"routes:nftables"}
    assert set(checks(settings(checks=("routes",)), checks=("runtime",))) == {"runtime"}
    assert set(checks(checks=())) == set()
    lone = (CustomCheck(name="lb", command="ask"),)
    assert set(checks(settings(checks=("routes",)), command=lone)) == {"routes:nftables"}
    assert set(checks(settings(checks=("command",)), command=lone)) == {"command:lb"}


def test_ids_name_the_node_and_the_kind() -> None:
    check = checks()["routes:nftables"]
    assert (check.id.cluster, check.id.source.name, check.id.kind) == ("osaka", "n1", Kind.ROUTES)
