"""Text at the edges: foreign text made safe for a terminal or a log line, and instants as people write and read them. Pure.

Called by the log, the commands and the console. What nodes say is hostile: escape sequences could move the cursor, and a line break could forge a line of the log.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

# C0 and C1 controls, line and paragraph separators, marks that turn the direction of writing, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_AGO = re.compile(r"(\d+(?:\.\d+)?) ?([smhd])(?: ago)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME_OF_DAY = re.compile(r"\d\d:\d\d(:\d\d)?")


def printable(text: str) -> str:
    """The text in one line, with everything that acts instead of showing escaped as in Python (``\\x1b``)."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def utc(at: float) -> str:
    """An instant as people and logs read it: ``2026-11-03T14:05:09.123Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant(text: str, now: float) -> float | None:
    """An instant as people write it, in seconds since the epoch; None for what is none.

    ``10m`` and ``1.5h ago`` count back from ``now``; ``14:05`` and ``14:05:30`` are the last such time of day, UTC;
    anything else is read by ISO 8601 (``2026-11-24 14:05``), UTC unless it says otherwise.
    """
    words = " ".join(text.split()).removesuffix(" UTC")
    if ago := _AGO.fullmatch(words):
        return now - float(ago[1]) * _SECONDS[ago[2]]
    try:
        if _TIME_OF_DAY.fullmatch(words):
            today = datetime.fromtimestamp(now, UTC)
            at = datetime.combine(today, time.fromisoformat(words), UTC)
            return (at if at <= today else at - timedelta(days=1)).timestamp()
        day = datetime.fromisoformat(words)
    except (ValueError, OverflowError):
        return None
    return (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
