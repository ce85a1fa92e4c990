"""TSIG keys (RFC 8945), as the settings name them: a file with one line, ``algorithm:name:base64``.

Read by the DNS server and by those who send to other people's. Does file I/O. The secret is never part of a message.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import dns.exception
import dns.name
import dns.tsig

from core.errors import ConfigError

ALGORITHMS = {
    str(name).rstrip("."): name for name in (dns.tsig.HMAC_SHA256, dns.tsig.HMAC_SHA384, dns.tsig.HMAC_SHA512)
}
_SHORTEST = 16
"""Octets of a secret: RFC 8945 section 5 wants the length of the hash; what is shorter than half of it can be guessed."""


def read(path: str) -> dns.tsig.Key:
    """The key in a file. Raises ConfigError with file and line."""
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text of ASCII"
        raise ConfigError(f"{path}: the TSIG key cannot be read: {reason}") from None
    written = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if len(written) != 1:
        raise ConfigError(f"{path}: a TSIG key is one line, algorithm:name:base64")
    number, line = written[0]
    try:
        return _key(line)
    except ValueError as error:
        raise ConfigError(f"{path}:{number}: {error}") from None


def _key(line: str) -> dns.tsig.Key:
    parts = line.split(":")
    if len(parts) != 3:
        raise ValueError("write algorithm:name:base64")
    algorithm, name, secret = parts
    if algorithm.lower() not in ALGORITHMS:
        raise ValueError(f"the algorithm must be one of {', '.join(ALGORITHMS)}")
    try:
        owner = dns.name.from_text(name).canonicalize()
    except dns.exception.DNSException:
        raise ValueError("the name between the colons is not a domain name") from None
    try:
        octets = base64.b64decode(secret, validate=True)
    except binascii.Error:
        raise ValueError("what follows the second colon is not base64") from None
    if len(octets) < _SHORTEST:
        raise ValueError(f"the secret has {len(octets)} octets and needs at least {_SHORTEST}")
    return dns.tsig.Key(owner, octets, ALGORITHMS[algorithm.lower()])
