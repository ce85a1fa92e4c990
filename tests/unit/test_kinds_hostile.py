"""No output of a node, however hostile, raises; and garbage is never definite evidence (spec S25)."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.model import Verdict
from core.probes.check import Check, Output
from core.probes.kinds.text import SAID_LIMIT, clean, printable
from tests.unit.kinds_common import FIXTURES, checks, machine

# A machine's domains and pods are named, so that there is something to be found missing.
CHECKS = [
    *checks(routes=("iptables", "nftables"), routes_require=("10.0.0.1",)).values(),
    checks(runtime="docker")["containers"],
    checks(runtime="podman")["containers"],
    machine("osaka-node1", "osaka node 2"),
]
REAL = [path.read_text(encoding="utf-8") for path in sorted(FIXTURES.rglob("*.*"))]
codes = st.sampled_from([0, 0, 0, 1, 2, 126, 127, 137, 255, None])
texts = st.text(max_size=400)
alphabet = '{}[]":,.*#-=|/ \t\n\r\x1b[0m\x00\u202e01azContainersnftable'
shapes = st.text(alphabet=alphabet, max_size=400)


def cut(text: str, begin: int, end: int, inserted: str) -> str:
    begin, end = sorted((begin % (len(text) + 1), end % (len(text) + 1)))
    return text[:begin] + inserted + text[end:]


spoiled = st.builds(cut, st.sampled_from(REAL), st.integers(0, 9999), st.integers(0, 9999), shapes)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.id))
@given(code=codes, stdout=st.one_of(texts, shapes, spoiled), stderr=texts, truncated=st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_output_makes_a_check_raise(
    check: Check, code: int | None, stdout: str, stderr: str, truncated: bool
) -> None:
    output = Output(code, stdout, stderr, truncated)
    for judgement in check.judge(output):
        assert judgement.said
        assert len(judgement.said) <= SAID_LIMIT
        assert judgement.said.isprintable()
        assert all(report.said.isprintable() for report in judgement.pods)
    assert check.pids_command(output).isprintable() or not check.pids_command(output)
    assert all(s.pid > 0 and s.label.isprintable() for s in check.sentinels(output, output))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.id))
@given(code=codes, stdout=texts, stderr=texts)
@example(0, "\x1b[2J", "")
@settings(max_examples=150, deadline=None)
def test_garbage_is_never_a_fail(check: Check, code: int | None, stdout: str, stderr: str) -> None:
    if code == 0 and not any(line.strip() and not line.lstrip().startswith("#") for line in clean(stdout).splitlines()):
        return  # nothing at all is what empty routing tables look like
    assert all(j.verdict is not Verdict.FAIL for j in check.judge(Output(code, stdout, stderr)))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.id))
@given(text=st.sampled_from(REAL), size=st.integers(0, 5000))
@settings(max_examples=150, deadline=None)
def test_an_output_cut_off_is_never_a_fail_of_what_is_missing(check: Check, text: str, size: int) -> None:
    for judgement in check.judge(Output(0, text[:size], truncated=True)):
        assert judgement.verdict is not Verdict.FAIL or judgement.said.endswith(("paused", "shut off"))


@given(text=st.one_of(texts, shapes))
@settings(max_examples=300, deadline=None)
def test_what_is_shown_is_one_printable_line(text: str) -> None:
    line = printable(text)
    assert line.isprintable()
    assert len(line) <= SAID_LIMIT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("a\r\nb\tc", "a b c"),
        ("x\u202egnp.exe", "x gnp.exe"),
        ("\x9b31mx", "31mx"),
        ("y" * 400, "y" * (SAID_LIMIT - 1) + "…"),
    ],
)
def test_escapes_and_controls_are_taken_out(text: str, shown: str) -> None:
    assert printable(text) == shown
