"""What all kinds need to read the output of a node: cleaning it, printing it, telling a refusal from an answer.

Everything a node prints is hostile: it is bounded, stripped of terminal escapes and control characters before anyone
sees it, and never trusted to have the form it should have. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from core.probes.check import Output

SAID_LIMIT = 300
"""Longest text of a judgement, in characters."""
JSON_ATTEMPTS = 20
"""Places at which a document is looked for behind foreign lines; each failed one may cost the whole output."""

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])"
)
_DENIED = re.compile(
    r"permission denied|operation not permitted|must be root|not allowed to execute|not in the sudoers file"
    r"|a password is required|a terminal is required|no tty present|incorrect password|authentication (?:failed|required)"
    r"|access denied|unable to resolve sudo",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(r"(?:command )?not found\s*$", re.IGNORECASE | re.MULTILINE)
_JSON_START = re.compile(r"^[ \t]*(?=[{\[])", re.MULTILINE)


def clean(text: str) -> str:
    """``text`` without terminal escapes, and with the line ends of Unix."""
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def printable(text: str, limit: int = SAID_LIMIT) -> str:
    """``text`` as one line that a terminal can show: no control, format or unassigned characters, at most ``limit``."""
    bounded = clean(text[: limit * 8])
    line = " ".join("".join(c if c.isprintable() else " " for c in bounded).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def complaint(output: Output) -> str:
    """The last line a command said, its errors first; for a text like "exit code 1: …"."""
    for text in (output.stderr, output.stdout):
        lines = [line for line in clean(text[-4000:]).splitlines() if line.strip()]
        if lines:
            return printable(lines[-1], 200)
    return "no output"


def refusal(output: Output) -> str | None:
    """Why the output says nothing about what was checked (spec S25: silence), or None where the command itself spoke.

    Exit codes 126 and 127 are the shell's (POSIX.1-2017 XCU 2.8.2); above 128 a signal ended the command; 255 is ssh's.
    """
    if output.exit_code is None:
        return "no answer within the time limit"
    if output.exit_code in (126, 127) or (output.exit_code and _NOT_FOUND.search(output.stderr[-4000:])):
        return f"cannot be run: {complaint(output)}"
    if output.exit_code and (denied := _DENIED.search(output.stderr[-4000:]) or _DENIED.search(output.stdout[-4000:])):
        return f"not allowed ({printable(denied[0], 60)}): {complaint(output)}"
    if output.exit_code >= 128 or output.exit_code < 0:
        return f"ended with exit code {output.exit_code}: {complaint(output)}"
    return None


def failed(output: Output) -> str | None:
    """As :func:`refusal`, for commands that answer with exit code 0 alone."""
    reason = refusal(output)
    return reason or (f"exit code {output.exit_code}: {complaint(output)}" if output.exit_code else None)


def json_values(text: str) -> Iterator[object]:
    """The JSON documents that begin at the start of a line of ``text``, foreign lines around them skipped."""
    decoder = json.JSONDecoder()
    position = 0
    for _ in range(JSON_ATTEMPTS):
        match = _JSON_START.search(text, position)
        if match is None:
            return
        try:
            value, position = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            newline = text.find("\n", match.end())
            if newline < 0:
                return
            position = newline + 1
            continue
        yield value
