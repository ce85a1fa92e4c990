"""DNS cookies (RFC 7873) whose server part other servers with the same secret understand (RFC 9018). No I/O but the file.

A client that shows a cookie which only its own address can have got is not forged, so that the rate limit leaves it
alone. Called by :mod:`dnsserver.guard`.
"""

from __future__ import annotations

import binascii
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import ConfigError
from core.settings import Settings
from dnsserver.edns import WHOLE

_CLIENT_OCTETS = 8
_WHOLE_OCTETS = 24
_SECRET_OCTETS = 16
_VERSION = b"\x01\0\0\0"
_RENEW, _EXPIRE, _AHEAD = 1800, 3600, 300
"""Seconds of age after which a cookie is replaced, and is no longer good; and by which its clock may be ahead (RFC 9018
section 4.3)."""
_REMEMBERED = 60
_MOST_REMEMBERED = 20000
_MOST_JUDGED = 4000
"""Cookies that are looked into in one second. A hash costs 15 µs here, and a flood of new cookies is not to take more of the
wire thread than this; who comes too late is answered as by a server without cookies."""
_MASK = 0xFFFFFFFFFFFFFFFF


def new_secret() -> bytes:
    return secrets.token_bytes(_SECRET_OCTETS)


def read_secrets(settings: Settings) -> tuple[bytes, ...]:
    """What stands in ``dns.cookie_secrets``, 32 hexadecimal digits a line: the first makes cookies, all know them.

    Nothing where there is no such file. Raises ConfigError with file and line.
    """
    path = settings.dns.cookie_secrets
    if not path:
        return ()
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text of ASCII"
        raise ConfigError(f"{path}: the cookie secrets cannot be read: {reason}") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            secret = binascii.unhexlify(line.strip())
        except binascii.Error:
            secret = b"?"
        if secret and len(secret) != _SECRET_OCTETS:
            raise ConfigError(f"{path}:{number}: a cookie secret is 32 hexadecimal digits")
        found += [secret] if secret else []
    if not found:
        raise ConfigError(f"{path}: no cookie secret: 32 hexadecimal digits on a line")
    return tuple(found)


class Cookies:
    """Makes and knows server cookies. ``clock`` gives seconds since 1970. For one thread."""

    def __init__(self, keys: Sequence[bytes], clock: Callable[[], float] = time.time) -> None:
        self._keys = tuple((int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")) for key in keys)
        self._clock = clock
        self._known: dict[tuple[bytes, bytes], tuple[float, bytes, bool]] = {}
        self._second, self._judged = 0, 0

    def answer(self, shown: bytes, client: bytes) -> tuple[bytes, bool]:
        """The options to answer the cookie with that a client at an address shows, their length first, nothing when there is no
        time for it; and whether its server part is good. A client shows the same cookie with every query: the outcome is kept for a minute.
        """
        trusted: set[int] = set()
        return self.echo(lambda _: client, trusted)(0, shown), bool(trusted)

    def echo(self, peer: Callable[[int], bytes], trusted: set[int]) -> Callable[[int, bytes], bytes]:
        """As :meth:`answer`, for packets that came together: from a packet's place and its cookie to the options, where the place
        goes to ``trusted`` when the cookie is good. ``peer`` gives the address at a place. Called for most queries: each line is a per cent."""
        now, known, look, trust = self._clock(), self._known.get, self._look, trusted.add

        def answer(place: int, shown: bytes) -> bytes:
            client = peer(place)
            found = known((shown, client))
            if found is None or found[0] < now:
                found = look(shown, client, now)
            if found[2]:
                trust(place)
            return found[1]

        return answer

    def _look(self, shown: bytes, client: bytes, now: float) -> tuple[float, bytes, bool]:
        if self._second != int(now):
            self._second, self._judged = int(now), 0
        if self._judged >= _MOST_JUDGED:
            return now, b"", False
        self._judged += 1
        cookie, good = self._judge(shown, client, int(now))
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        found = self._known[shown, client] = now + _REMEMBERED, WHOLE + cookie, good
        return found

    def _judge(self, shown: bytes, client: bytes, now: int) -> tuple[bytes, bool]:
        mine, stamp = shown[:_CLIENT_OCTETS], shown[12:16]
        if len(shown) == _WHOLE_OCTETS and shown[8:9] == _VERSION[:1]:
            age = (now - int.from_bytes(stamp) + 0x80000000 & 0xFFFFFFFF) - 0x80000000  # serial arithmetic, RFC 1982
            if -_AHEAD <= age <= _EXPIRE:
                for number, key in enumerate(self._keys):
                    if hmac.compare_digest(_hash(shown[:16] + client, key), shown[16:]):
                        fresh = age < _RENEW and not number
                        return shown if fresh else self._make(mine, client, now), True
        return self._make(mine, client, now), False

    def _make(self, mine: bytes, client: bytes, now: int) -> bytes:
        head = mine + _VERSION + (now & 0xFFFFFFFF).to_bytes(4)
        return head + _hash(head + client, self._keys[0])


def _hash(data: bytes, key: tuple[int, int]) -> bytes:
    """SipHash-2-4 (Aumasson, Bernstein 2012), which RFC 9018 section 4.4 prescribes and no module at hand has."""
    a, b = key[0] ^ 0x736F6D6570736575, key[1] ^ 0x646F72616E646F6D
    c, d = key[0] ^ 0x6C7967656E657261, key[1] ^ 0x7465646279746573
    padded = data + bytes(7 - len(data) % 8) + bytes((len(data) & 0xFF,))
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        a, b, c, d = _rounds(2, a, b, c, d ^ word)
        a ^= word
    a, b, c, d = _rounds(4, a, b, c ^ 0xFF, d)
    return (a ^ b ^ c ^ d).to_bytes(8, "little")


def _rounds(count: int, a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    for _ in range(count):
        a = a + b & _MASK
        b = (b << 13 | b >> 51) & _MASK ^ a
        a = (a << 32 | a >> 32) & _MASK
        c = c + d & _MASK
        d = (d << 16 | d >> 48) & _MASK ^ c
        a = a + d & _MASK
        d = (d << 21 | d >> 43) & _MASK ^ a
        c = c + b & _MASK
        b = (b << 17 | b >> 47) & _MASK ^ c
        c = (c << 32 | c >> 32) & _MASK
    return a, b, c, d
