"""What the databases have in common: the connection limit, the secrets that are never shown, the missing driver. Pure.

Called by the drivers' modules beside it.
"""

from __future__ import annotations

import importlib
import re
from types import ModuleType
from urllib.parse import unquote

from core.probes.rounds import Answer, NoAnswer
from core.settings import Database

EXTRAS = {"asyncpg": "postgresql", "aiomysql": "mysql", "redis": "redis"}
_USER_INFO = re.compile(r"(://[^/@\s:]*:)[^@\s]*@")


def driver(module: str, submodule: str = "") -> ModuleType:
    """The driver, an extra of the package. NoAnswer with what to install where it is missing."""
    try:
        return importlib.import_module(module + submodule)
    except ImportError as error:
        raise NoAnswer(f"driver {module} is missing: install pointsman[{EXTRAS[module]}]") from error


def mask(text: str, dsn: str) -> str:
    """``text`` without the password of ``dsn``: drivers put both into their errors."""
    text = text.replace(dsn, _USER_INFO.sub(r"\1***@", dsn)) if dsn else text
    if match := re.search(r"://[^/@\s:]*:([^@\s]+)@", dsn):
        for secret in {match[1], unquote(match[1])}:
            text = text.replace(secret, "***")
    return _USER_INFO.sub(r"\1***@", text)


def limit(setting: int | str, available: int | None) -> int | None:
    """The number of connections that is still well; None where a share is set and the server's own limit is not known."""
    if isinstance(setting, int):
        return setting
    return None if available is None else available * int(setting.rstrip("%")) // 100


def judge(database: Database, used: int, available: int | None) -> Answer:
    """Alive, and not over the limit (spec S9). ``available``: how many connections the server itself allows."""
    allowed = limit(database.max_connections, available)
    of = f" of {available}" if available is not None else ""
    if allowed is None:
        return Answer(True, f"answers; {used} connections, the server's limit is not known")
    if used > allowed:
        return Answer(False, f"{used}{of} connections, over the limit of {allowed}")
    return Answer(True, f"{used}{of} connections, limit {allowed}")


def full(message: str) -> Answer:
    return Answer(False, f"full: {message}")
