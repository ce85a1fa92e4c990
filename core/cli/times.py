"""Durations as they are written in options: ``30m``, ``2h``."""

from __future__ import annotations

import typer


def duration(text: str, option: str) -> float | None:
    """Seconds; None where nothing is given. BadParameter names the option."""
    if not text:
        return None
    from core.settings.base import seconds  # noqa: PLC0415  # pydantic is slow to import, and rarely needed here

    try:
        found = seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    assert isinstance(found, float)
    return found
