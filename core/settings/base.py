"""What the settings models share: strictness, the types that recur, and how addresses are written.

Read by the sections and clusters of the settings, and by those who need the parts of an address. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A table of the settings file. Unknown keys are errors; values are immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PathRole(Enum):
    """Marks a text of the settings as a path, which is made absolute when settings are read, and what it is there for."""

    FILE = "must exist"
    PRIVATE = "must exist, and others should not read it"
    CREATED = "is made when it is not there"
    HOST_KEYS = "must exist where SSH is used"


@dataclass(frozen=True, slots=True)
class SshTarget:
    """``[user@]host[:port]`` in its parts; ``user`` is "" where none is written."""

    user: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ConfirmTarget:
    """Where a confirmation message goes; ``host`` "" stands for the cluster's first address. ``path`` is for http(s)."""

    host: str
    port: int
    path: str = ""


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LABEL = re.compile(r"(\*|[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_CONFIRM_PORTS = {"http": 80, "https": 443, "dns": 53, "icmp": 0}


def seconds(value: object) -> object:
    """``1.5`` or ``"250ms"``, ``"30m"``, ``"1h"`` as seconds."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", value)
        if not match:
            raise ValueError('not a length of time: write seconds, or a number with ms, s, m, h or d ("250ms", "30m")')
        return float(match[1]) * _UNITS[match[2] or "s"]
    return value


def is_address(text: str) -> bool:
    """Whether ``text`` is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def record_type(place: str) -> str:
    """``A`` or ``AAAA`` for an address, ``CNAME`` for a host name that stands for a cluster instead."""
    if not is_address(place):
        return "CNAME"
    return "AAAA" if ":" in place else "A"


def host_and_port(text: str, port: int | None = None) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPv6]:PORT`` in its parts; with ``port`` as default a bare HOST or IPv6 will do as well.

    Raises ValueError with the reason.
    """
    match = re.fullmatch(r"\[(?P<v6>[^\]]*)\](?P<port>:.*)?|(?P<host>[^:]*)(?P<port2>:[^:]*)?|(?P<bare>.*)", text)
    if match is None:
        raise ValueError("not HOST:PORT")
    host = match["v6"] or match["host"] or match["bare"] or ""
    if (match["v6"] is not None or match["bare"] is not None) and not (":" in host and is_address(host)):
        raise ValueError("not HOST:PORT: an IPv6 address is written [2001:db8::1]:53")
    if not (is_address(host) or (match["host"] and _HOST.fullmatch(host))):
        raise ValueError("no host name or address stands before the port")
    if re.fullmatch(r"[0-9.]+", host) and not is_address(host):
        raise ValueError("not an IPv4 address")
    digits = match["port"] or match["port2"]
    if digits is None:
        if port is None:
            raise ValueError("the port is missing: write HOST:PORT or [IPv6]:PORT")
        return host, port
    return host, _port(digits[1:])


def listen_address(text: str) -> tuple[str, int]:
    """``ADDRESS:PORT`` or ``[IPv6]:PORT`` in its parts, the address in its usual spelling. Raises ValueError."""
    host, port = host_and_port(text)
    if not is_address(host):
        raise ValueError("not an IP address and port: write 127.0.0.1:53 or [::1]:53")
    return str(ip_address(host)), port


def peer_address(text: str) -> tuple[str, int]:
    """``ADDRESS`` or ``ADDRESS:PORT`` of another name server in its parts, port 53 where none is written."""
    return (str(ip_address(text)), 53) if is_address(text) else listen_address(text)


def ssh_target(text: str) -> SshTarget:
    """``[user@]host[:port]`` in its parts, port 22 where none is written. Raises ValueError."""
    user, at, rest = text.rpartition("@")
    if (at and not user) or re.search(r"\s", user):
        raise ValueError("not [user@]host[:port]: the user's name is empty or holds a blank")
    return SshTarget(user, *host_and_port(rest, 22))


def confirm_target(kind: str, text: str) -> ConfirmTarget:
    """What ``cluster.confirm.target`` means for a kind of message: http(s) ``[HOST[:PORT]]/path``, tcp ``[HOST]:PORT``,
    dns ``[HOST[:PORT]]``, icmp ``[HOST]``. HOST is an address, since a name could be one that is steered (S11).

    Raises ValueError with the reason.
    """
    web = kind in ("http", "https")
    if re.search(r"[\s\x00-\x1f\x7f]|://", text):
        raise ValueError("write [HOST[:PORT]]/path, without http:// and blanks")
    rest, _, path = text.partition("/") if web else (text, "", "")
    default = _CONFIRM_PORTS.get(kind)
    if rest.startswith(":") and not rest.startswith("::"):
        host, port = "", _port(rest[1:])
    elif rest:
        host, port = host_and_port(rest, default)
    elif default is not None:
        host, port = "", default
    else:
        raise ValueError("the port is missing: write [HOST]:PORT")
    if kind == "icmp" and port:
        raise ValueError("icmp knows no ports: write an address alone")
    if host and not is_address(host):
        raise ValueError("not an address: the message never goes through a name (a name belongs in host)")
    return ConfirmTarget(host, port, "/" + path if web else "")


def status_ranges(text: str) -> tuple[range, ...]:
    """``200-399,418`` as ranges of HTTP status codes. Raises ValueError."""
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{3})(?:-(\d{3}))?\s*", part)
        if not match or int(match[1]) > int(match[2] or match[1]):
            raise ValueError("not status codes: write codes and ascending ranges, as in 200-399,418")
        ranges.append(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(ranges)


def _port(digits: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", digits) or int(digits) > 65535:
        raise ValueError("the port is not a number from 0 to 65535")
    return int(digits)


def domain_name(value: str) -> str:
    """The name in lower case with its final dot. Raises ValueError."""
    name = value.lower().rstrip(".")
    labels = name.split(".")
    if not name or len(name) > 253 or "*" in labels[1:] or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError('not a domain name: write labels of letters, digits and "-", as in "svc1.net."')
    return name + "."


def _address(value: str) -> str:
    if not is_address(value):
        raise ValueError("not an IPv4 or IPv6 address")
    return str(ip_address(value))


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", value):
        raise ValueError('not a name: write letters, digits, ".", "_" and "-", at most 63, a letter or digit first')
    return value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return value


def _percent(value: object) -> object:
    return int(value[:-1]) if isinstance(value, str) and re.fullmatch(r"\d{1,9}%", value) else value


def _parsed_by(parse: Any) -> AfterValidator:
    """Keeps a text as it is written when ``parse`` takes it; an empty text is a value that is not set."""

    def check(value: str) -> str:
        if value:
            parse(value)
        return value

    return AfterValidator(check)


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False)]
DomainName = Annotated[str, AfterValidator(domain_name)]
Address = Annotated[str, AfterValidator(_address)]
Name = Annotated[str, AfterValidator(_name)]
Percent = Annotated[int, BeforeValidator(_percent), Field(ge=0, le=100)]
Regex = Annotated[str, AfterValidator(_regex)]
ListenAddress = Annotated[str, _parsed_by(listen_address)]
Peer = Annotated[str, _parsed_by(peer_address)]
Ssh = Annotated[str, _parsed_by(ssh_target)]
HostPort = Annotated[str, _parsed_by(host_and_port)]
