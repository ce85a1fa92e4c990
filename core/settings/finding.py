"""What the checks of the settings find. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from core.settings.locate import Loc


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at one place, or with ``note`` something that is allowed and probably not meant.

    ``first`` is the place of what it repeats, where that is what is wrong.
    """

    loc: Loc
    text: str
    note: bool = False
    first: Loc = ()
