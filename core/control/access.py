"""The way in over TCP: certificate and tokens, read from their files. Called by the composition root and ``check``.

Nothing here puts a secret into a message: what is wrong is told by file and line.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.control.roles import Caller, Role
from core.errors import ConfigError

if TYPE_CHECKING:
    from core.settings import Control

_SHORTEST = 16  # characters of a token
_TOKEN = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Tokens:
    """Who has which token. Kept as digests: of one length, and of no use to who sees them."""

    def __init__(self, callers: Iterable[tuple[str, Caller]]) -> None:
        self._callers = [(_digest(token), caller) for token, caller in callers]

    def caller(self, authorization: str) -> Caller | None:
        """Whose token the header holds. Takes as long for a wrong one as for a right one, whichever it is."""
        scheme, _, token = authorization.partition(" ")
        given, found = _digest(token), None
        for digest, caller in self._callers:
            if hmac.compare_digest(digest, given):
                found = caller
        return found if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class Access:
    """Where to listen, with which certificate, and for whom."""

    address: tuple[str, int]
    tls: ssl.SSLContext
    tokens: Tokens


def read(control: Control) -> Access | None:
    """What the settings say; None without ``control.tcp``. Raises ConfigError with file and line."""
    if not control.tcp:
        return None
    from core.settings.base import listen_address  # noqa: PLC0415  # pydantic is slow to import, and clients need none of it

    return Access(
        listen_address(control.tcp),
        _server(control.tls_certificate, control.tls_key),
        Tokens(_tokens(Path(control.token_file))),
    )


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """For a client: trusts ``ca_file``, or what the system trusts, and looks at the host's name."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"remote.ca_file {ca_file}: {_reason(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def one_token(path: Path) -> str:
    """The token in a client's file."""
    [(_, words), *more] = _lines(path, "remote.token_file") or [(0, [])]
    if more or len(words) != 1:
        raise ConfigError(f"remote.token_file {path}: one token is to stand there, alone")
    return words[0]


def _server(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        # a passphrase would be asked for at the terminal: there is none
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except OSError as error:
        raise ConfigError(
            f"control.tls_certificate {certificate} with control.tls_key {key}: {_reason(error)};"
            " both are PEM, the key is that of the first certificate and has no passphrase"
        ) from None
    return context


def _tokens(path: Path) -> list[tuple[str, Caller]]:
    found: list[tuple[str, Caller]] = []
    for number, words in _lines(path, "control.token_file"):
        place = f"{path}:{number}"
        role, name, token = words if len(words) == 3 else (Role.ADMIN, "token", words[0])
        if len(words) not in {1, 3} or role not in set(Role) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{place}: write ROLE NAME TOKEN, where ROLE is {', '.join(Role)}; a token alone is an admin's"
            )
        if len(token) < _SHORTEST or not _TOKEN.fullmatch(token):
            raise ConfigError(f"{place}: a token has {_SHORTEST} characters or more, of ASCII (openssl rand -hex 32)")
        if token in [known for known, _ in found]:
            raise ConfigError(f"{place}: this token stands twice")
        found.append((token, Caller(Role(role), name)))
    if not found:
        raise ConfigError(f"control.token_file {path}: holds no token")
    return found


def _lines(path: Path, key: str) -> list[tuple[int, list[str]]]:
    """The words of each line that is neither empty nor a comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key} {path}: {_reason(error)}") from None
    return [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip() and line.lstrip()[0] != "#"]


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "is not text"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return error.strerror or str(error)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
