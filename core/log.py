"""Logs: one line an event, as text or JSON, to stderr or a file, never in the way of the one who logs.

Owns structlog's and the standard library's set-up. Called once by the composition root; everybody else takes
``structlog.get_logger()``. What nodes say is hostile: whatever acts on a terminal or forges a line is escaped.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from dataclasses import fields
from logging.handlers import RotatingFileHandler
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor

from core.errors import StartError
from core.model import Event, EventName
from core.text import printable, utc

_WAITING = 10_000  # lines; more than that are dropped and counted
_FILE_OCTETS, _FILES = 10 << 20, 3
_LAST_LINES = 1.0  # seconds for what is still waiting at the end
_LOUD = frozenset(
    {
        EventName.EXTERNAL_ANOMALY,
        EventName.ADDRESS_ERASED,
        EventName.ERASE_HELD,
        EventName.FAIL_OPEN,
        EventName.SUSPECT_SELF,
        EventName.FROZEN,
        EventName.STORE_DEGRADED,
        EventName.PEERS_LOST,
        EventName.PEER_LOST,
        EventName.SILENCE_OUTVOTED,
        EventName.OVERRIDE_OVERRULED,
    }
)


def log_event(event: Event) -> None:
    """An event of the history as a line with its fields; empty ones are left out. ``at`` is told as its time (UTC)."""
    found = {field.name: getattr(event, field.name) for field in fields(event) if field.name not in {"name", "at"}}
    kept = {name: value for name, value in found.items() if value not in ("", 0, None, False)}
    if event.since_fault_ms is not None:
        kept["since_fault_ms"] = round(event.since_fault_ms, 1)
    level = logging.WARNING if event.name in _LOUD else logging.INFO
    structlog.get_logger("pointsman").log(level, event.name.value, at=utc(event.at), **kept)


def set_up(level: str, form: Literal["text", "json"], file: Path | None) -> Log:
    """Send every log line to ``file``, or to stderr. Raises StartError when the file cannot be written."""
    target: logging.Handler = logging.StreamHandler(sys.stderr)
    if file is not None:
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = RotatingFileHandler(file, maxBytes=_FILE_OCTETS, backupCount=_FILES, encoding="utf-8")
        except OSError as error:
            raise StartError(f"log file {file}: {error.strerror or error}") from error
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render = _as_text if form == "text" else _as_json
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )
    log = Log(target, formatter)
    logging.raiseExceptions = (
        False  # a full disk or a closed pipe: there is nobody left to tell, least of all the screen
    )
    logging.basicConfig(level=level.upper(), handlers=[log], force=True)
    for noisy in ("asyncssh", "asyncio", "aiosqlite"):  # they tell each packet and statement
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return log


class Log(logging.Handler):
    """Formats where the line arises and writes on a thread: a reader that stands still holds nobody up."""

    def __init__(self, target: logging.Handler, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._target = target
        self._dropped = 0
        self._lines: Queue[str | None] = Queue(_WAITING)
        self._thread = Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Called under the handler's lock, from any thread."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        try:
            if self._dropped:
                self._lines.put_nowait(f"{self._dropped} log lines were dropped: nobody read them in time")
                self._dropped = 0
            self._lines.put_nowait(line)
        except Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what waits, for a second at most."""
        with suppress(Full):
            self._lines.put_nowait(None)
        self._thread.join(_LAST_LINES)
        if not self._thread.is_alive():
            self._target.close()
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            record = logging.LogRecord("", logging.INFO, "", 0, line, None, None)
            self._target.emit(record)


def _as_text(_: object, __: str, found: EventDict) -> str:
    """``2026-11-03T14:05:09.123Z warning address_erased cluster=osaka evidence='…'``, a traceback indented below."""
    head = [str(found.pop(key, "")) for key in ("timestamp", "level", "event")]
    traceback = str(found.pop("exception", ""))
    pairs = [f"{key}={_value(value)}" for key, value in found.items()]
    lines = [
        printable(" ".join([*filter(None, head), *pairs])),
        *(f"    | {printable(t)}" for t in traceback.splitlines()),
    ]
    return "\n".join(lines)


def _value(value: object) -> str:
    text = str(value)
    return text if text and not set(text) & set(" =\"'") else repr(text)


def _as_json(_: object, __: str, found: EventDict) -> str:
    return json.dumps(found, default=str)  # ASCII only, so nothing acts
