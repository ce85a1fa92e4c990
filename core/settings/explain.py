"""Puts what pydantic found into the operator's words: what is wrong and what to write. Never shows a secret.

Called by :mod:`core.settings.load`. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from core.settings.base import Section
from core.settings.locate import Loc
from core.settings.root import Settings

_WANTED = {
    "string": "a text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list in [ ]",
    "dict": "a table",
    "model": "a table",
}


def key(loc: Loc) -> str:
    """``cluster[0].node[1].ssh``"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean "ttl"?`` or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def unknown(word: str, table: type[BaseModel]) -> str:
    """That ``word`` is no key of ``table``, and which was probably meant."""
    return "unknown key" + did_you_mean(word, table.model_fields)


def sentence(error: ErrorDetails) -> str:
    """What is wrong with the value at ``error["loc"]``."""
    table, field = _field(error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return f"is missing: write {field.description}" if field else "is missing"
    if kind == "extra_forbidden":
        return unknown(str(error["loc"][-1]), table)
    if kind == "value_error":
        wrong = str(context["error"])
    elif kind == "literal_error":
        wrong = "write one of " + context["expected"].replace("'", '"')
        wrong += did_you_mean(str(error["input"]), choices(field))
    elif kind in ("greater_than_equal", "greater_than", "less_than_equal"):
        wrong = f"must be {error['msg'].removeprefix('Input should be ')}"
    elif kind == "tuple_type" and field and isinstance(error["input"], dict) and any(_sections(field.annotation)):
        header = ".".join(part for part in error["loc"] if isinstance(part, str))
        wrong = f"there can be several: write [[{header}]]"
    elif kind == "too_short":
        wrong = "must not be empty"
    elif wanted := _WANTED.get(kind.split("_")[0]):
        wrong = f"write {wanted}"
    else:
        wrong = error["msg"]
    shown = _shown(error["input"], field)
    return f"is {shown}; {wrong}" if shown else wrong


def _field(loc: Loc) -> tuple[type[BaseModel], FieldInfo | None]:
    """The table that a place is in, and the field that it is or lies in."""
    table: type[BaseModel] = Settings
    field: FieldInfo | None = None
    for part in loc:
        if isinstance(part, int):
            continue
        inner = next(_sections(field.annotation), None) if field else Settings
        if inner is None:
            break
        table, field = inner, inner.model_fields.get(part)
    return table, field


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)


def choices(field: FieldInfo | None) -> list[str]:
    """The words that a field may hold, where it may hold only some."""
    found: list[Any] = [field.annotation] if field else []
    for annotation in found:
        found.extend(get_args(annotation))
    return [choice for choice in found if isinstance(choice, str)]


def _shown(value: object, field: FieldInfo | None) -> str:
    """A short plain value of a key that is no secret, as TOML would write it."""
    secret = field is None or field.annotation is SecretStr or any(_sections(field.annotation))
    if secret or not isinstance(value, str | int | float) or len(str(value)) > 80 or value == "":
        return ""
    return json.dumps(value)
