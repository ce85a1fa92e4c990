"""A log line is one line, says everything of its event, and cannot be forged from outside."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import structlog

from core.errors import StartError
from core.log import Log, log_event, set_up
from core.model import Event, EventName
from core.text import printable, utc

HOSTILE = "crictl\x1b]0;owned\x07\n2026-01-01 forged\u2028line\x9b2J\u202e"
EVENT = Event(
    EventName.ADDRESS_ERASED, 1_790_000_000.123, "osaka", "svc1.net.", "containers", HOSTILE, since_fault_ms=41.27, id=3
)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield
    structlog.reset_defaults()
    root.handlers[:], logging.raiseExceptions = handlers, raises
    root.setLevel(level)


def written(log: Log, file: Path) -> list[str]:
    log.close()
    text = file.read_text()
    assert text.endswith("\n")
    return text[:-1].split("\n")


def test_a_text_line_holds_the_fields_of_its_event(tmp_path: Path) -> None:
    log = set_up("info", "text", tmp_path / "log")
    log_event(EVENT)
    [line] = written(log, tmp_path / "log")
    assert " warning address_erased at=2026-09-21T14:13:20.123Z cluster=osaka app=svc1.net. cause=containers " in line
    assert line.endswith(" since_fault_ms=41.3 id=3")


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_that_a_node_says_acts_or_forges_a_line(tmp_path: Path, form: Literal["text", "json"]) -> None:
    log = set_up("info", form, tmp_path / "log")
    log_event(EVENT)
    structlog.get_logger().info(HOSTILE, said=HOSTILE)
    logging.getLogger("asyncssh").warning("%s", HOSTILE)
    lines = written(log, tmp_path / "log")
    assert len(lines) == 3
    assert all(line == printable(line) for line in lines)
    if form == "json":
        assert json.loads(lines[0])["evidence"] == HOSTILE


def test_a_traceback_stays_within_its_own_lines(tmp_path: Path) -> None:
    log = set_up("info", "text", tmp_path / "log")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *others = written(log, tmp_path / "log")
    assert first.endswith("error failed")
    assert others[-1].startswith("    | ")
    assert all(line.startswith("    | ") and line == printable(line) for line in others)


def test_what_is_below_the_level_is_left_out(tmp_path: Path) -> None:
    log = set_up("warning", "json", tmp_path / "log")
    structlog.get_logger().info("quiet")
    log_event(Event(EventName.STARTED, 1.0))
    structlog.get_logger().error("loud")
    assert [json.loads(line)["event"] for line in written(log, tmp_path / "log")] == ["loud"]


def test_a_reader_that_stands_still_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.log._WAITING", 50)
    reading, writing = os.pipe()
    said: list[str] = []
    with os.fdopen(writing, "w") as stream:
        log = Log(logging.StreamHandler(stream), logging.Formatter("%(message)s"))
        record = logging.LogRecord("x", logging.INFO, "", 0, "x" * 4000, None, None)
        for _ in range(500):  # far more than the pipe and the queue take
            log.emit(record)

        def read() -> None:
            with os.fdopen(reading) as other:
                said.extend(other.read().splitlines())

        reader = threading.Thread(target=read)
        reader.start()
        while not log._lines.empty():
            pass
        log.emit(record)
        log.close()
    reader.join()
    dropped = [line for line in said if "were dropped" in line]
    assert dropped
    assert sum(int(line.split()[0]) for line in dropped) + len(said) - len(dropped) == 501, "each is there, or counted"


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"log file .*: Is a directory"):
        set_up("info", "text", tmp_path)


def test_times_are_utc_with_milliseconds() -> None:
    assert utc(1_790_000_000.0) == "2026-09-21T14:13:20.000Z"
