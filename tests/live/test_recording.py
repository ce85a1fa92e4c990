"""A demo recorded while a fault comes and goes, and replayed with its own and with other settings."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.lab.client import LabClient
from core.lab.demo import running
from core.model import Event
from core.recording.compare import Decision, decisions
from core.recording.lines import Head, read
from core.recording.replay import Replay
from core.settings.load import load
from core.world import build
from tests.live.app_program import Program, environment, eventually, pointsman, program

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(tmp_path_factory.mktemp("demo"), dns_port=0) as config, program(config) as it:
        eventually(lambda: not it.snapshot().starting)
        yield it


@contextmanager
def recording(it: Program, file: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "core.cli", "record", str(file), "--socket", str(it.socket), *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(it.directory)
    )
    try:
        eventually(lambda: process.poll() is not None or (file.exists() and file.stat().st_size > 0), within=60)
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


def outage(it: Program) -> None:
    """The routes of osaka go, it is erased; they come back, and so does osaka."""
    lab, address = LabClient(it.directory), it.cluster("osaka").addresses[0]
    asyncio.run(lab.break_("osaka", "routes"))
    eventually(lambda: address not in it.addresses())
    asyncio.run(lab.mend())
    eventually(lambda: it.cluster("osaka").state == "ok", within=40)


def replayed(it: Program, file: Path, **env: str) -> dict[str, Decision]:
    """The decisions on osaka under one name, by their names."""
    octets = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    lines = read(str(file), octets.splitlines(keepends=True))
    head = next(lines)
    assert isinstance(head, Head)
    replay = Replay(str(file), build(load(it.directory / "config.toml", environ=env)), head).run(lines)
    found = [decision for decision in decisions(replay.then, replay.now) if decision.event.app == "svc1.net."]
    assert {decision.event.cluster for decision in found} == {"osaka"}
    assert len(found) == len({decision.event.name for decision in found}), found
    return {str(decision.event.name): decision for decision in found}


def evidence(event: Event | None) -> str:
    assert event
    return event.evidence


def decided(event: Event | None) -> float:
    assert event
    return event.at


def test_an_outage_is_replayed_with_its_own_and_with_other_thresholds(demo: Program, tmp_path: Path) -> None:
    file = tmp_path / "tape.gz"
    with recording(demo, file) as process:
        second = demo.command("record", str(tmp_path / "second"))
        assert second.code == 1
        assert "a recording is under way already" in second.err
        outage(demo)
        process.terminate()
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, f"{file}: recorded\n", "")
    assert file.stat().st_mode & 0o777 == 0o600

    same = replayed(demo, file)
    assert same.keys() == {"address_erased", "address_restored"}
    assert all(each.then and each.now for each in same.values()), same
    assert evidence(same["address_erased"].now) == evidence(same["address_erased"].then)

    slower = replayed(demo, file, POINTSMAN_RECOVERY__HOLD="5")
    assert slower["address_erased"].now == same["address_erased"].now
    assert decided(slower["address_restored"].now) > decided(same["address_restored"].now) + 1.5
    never = replayed(demo, file, POINTSMAN_DETECTION__FALL="1000")
    assert {each.said for each in never.values()} == {"not at all"}

    shown = pointsman(demo.directory, "replay", str(file), "--config", str(demo.directory / "config.toml"))
    first = next(line for line in shown.out.splitlines() if line.startswith("osaka "))
    assert first.split()[:3] == ["osaka", "svc1.net.", "address_erased"]


def test_what_a_killed_recorder_has_written_can_be_replayed(demo: Program, tmp_path: Path) -> None:
    file = tmp_path / "tape"
    with recording(demo, file) as process:
        outage(demo)
        eventually(lambda: b"address_restored" in file.read_bytes())
        process.kill()
    file.write_bytes(file.read_bytes() + b'{"line":"tick","no')
    assert replayed(demo, file).keys() == {"address_erased", "address_restored"}
    there = demo.command("record", str(file))
    assert (there.code, there.refusal) == (1, f"pointsman: {file} is there already: name another, or add --rotate\n")

    broken = file.read_bytes().splitlines(keepends=True)
    broken[9] = b"nonsense\n"
    file.write_bytes(b"".join(broken))
    wrong = pointsman(tmp_path, "replay", str(file), "--config", str(demo.directory / "config.toml"))
    assert wrong.code == 1
    assert wrong.refusal.startswith(f"pointsman: {file}:10: not a line of a recording: ")


def test_a_recording_is_bounded_and_holds_no_settings(demo: Program, tmp_path: Path) -> None:
    file = tmp_path / "tape.gz"
    full = demo.command("record", str(file), "--max-size", "0.1")
    assert (full.code, full.out) == (0, f"{file}: full, 0.1 MiB\n")
    text = gzip.decompress(file.read_bytes()).decode()
    assert len(text) < 1 << 20
    assert "redis://" not in text
    assert "client_key" not in text
    with recording(demo, file, "--rotate", "--max-size", "0.1"):
        eventually((tmp_path / "tape.gz.1").exists, within=60)
        assert gzip.decompress((tmp_path / "tape.gz.1").read_bytes()).decode() == text


def test_a_recorder_is_told_that_pointsman_has_ended(tmp_path: Path) -> None:
    with running(tmp_path / "lab", dns_port=0) as config, program(config) as it:
        file = tmp_path / "tape"
        with recording(it, file) as process:
            it.end()
            _, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert err.startswith("pointsman: the recording ended: ")
        assert file.read_bytes().count(b"\n") > 1
