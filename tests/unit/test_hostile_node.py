"""A node in the hands of somebody else: it can say what it likes of itself, and cost us no more than a healthy one."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from core.model import Result
from core.probes.check import Check
from core.probes.command import OUTPUT_LIMIT, Command
from core.probes.frames import MAX_LINE, Flood, FrameParser
from core.probes.watch import Watch
from core.store import Store
from tests.unit.kinds_common import FIXTURES, checks

EXAMPLES = int(os.environ.get("POINTSMAN_EXAMPLES", "100"))
CHECKS: list[Check] = list(checks(routes=("nftables",)).values())
REAL = [base64.b64encode(path.read_bytes()).decode() for path in sorted(FIXTURES.rglob("*.*"))]
NUMBERS = st.one_of(st.integers(0, 2 * len(CHECKS) + 2), st.integers(0, 10**17))
RUNS = st.sampled_from(["1", "2", "x", ""])
DATA = st.one_of(
    st.text("0123456789 =ab\x1b/\u202e", max_size=60),
    st.builds("{} {}".format, RUNS, st.sampled_from([*REAL, "aGk=", "!", "0", "-1", "9" * 30])),
    RUNS,
)
LINES = st.builds("T {} {} {}\n".format, st.sampled_from("tdboxivwush?"), NUMBERS, DATA)
SAYS = st.lists(st.tuples(st.floats(0.0, 3.0), st.one_of(LINES.map(str.encode), st.binary(max_size=60))), max_size=40)


def played(chunks: list[tuple[float, bytes]]) -> tuple[list[Result], list[str], Watch]:
    results: list[Result] = []
    sent: list[str] = []
    watch = Watch(CHECKS, bash=True, sentinels=True, events=True, send=sent.append, report=results.append)
    parser, now = FrameParser("T"), 0.0
    watch.begin(now)
    for pause, chunk in chunks:
        now += pause
        try:
            for frame in parser.feed(chunk, now):
                if frame.op not in "tshu":
                    watch.on(frame, now)
        except Flood:
            break
        assert watch.due(now) > now
        assert len(parser._rest) <= MAX_LINE
    return results, sent, watch


def held(command: Command) -> int:
    """Octets: an empty line counts for what a list takes for it, and more."""
    return sum(len(line) + 64 for line in command.lines)


@settings(max_examples=EXAMPLES)
@given(SAYS)
def test_a_node_speaks_of_itself_alone(chunks: list[tuple[float, bytes]]) -> None:
    results, sent, watch = played(chunks)
    assert {result.check.source for result in results} <= {check.id.source for check in CHECKS}
    for result in results:
        said = getattr(result, "said", "") or getattr(result, "reason", "")
        assert said.isprintable()
    assert all(line.isprintable() for line in sent), "what it says never becomes a line of its own on the way back"
    for slot in watch._slots:
        assert all(held(command) <= 1.5 * OUTPUT_LIMIT + MAX_LINE for command in (slot.main, slot.pids))
        assert len(slot.armed) <= 1000


def test_whatever_a_node_says_memory_and_what_we_send_stay_bounded() -> None:
    """For a minute a thousand events a second and every answer at once; then an output that never ends."""
    chunks = [(0.001, b"T v 0 \nT w 0 \nT b 0 1\nT x 0 1 0 \n")] * 60_000
    _, sent, _ = played(chunks[:60_000])
    asked = [line for line in sent if line.startswith("r 0")]
    assert 30 <= len(asked) <= 60 * 10
    assert len(sent) <= 60 * 30
    for block in (base64.b64encode(bytes(3000)), b""):
        lines = [(0.001, (b"T o 0 1 " + block + b"\n") * 30)] * (100 if block else 1000)
        _, _, watch = played([(0.001, b"T b 0 1\n"), *lines])
        assert OUTPUT_LIMIT <= held(watch._slots[0].main) <= 1.5 * OUTPUT_LIMIT + MAX_LINE


async def test_the_state_is_for_this_user_alone(tmp_path: Path) -> None:
    os.umask(before := os.umask(0))  # whatever the service's umask
    assert before >= 0
    store = await Store.open(tmp_path / "state", 1000)
    try:
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
        for file in (tmp_path / "state").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    finally:
        await store.close()
