"""Durations, instants, ages and counts in words as short as a column. Pure; seconds in, text out."""

from __future__ import annotations

from datetime import UTC, datetime

NONE = "–"


def duration(seconds: float) -> str:
    """At most six characters: ``12s``, ``3m05s``, ``2h07m``, ``4d03h``, ``120d``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02}m"
    days = whole // 86400
    return f"{days}d{whole // 3600 % 24:02}h" if days < 100 else f"{days}d"


def coarse(seconds: float) -> str:
    """As :func:`duration`, in whole minutes from one on."""
    return duration(seconds).split("m")[0] + "m" if 60 <= seconds < 3600 else duration(seconds)


def milliseconds(seconds: float | None) -> str:
    """An answer time: ``4.2ms``, ``38ms``, ``1.20s``."""
    if seconds is None:
        return NONE
    ms = seconds * 1000
    if ms < 9.95:
        return f"{ms:.1f}ms"
    return f"{ms:.0f}ms" if ms < 1000 else f"{seconds:.2f}s"


def since_fault(ms: float | None) -> str:
    """``+83 ms`` since the fault was seen; nothing where there was none."""
    if ms is None:
        return ""
    return f"+{ms:.0f} ms" if ms < 10_000 else f"+{duration(ms / 1000)}"


def age(seconds: float) -> str:
    """The age of data, in steps coarse enough that a healthy header does not flicker."""
    return "live" if seconds < 1 else f"{int(seconds)} s old" if seconds < 120 else f"{duration(seconds)} old"


def clock(at: float, ms: bool = False) -> str:
    """An instant as UTC time of day; nothing for 0, which means not reached."""
    if at <= 0:
        return ""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03}" if ms else f"{when:%H:%M:%S}"


def day(at: float) -> str:
    """The day of an instant, UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def rate(per_second: float) -> str:
    if per_second >= 9950:
        return f"{per_second / 1000:.0f}k q/s"
    return f"{per_second:.1f} q/s" if 0 < per_second < 9.95 else f"{per_second:.0f} q/s"


def count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def duration_setting(seconds: float) -> str:
    """A length of time in the spelling that the settings and the dialogs read: ``90s``, ``30m``."""
    whole = max(1, round(seconds))
    return f"{whole // 60}m" if whole % 60 == 0 else f"{whole}s"
