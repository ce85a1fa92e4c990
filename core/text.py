"""Foreign text made safe for a terminal or a log line. Pure; called by the log and the commands.

What nodes say is hostile: escape sequences could move the cursor, and a line break could forge a line of the log.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

# C0 and C1 controls, line and paragraph separators, marks that turn the direction of writing, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text in one line, with everything that acts instead of showing escaped as in Python (``\\x1b``)."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def utc(at: float) -> str:
    """An instant as people and logs read it: ``2026-11-03T14:05:09.123Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
