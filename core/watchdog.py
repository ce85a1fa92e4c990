"""A thread that looks whether the engine and DNS still turn, and tells systemd so (sd_watchdog_enabled(3)).

The service manager is told only while both do: the engine's loop has turned lately, and DNS has answered a question asked from
outside. So one that stands still for :envvar:`WATCHDOG_USEC` is ended and started again. Where the engine stands (a driver
that blocks, a disk that hangs) goes to the log while it stands there. Run by :mod:`core.app`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

import structlog

from core.notify import notify

BEAT = 0.2
"""Seconds between two signs of life of the engine's loop."""
STALLED = 2.0
"""Seconds without one until the engine stands still."""
LOOK = 5.0
"""Seconds between looks where no service manager wants them more often."""
_ANSWER = 1.0
_FRAMES = 6
_QUESTION = b"\0\0\0\1" + bytes(6) + b"\0\0\6\0\1"
"""``. SOA``, behind the id: whatever is answered, it is an answer."""
_log = structlog.get_logger()


def period() -> float | None:
    """Seconds between two signs that systemd wants of this process; None where it wants none. A third of its limit."""
    wanted, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or int(wanted) == 0 or pid not in {"", str(os.getpid())}:
        return None
    return int(wanted) / 3e6


class Watchdog:
    """Watches the loop that :meth:`beat` runs on, and the DNS server at ``address``."""

    def __init__(self, address: tuple[str, int], tell: Callable[[str], None] = notify) -> None:
        host, port = address
        self._address = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104 - compared, not bound
        # Held, so that it is there when no descriptor is left for anything else.
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(_ANSWER)
        self._tell = tell
        self._period = period()
        self._beat_at = time.monotonic()
        self._engine = threading.get_ident()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    async def beat(self) -> None:
        """Until cancelled: the loop turns."""
        self._engine = threading.get_ident()
        self._beat_at = time.monotonic()
        self._thread.start()
        try:
            while True:
                self._beat_at = time.monotonic()
                await asyncio.sleep(BEAT)
        finally:
            self._end.set()
            self._socket.close()

    def _run(self) -> None:
        stood, silent, ask_at = 0.0, False, 0.0
        while not self._end.wait(min(STALLED / 4, self._period or LOOK)):
            now = time.monotonic()
            stands = now - self._beat_at
            if stands > STALLED and not stood:
                _log.error("engine_stalled", seconds=round(stands, 1), at=self._where())
            elif stood and stands <= STALLED:
                _log.warning("engine_goes_on", stood=round(stood, 1))
            stood = stands if stands > STALLED else 0.0
            if now < ask_at:
                continue
            ask_at = now + (self._period or LOOK)
            answers = self._answers()
            if self._end.is_set():  # DNS ends as well
                return
            if answers == silent:
                silent = not answers
                _log.log(30 if answers else 40, "dns_answers_again" if answers else "dns_stalled", asked=self._address)
            if self._period and answers and not stood and time.monotonic() - self._beat_at <= STALLED:
                self._tell("WATCHDOG=1")

    def _where(self) -> str:
        """The innermost places at which the engine's thread stands, outermost first."""
        frame = sys._current_frames().get(self._engine)
        found = traceback.extract_stack(frame)[-_FRAMES:] if frame else []
        return " < ".join(f"{each.filename}:{each.lineno} {each.name}" for each in reversed(found))

    def _answers(self) -> bool:
        """Over TCP where UDP brings nothing: in a flood the rate limit may be what is silent."""
        key = secrets.token_bytes(2)
        question = key + _QUESTION
        with suppress(OSError):  # no answer in time, or a port that nobody has; at the end, closed
            self._socket.sendto(question, self._address)
            while self._socket.recv(4096)[:2] != key:  # the answer to an earlier one, that comes late
                pass
            return True
        with suppress(OSError), socket.create_connection(self._address, _ANSWER) as stream:
            stream.sendall(len(question).to_bytes(2) + question)
            return stream.recv(4, socket.MSG_WAITALL)[2:] == key
        return False
