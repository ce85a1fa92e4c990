"""Who sits at this terminal: the name that orders carry. Called by the commands and the console."""

from __future__ import annotations

import os
import pwd


def name() -> str:
    """The user, and behind sudo the one who called it, whichever user sudo went to."""
    if behind := os.environ.get("SUDO_USER"):
        return behind
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
