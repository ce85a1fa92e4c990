"""The commands as a person or a script meets them: real processes against a real control socket."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import pwd
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from core.model import Action, Event, EventName, Order
from core.snapshot import Update
from core.text import printable
from tests.live.scripted_engine import NOW, ScriptedEngine, served, snapshot

pytestmark = pytest.mark.live
ME = pwd.getpwuid(os.getuid()).pw_name


@dataclass
class Done:
    code: int | None
    out: str
    err: str


@dataclass
class Shell:
    """Runs ``pointsman`` with an environment of its own, by default on the served socket."""

    engine: ScriptedEngine
    directory: Path

    async def start(
        self, *words: str, stdin: int = asyncio.subprocess.DEVNULL, env: Mapping[str, str] = {}
    ) -> asyncio.subprocess.Process:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("POINTSMAN_", "XDG_", "SUDO_"))
        }
        kept |= {"HOME": str(self.directory), "XDG_RUNTIME_DIR": str(self.directory), "PYTHONPATH": str(Path.cwd())}
        kept |= {"POINTSMAN_SOCKET": str(self.directory / "control.sock"), **env}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "core.cli", *words),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in kept.items() if value},
            cwd=self.directory,
        )

    async def run(self, *words: str, **env: str) -> Done:
        process = await self.start(*words, env=env)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        done = Done(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in done.err
        return done

    async def answer(self, typed: str, *words: str) -> Done:
        """The same at a terminal where somebody types."""
        ours, theirs = pty.openpty()
        try:
            process = await self.start(*words, stdin=theirs)
            os.write(ours, typed.encode())
            out, err = await asyncio.wait_for(process.communicate(), 60)
        finally:
            os.close(ours)
            os.close(theirs)
        return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    engine = ScriptedEngine()
    async with served(tmp_path, engine):
        yield Shell(engine, tmp_path)


def fields(line: str) -> list[str]:
    return [part for part in line.split("  ") if part]


# --- looking ----------------------------------------------------------------------------------------------------------


async def test_status_is_a_table_with_a_word_for_every_state(shell: Shell) -> None:
    done = await shell.run("status")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("lab  pointsman 0.1.0  mode both  serial 42  up 1h00m  2026-09-21T14:13:20.000Z")
    heads = next(line for line in lines if line.startswith("CLUSTER"))
    osaka = next(line for line in lines if line.startswith("osaka"))
    for head, cell in (("STATE", "erased"), ("IN DNS", "0 of 1"), ("INTERNAL", "fail 0/1"), ("SINCE", "1m00s")):
        assert osaka[heads.index(head) :].startswith(cell)
    assert any(line.startswith("svc1.net.  192.0.2.1 192.0.2.3  all") for line in lines)


async def test_what_is_wrong_with_everything_comes_first(shell: Shell) -> None:
    shell.engine.now = replace(
        snapshot(),
        suspect_self="3 of 3 silent",
        fail_open=("svc1.net.",),
        trouble=("disk full",),
        shadow=True,
        starting=True,
    )
    await shell.run("freeze", "--reason", "storm")
    lines = (await shell.run("status")).out.splitlines()
    words = [line.split(":")[0].split(" by")[0] for line in lines[1:7]]
    assert words == ["starting", "FROZEN", "SHADOW", "SUSPECT SELF", "FAIL OPEN", "TROUBLE"]
    assert f"FROZEN by {ME} since 2026-09-21T14:13:20.000Z: storm" in lines


async def test_json_is_the_snapshot_in_one_line(shell: Shell) -> None:
    done = await shell.run("status", "--json")
    assert json.loads(done.out)["clusters"][1]["state"] == "erased"
    assert done.out.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        *(("status",), ("status", "--json"), ("events",), ("events", "--json")),
        *(
            ("explain", "osaka"),
            ("explain", "osaka", "--json"),
            ("answers", "svc1.net"),
            ("answers", "svc1.net", "--json"),
        ),
    ],
)
async def test_nothing_that_a_node_says_acts_on_the_terminal(shell: Shell, words: tuple[str, ...]) -> None:
    done = await shell.run(*words)
    assert done.code == 0
    assert "forged line" in done.out
    assert all(line == printable(line) for line in done.out.split("\n"))


async def test_watch_repeats_until_interrupted_and_ends_quietly(shell: Shell) -> None:
    process = await shell.start("status", "--watch", "--json")
    assert process.stdout is not None
    for _ in range(2):
        assert json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["serial"] == 42
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, err) == (130, b"")


async def test_watch_without_a_terminal_speaks_again_only_when_something_has_changed(shell: Shell) -> None:
    process = await shell.start("status", "--watch")
    assert process.stdout is not None

    async def next_table() -> list[str]:
        lines: list[str] = []
        while len(lines) < 3 or lines[-1].strip():
            lines.append((await asyncio.wait_for(process.stdout.readline(), 30)).decode())  # type: ignore[union-attr]
        return lines

    first = await next_table()
    await asyncio.sleep(2.5)  # two more rounds in which only time has passed
    shell.engine.now = replace(shell.engine.now, trouble=("the store is full",), at=shell.engine.now.at + 60)
    rest = b""
    while b"TROUBLE" not in rest:
        rest += await asyncio.wait_for(process.stdout.readline(), 30)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 30)
    assert any(line.startswith("lab") or "pointsman" in line for line in first)
    assert b"\x1b" not in rest, "no escape sequences"
    assert rest.count(b"pointsman ") == 1, "one table between, not one for each second"


async def test_explain_tells_the_chain_with_times_and_milliseconds(shell: Shell) -> None:
    done = await shell.run("explain", "osaka")
    assert done.code == 0
    steps = [fields(line)[:3] for line in done.out.splitlines() if line.startswith(("fault_", "address_", "first_"))]
    assert [[cell.strip() for cell in step] for step in steps] == [
        ["fault_seen", "2026-09-21T14:13:19.000Z", "+0.0 ms"],
        ["address_erased", "2026-09-21T14:13:19.040Z", "+41.5 ms"],
        ["first_clean_answer", "not yet", "-"],
    ]
    assert any(line.startswith("node1/containers  fail") for line in done.out.splitlines())
    unknown = await shell.run("explain", "kyoto")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err == "pointsman: there is no cluster 'kyoto'; there are: tokyo, osaka, fukuoka\n"


async def test_events_are_a_line_each_and_can_be_chosen(shell: Shell) -> None:
    lines = (await shell.run("events")).out.splitlines()
    assert [fields(line)[1] for line in lines] == ["fault_seen", "address_erased"]
    assert "+41.5 ms" in lines[1]
    found = (await shell.run("events", "--json", "--name", "address_erased", "--since", "2026-09-21T14:13:19")).out
    assert [json.loads(line)["id"] for line in found.splitlines()] == [2]
    assert shell.engine.asked[-1]["since"] == NOW - 1
    wrong = await shell.run("events", "--since", "yesterday")
    assert wrong.code == 2
    assert "'yesterday' is no time" in wrong.err


async def test_following_tells_each_event_once(shell: Shell) -> None:
    process = await shell.start("events", "--follow", "--json")
    assert process.stdout is not None
    seen = [json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["id"] for _ in range(2)]
    three, four = (Event(EventName.RAMP_STEP, NOW, "osaka", id=n) for n in (3, 4))
    for events in ((shell.engine.history[1], three), (three, four)):
        shell.engine.updates.put_nowait(Update(None, events))
    seen += [json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["id"] for _ in range(2)]
    assert seen == [1, 2, 3, 4]
    process.send_signal(signal.SIGINT)
    rest, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, rest, err) == (130, b"", b"")


async def test_a_reader_that_leaves_is_no_failure(shell: Shell) -> None:
    shell.engine.history = [Event(EventName.STARTED, NOW, evidence="x" * 200, id=n + 1) for n in range(500)]
    process = await shell.start("events")
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]  # a pipe cannot be closed in public
    err = await asyncio.wait_for(process.stderr.read(), 30)
    assert (await process.wait(), err) == (0, b"")


async def test_answers_tell_who_is_in_and_why_and_what_would_be(shell: Shell) -> None:
    done = await shell.run("answers", "svc1.net", "A")
    assert "svc1.net. A: NOERROR, serial 42" in done.out
    assert [line.split()[-1] for line in done.out.splitlines() if " IN A " in line] == ["192.0.2.1", "192.0.2.3"]
    assert any(line.startswith("osaka") and "out" in line for line in done.out.splitlines())
    without = await shell.run("answers", "svc1.net", "--without", "tokyo", "--without", "osaka")
    assert [line.split()[-1] for line in without.out.splitlines() if " IN A " in line] == ["192.0.2.3"]
    refused = await shell.run("answers", "example.org")
    assert refused.code == 1
    assert "example.org lies in no zone" in refused.err


# --- orders -----------------------------------------------------------------------------------------------------------


async def test_an_order_shows_before_and_after_and_names_what_was_seen(shell: Shell) -> None:
    done = await shell.run("drain", "tokyo", "--reason", "disk", "--for", "30m", "--yes")
    assert (done.code, done.err) == (0, "")
    lines = [line.strip() for line in done.out.splitlines()]
    assert lines.index("before  192.0.2.1 192.0.2.3") + 1 == lines.index("after   192.0.2.3  (1 of 3 clusters)")
    assert lines[-2:] == ["tokyo: drain ordered", "serial 43"]
    [order] = shell.engine.orders
    assert (order.action, order.clusters, order.who, order.why) == (Action.DRAIN, ("tokyo",), ME, "disk")
    assert order.expected == (("tokyo", 7),)
    assert len(order.key) >= 16
    assert order.until is not None


@pytest.mark.parametrize("words", [("drain", "tokyo"), ("erase", "tokyo"), ("restore", "osaka")])
async def test_without_a_terminal_and_without_yes_nothing_is_ordered(shell: Shell, words: tuple[str, ...]) -> None:
    done = await shell.run(*words)
    assert done.code == 1
    assert done.err == "pointsman: not confirmed, as there is no terminal to ask at; add --yes to do it nevertheless\n"
    assert shell.engine.orders == []


@pytest.mark.parametrize(
    ("typed", "words", "ordered"),
    [
        ("y\n", ("drain", "tokyo"), True),
        ("n\n", ("drain", "tokyo"), False),
        ("\n", ("drain", "tokyo"), False),
        ("\x04", ("drain", "tokyo"), False),
        ("y\n", ("erase", "tokyo"), False),
        ("tokyo\n", ("erase", "tokyo"), True),
        ("osaka\n", ("erase", "tokyo"), False),
        ("y\n", ("drain", "tokyo", "osaka"), False),
        ("tokyo osaka\n", ("drain", "tokyo", "osaka", "tokyo"), True),
    ],
)
async def test_a_grave_order_wants_the_name_and_others_a_yes(
    shell: Shell, typed: str, words: tuple[str, ...], ordered: bool
) -> None:
    done = await shell.answer(typed, *words)
    assert len(shell.engine.orders) == ordered
    assert done.code == (0 if ordered else 1)
    assert done.err.splitlines()[-1:] == ([] if ordered else ["pointsman: nothing was done"])


async def test_what_the_preview_calls_grave_wants_the_name(shell: Shell) -> None:
    shell.engine.grave = True
    done = await shell.answer("y\n", "drain", "tokyo")
    assert (done.code, shell.engine.orders) == (1, [])
    assert "warning: svc1.net. is left with 1 of 3" in done.out
    assert (await shell.answer("tokyo\n", "drain", "tokyo")).code == 0


async def test_a_refusal_says_why_and_force_goes_on(shell: Shell) -> None:
    shell.engine.refused = "tokyo is the last that serves svc1.net."
    done = await shell.run("drain", "tokyo", "--yes")
    assert (done.code, shell.engine.orders) == (1, [])
    assert done.err == "pointsman: tokyo is the last that serves svc1.net. (--force does it nevertheless)\n"
    assert (await shell.run("drain", "tokyo", "--yes", "--force")).code == 0
    assert shell.engine.orders[0].force


async def test_the_kill_switch_asks_nothing(shell: Shell) -> None:
    assert (await shell.run("freeze", "--reason", "storm")).code == 0
    assert (await shell.run("thaw")).code == 0
    assert [(o.action, o.who, o.why) for o in shell.engine.orders] == [
        (Action.FREEZE, ME, "storm"),
        (Action.THAW, ME, ""),
    ]


async def test_behind_sudo_the_order_is_of_the_one_who_called_it(shell: Shell) -> None:
    if os.getuid():
        pytest.skip("sudo is believed to root only")
    await shell.run("freeze", SUDO_USER="ann")
    assert shell.engine.orders == [replace(Order(Action.FREEZE, who="ann"), key=shell.engine.orders[0].key)]
