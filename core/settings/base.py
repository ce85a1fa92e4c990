"""What the settings models share: strictness and the types that recur. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A table of the settings file. Unknown keys are errors; values are immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LABEL = re.compile(r"^(\*|[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)$")


def seconds(value: object) -> object:
    """``1.5`` or ``"250ms"``, ``"30m"``, ``"1h"`` as seconds."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", value)
        if not match:
            raise ValueError('not a length of time: write seconds, or a number with ms, s, m, h or d ("250ms", "30m")')
        return float(match[1]) * _UNITS[match[2] or "s"]
    return value


def _domain(value: str) -> str:
    name = value.lower().rstrip(".")
    labels = name.split(".")
    if not name or len(name) > 253 or not all(_LABEL.match(label) for label in labels):
        raise ValueError("not a domain name")
    return name + "."


def _address(value: str) -> str:
    return str(ip_address(value))


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", value):
        raise ValueError("not a name: letters, digits, '.', '_' and '-', at most 63, beginning with a letter or digit")
    return value


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0)]
PositiveSeconds = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
DomainName = Annotated[str, AfterValidator(_domain)]
Address = Annotated[str, AfterValidator(_address)]
Name = Annotated[str, AfterValidator(_name)]
Percent = Annotated[
    int,
    BeforeValidator(lambda v: int(v[:-1]) if isinstance(v, str) and re.fullmatch(r"\d+%", v) else v),
    Field(ge=0, le=100),
]
Port = Annotated[int, Field(ge=0, le=65535)]
