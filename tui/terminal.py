"""The terminal that the console is on may go away. I/O."""

from __future__ import annotations

import os
import select
import signal
import threading
import time

LEADER_TOLD = 0.5
"""Seconds in which a session's leader has had its SIGHUP and has dealt with it."""


def tell_of_its_end() -> None:
    """SIGHUP to ourselves once the terminal has gone away. The kernel tells the session's leader alone; where that is a shell or a
    ``make`` that waits for us, nobody would be told, and Textual would read the terminal's end again and again."""
    threading.Thread(target=_wait, name="terminal", daemon=True).start()


def _wait() -> None:
    terminal = os.fstat(0)
    ends = select.poll()
    ends.register(0, 0)  # a hang-up is told without being asked for
    ends.poll()
    time.sleep(LEADER_TOLD)
    if os.path.samestat(terminal, os.fstat(0)):  # else it was let go of on the signal
        os.kill(os.getpid(), signal.SIGHUP)
