"""The watch scripts themselves, in real shells; processes are played by files where their deaths must be exact."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.probes.command import OUTPUT_LIMIT
from core.probes.frames import MAX_LINE, Frame, FrameParser
from core.probes.link import script
from core.settings import Detection

pytestmark = pytest.mark.live
_DETECTION = Detection(tick=0.02, tick_sh=0.1)
_COMMANDS = {"bash": ["bash", "--noprofile", "--norc", "-s"], "sh": ["sh", "-s"]}


class Shell:
    """A shell that runs the script, with a /proc of its own where ``proc`` says so."""

    def __init__(self, shell: str, proc: Path | None = None, edit: Callable[[str], str] = str) -> None:
        self.process = subprocess.Popen(
            _COMMANDS[shell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        text = script(shell, "T0", _DETECTION)
        self._parser = FrameParser("T0")
        self.frames: list[Frame] = []
        self.octets = b""
        self.write(edit(text.replace("/proc/", f"{proc}/") if proc else text))
        self.until(lambda: self.of("h"))

    def write(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())

    def send(self, *lines: str) -> None:
        self.write("".join(f"{line}\n" for line in lines))

    def of(self, op: str, number: int | None = None) -> list[Frame]:
        return [f for f in self.frames if f.op == op and number in {None, f.number}]

    def until(self, happened: Callable[[], object], within: float = 30.0) -> None:
        end = time.monotonic() + within
        while not happened():
            if not self._read(end - time.monotonic()):
                pytest.fail(f"did not happen; last lines: {self.frames[-5:]}")

    def ticks(self, count: int = 5) -> None:
        """Lets so many ticks go by."""
        wanted = len(self.of("t")) + count
        self.until(lambda: len(self.of("t")) >= wanted)

    def _read(self, within: float) -> bool:
        assert self.process.stdout is not None
        if within <= 0 or not select.select([self.process.stdout], [], [], within)[0]:
            return False
        octets = os.read(self.process.stdout.fileno(), 65536)
        self.octets += octets
        self.frames += self._parser.feed(octets, time.monotonic())
        return bool(octets)

    def output(self, number: int) -> bytes:
        """What the last run of a check printed, once it has ended."""
        run = self.of("b", number)[-1].data
        self.until(lambda: [f for f in self.of("x", number) if f.data.split()[0] == run])
        return b"".join(base64.b64decode(f.data.split()[1]) for f in self.of("o", number) if f.data.split()[0] == run)

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()


Start = Callable[..., Shell]


@pytest.fixture
def start() -> Iterator[Start]:
    shells: list[Shell] = []

    def begin(shell: str, proc: Path | None = None, edit: Callable[[str], str] = str) -> Shell:
        shells.append(Shell(shell, proc, edit))
        return shells[-1]

    yield begin
    for shell in shells:
        shell.close()


@pytest.fixture(params=["bash", "sh"])
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def play(proc: Path, pid: int, *, state: str = "S", born: int = 777, name: str = "app", exe: bool = True) -> None:
    """A process in a played /proc."""
    directory = proc / str(pid)
    directory.mkdir(parents=True, exist_ok=True)
    fields = [state, *["0"] * 18, str(born), *["0"] * 30]
    (directory / "stat.new").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    (directory / "stat.new").rename(directory / "stat")
    (directory / "net").mkdir(exist_ok=True)
    for name, there in (("exe", exe and state != "Z"), ("net/dev", state != "Z")):
        if there:
            (directory / name).touch()
        else:
            (directory / name).unlink(missing_ok=True)


def often(script: str) -> str:
    """Each sentinel is looked at thoroughly every second tick."""
    return re.sub(r"ROUND=\d+", "ROUND=2", script)


def never(script: str) -> str:
    """No sentinel is looked at thoroughly as time goes by."""
    return re.sub(r"ROUND=\d+", "ROUND=1000000000", script)


def end(proc: Path, pid: int) -> None:
    shutil.rmtree(proc / str(pid))


@pytest.mark.parametrize("visible", [True, False])
def test_a_process_that_is_gone_is_dead(start: Start, shell: str, tmp_path: Path, visible: bool) -> None:
    play(tmp_path, 5, exe=visible)
    watch = start(shell, tmp_path)
    watch.send("c 0 true", "s 0 5")
    watch.ticks()
    assert watch.of("d") == []
    end(tmp_path, 5)
    watch.until(lambda: watch.of("d"))
    watch.ticks()
    assert watch.of("d") == [Frame("d", 0, b"5")]


@pytest.mark.parametrize("visible", [True, False])
def test_a_zombie_is_dead(start: Start, shell: str, tmp_path: Path, visible: bool) -> None:
    play(tmp_path, 5, exe=visible)
    watch = start(shell, tmp_path)
    watch.send("c 0 true", "s 0 5")
    watch.ticks()
    play(tmp_path, 5, state="Z")
    watch.until(lambda: watch.of("d"))


@pytest.mark.parametrize("visible", [True, False])
def test_a_reused_pid_is_another_process(start: Start, shell: str, tmp_path: Path, visible: bool) -> None:
    play(tmp_path, 5, exe=visible)
    watch = start(shell, tmp_path, often)
    watch.send("c 0 true", "s 0 5")
    watch.ticks()
    play(tmp_path, 5, born=778, exe=visible)
    watch.until(lambda: watch.of("d"))


def test_after_a_standstill_a_pid_that_was_reused_meanwhile_is_noticed(start: Start, tmp_path: Path) -> None:
    play(tmp_path, 5)
    watch = start("bash", tmp_path, never)
    watch.send("c 0 true", "s 0 5")
    watch.ticks()
    watch.process.send_signal(signal.SIGSTOP)
    play(tmp_path, 5, born=778)
    time.sleep(2.1)
    watch.process.send_signal(signal.SIGCONT)
    watch.until(lambda: watch.of("d"))


def test_a_pid_armed_again_is_held_to_the_start_time_it_had(start: Start, shell: str, tmp_path: Path) -> None:
    play(tmp_path, 5)
    play(tmp_path, 6)
    watch = start(shell, tmp_path, often)
    watch.send("c 0 true", "s 0 5")
    watch.ticks()
    play(tmp_path, 5, born=778)
    watch.send("s 0 5 6")
    watch.until(lambda: watch.of("d"))
    assert watch.of("d") == [Frame("d", 0, b"5")]


def test_a_process_may_have_any_name(start: Start, shell: str, tmp_path: Path) -> None:
    play(tmp_path, 5, name="x) Z (1 * $(kill 1)")
    watch = start(shell, tmp_path, often)
    watch.send("c 0 true", "s 0 5")
    watch.ticks()
    assert watch.of("d") == []


def test_a_process_dead_before_it_is_armed_is_told_at_once(start: Start, shell: str, tmp_path: Path) -> None:
    play(tmp_path, 6, state="Z")
    watch = start(shell, tmp_path)
    watch.send("c 0 true", "s 0 5 6")
    watch.until(lambda: len(watch.of("d")) == 2)


def test_sentinels_that_are_replaced_are_forgotten(start: Start, shell: str, tmp_path: Path) -> None:
    for pid in (5, 6, 7):
        play(tmp_path, pid)
    watch = start(shell, tmp_path)
    watch.send("c 0 true", "c 2 true", "s 0 5 6", "s 2 6 7", "s 0 6", "s 2")
    watch.ticks()
    for pid in (5, 6, 7):
        end(tmp_path, pid)
    watch.until(lambda: watch.of("d"))
    watch.ticks()
    assert watch.of("d") == [Frame("d", 0, b"6")]


def test_a_dead_sentinel_starts_its_check_without_being_asked(start: Start, tmp_path: Path) -> None:
    play(tmp_path, 5)
    watch = start("bash", tmp_path)
    watch.send("c 0 echo checked", "s 0 5")
    end(tmp_path, 5)
    watch.until(lambda: watch.of("x", 0))
    assert watch.output(0) == b"checked\n"
    ops = [f.op for f in watch.frames if f.op in "db"]
    assert ops == ["d", "b"]


def test_a_check_never_runs_twice_at_once_but_once_more_after(start: Start, tmp_path: Path) -> None:
    watch = start("bash")
    log = tmp_path / "log"
    watch.send(f"c 0 echo in >>{log}; sleep 0.3; echo out >>{log}", "r 0", "r 0", "r 0", "r 0")
    watch.until(lambda: len(watch.of("x", 0)) == 2)
    watch.ticks(20)
    assert log.read_text().split() == ["in", "out", "in", "out"]


def test_output_is_exact_and_every_line_can_be_written_at_once(start: Start, shell: str, tmp_path: Path) -> None:
    octets = os.urandom(50_000)
    (tmp_path / "octets").write_bytes(octets)
    watch = start(shell)
    watch.send(f"c 0 cat {tmp_path}/octets; printf 'two\\\\nlines' >&2; exit 3", "r 0")
    watch.until(lambda: watch.of("x"))
    assert watch.output(0) == octets
    _, code, error = watch.of("x")[0].data.split()
    assert (code, base64.b64decode(error)) == (b"3", b"two\nlines")
    assert max(map(len, watch.octets.split(b"\n"))) < MAX_LINE


def test_an_output_that_is_known_is_not_sent_again(start: Start, shell: str, tmp_path: Path) -> None:
    (tmp_path / "octets").write_bytes(os.urandom(50_000))
    watch = start(shell)
    watch.send(f"c 0 cat {tmp_path}/octets; echo why >&2; exit 3", "r 0")
    watch.until(lambda: watch.of("x"))
    lines = b"".join(f.data.partition(b" ")[2] + b"\n" for f in watch.of("o"))
    known = hashlib.sha256(lines).hexdigest()
    watch.ticks()
    asked = 2 if shell == "bash" else 1  # of those that ask during a run, sh hears none
    watch.send(*[f"r 0 {known}"] * asked)
    watch.until(lambda: len(watch.of("i")) == asked)
    assert watch.of("i")[-1].data.split()[1:] == [known.encode(), b"3", base64.b64encode(b"why")]
    watch.ticks()
    watch.send(f"r 0 {'0' * 64}")
    watch.until(lambda: len(watch.of("x")) == 2)
    assert watch.output(0) == (tmp_path / "octets").read_bytes()


def test_no_output_at_all_can_be_known(start: Start, shell: str) -> None:
    watch = start(shell)
    watch.send("c 0 :", f"r 0 {hashlib.sha256().hexdigest()}")
    watch.until(lambda: watch.of("i"))
    assert watch.of("i")[0].data.split()[2:] == [b"0"]


def test_output_is_cut_at_its_bound(start: Start, shell: str) -> None:
    watch = start(shell)
    watch.send("c 0 yes", "r 0")
    watch.until(lambda: watch.of("x"))
    assert len(watch.output(0)) == OUTPUT_LIMIT


def test_runs_at_the_same_time_never_mix_their_lines(start: Start, shell: str) -> None:
    watch = start(shell)
    for number in range(0, 16, 2):
        watch.send(f"c {number} seq -f 'check {number} line %.0f' 5000", f"r {number}")
    for number in range(0, 16, 2):
        watch.until(lambda n=number: watch.of("x", n))  # type: ignore[misc]
        lines = watch.output(number).decode().splitlines()
        assert lines == [f"check {number} line {i}" for i in range(1, 5001)]


def test_a_command_keeps_its_lines_backslashes_and_quotes(start: Start, shell: str) -> None:
    watch = start(shell)
    watch.send(r"""c 0 printf '%s|' 'a\\\\b' "c  d" '*' '%d'\n  echo end """, "r 0")
    watch.until(lambda: watch.of("x"))
    assert watch.output(0) == b"a\\\\b|c  d|*|%d|end\n"


def test_a_command_that_comes_in_pieces_is_obeyed_whole(start: Start) -> None:
    watch = start("bash")
    for piece in ("c 0 echo wh", "ole\nr", " ", "0\n"):
        watch.write(piece)
        watch.ticks(3)
    watch.until(lambda: watch.of("x"))
    assert watch.output(0) == b"whole\n"


def test_a_burst_of_events_is_few_signs_and_the_end_of_the_stream_is_told(start: Start) -> None:
    watch = start("bash")
    watch.send("e 0 seq 400; sleep 0.5; echo late; exit 7")
    watch.until(lambda: watch.of("w"))
    assert 2 <= len(watch.of("v")) <= 4
    assert watch.of("w") == [Frame("w", 0, b"7")]


def test_a_flood_of_events_is_few_signs_and_stops_nothing_else(start: Start) -> None:
    watch = start("bash")
    watch.send("c 2 echo checked", "e 0 seq 50000", "r 2")
    watch.until(lambda: watch.of("w"))
    assert 2 <= len(watch.of("v")) <= 50
    assert watch.output(2) == b"checked\n"


def test_a_hung_run_is_ended_with_all_its_children(start: Start, shell: str, tmp_path: Path) -> None:
    watch = start(shell)
    watch.send(f"c 0 sleep 981 & echo $! >{tmp_path}/a; sleep 982 & echo $! >{tmp_path}/b; wait", "r 0")
    watch.until(lambda: watch.of("t") and (tmp_path / "b").exists() and (tmp_path / "b").read_text())
    watch.send("k 0 TERM")
    assert _gone(int((tmp_path / "a").read_text()))
    assert _gone(int((tmp_path / "b").read_text()))
    watch.ticks()


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_the_end_of_the_channel_ends_every_child(start: Start, tmp_path: Path, how: str) -> None:
    watch = start("bash")
    watch.send(
        f"c 0 trap '' TERM; echo $BASHPID >{tmp_path}/deaf; while :; do sleep 1; done",
        "r 0",
        f"e 0 echo $BASHPID >{tmp_path}/stream; exec sleep 983",
    )
    files = [tmp_path / "deaf", tmp_path / "stream"]
    watch.until(lambda: watch.of("t") and all(f.exists() and f.read_text() for f in files))
    if how == "closed":
        assert watch.process.stdin is not None
        watch.process.stdin.close()
    else:
        watch.process.send_signal(signal.SIGKILL)
    assert all(_gone(int(f.read_text())) for f in files)


def test_a_watch_that_nobody_speaks_to_ends_itself(start: Start, tmp_path: Path) -> None:
    watch = start("bash", edit=lambda text: text.replace("read -r -t 60", "read -r -t 1"))
    watch.send(f"e 0 echo $BASHPID >{tmp_path}/stream; exec sleep 984")
    assert watch.process.wait(20) == -signal.SIGKILL
    assert _gone(int((tmp_path / "stream").read_text()))


def test_the_script_tells_what_it_has_cost_its_commands_included(start: Start) -> None:
    watch = start("bash", edit=often)
    watch.send("c 0 for ((i = 0; i < 200000; i++)); do :; done", "r 0")
    watch.until(lambda: watch.of("x") and len(watch.of("u")) > 1 and watch.of("u")[-1].number > 5)


def _gone(pid: int, within: float = 20.0) -> bool:
    """Whether a process ends in time; a zombie that init has not fetched yet has ended."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False
