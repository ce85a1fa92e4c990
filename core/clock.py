"""The one clock of the process: UTC seconds that no step of the wall clock moves."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the Unix epoch, anchored once at creation and advanced by the monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()
