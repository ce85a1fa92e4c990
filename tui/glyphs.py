"""The sign and the word of each state, and what stands for a sign on a terminal that has only ASCII. Pure."""

from __future__ import annotations

from typing import NamedTuple

from core.model import Verdict
from core.snapshot import ClusterState


class Look(NamedTuple):
    """``tone`` names a :class:`tui.text.Tone`; ``rank`` sorts, worst first; ``bad`` states are never hidden silently."""

    glyph: str
    word: str
    tone: str
    rank: int
    bad: bool = False


STATES: dict[ClusterState, Look] = {
    ClusterState.ABNORMAL: Look("▲", "ABNORMAL", "bad", 0, True),
    ClusterState.ERASED: Look("✖", "ERASED", "bad", 1, True),
    ClusterState.SILENT: Look("?", "SILENT", "warn", 2, True),
    ClusterState.DEGRADED: Look("◐", "DEGRADED", "warn", 3, True),
    ClusterState.RECOVERING: Look("↻", "RECOVERING", "warn", 4, True),
    ClusterState.RAMPING: Look("↗", "RAMPING", "warn", 5),
    ClusterState.HELD_OUT: Look("■", "HELD OUT", "held", 6),
    ClusterState.DRAINED: Look("▽", "DRAINED", "held", 7),
    ClusterState.STARTING: Look("◌", "STARTING", "muted", 8),
    ClusterState.OK: Look("●", "OK", "ok", 9),
}

STALE = Look("⊘", "STALE", "muted", 0, True)

VERDICTS: dict[Verdict, Look] = {
    Verdict.FAIL: Look("✖", "FAIL", "bad", 0, True),
    Verdict.UNKNOWN: Look("?", "UNKNOWN", "warn", 1, True),
    Verdict.OK: Look("●", "OK", "ok", 2),
}

SCALE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Answer times in seconds up to which a bar has its height; the highest is for all beyond. One scale for all clusters."""
BARS = "▁▂▃▄▅▆▇█"
LOST = "×"

ASCII = str.maketrans(
    {
        "▲": "!", "✖": "x", "◐": "~", "↻": "@", "↗": "/", "■": "#", "▽": "v", "◌": ".", "●": "o", "⊘": "%",
        "▸": ">", "◆": "*", "→": ">", "←": "<", "↑": "^", "↓": "v", "·": "-", "–": "-", "—": "-", "…": "~", "×": "x",
        "␦": "?", "─": "-", "◂": "<", "≤": "<", **dict(zip(BARS, "_.,-~=+#", strict=True)),
    }
)  # fmt: skip
