"""Signatures of one zone's record sets, made once and kept (RFC 4034). Called by whoever answers or signs ahead.

A signature is kept by what it covers, so that a set of addresses that was answered before, or that was signed ahead of an
erase (:mod:`dnsserver.dnssec.ahead`), costs nothing when it is answered again. Threads may sign at the same time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, TypeAlias

import dns.rdata
import dns.rdataclass
import dns.rdatatype

from dnsserver.dnssec.keys import ALGORITHM, Key
from dnsserver.wireform import Labels, wire_name

RRSIG, NSEC, DNSKEY, CDS, CDNSKEY, NXNAME = 46, 47, 48, 59, 60, 128
SIGNED_BY_ALL = frozenset((DNSKEY, CDS, CDNSKEY))
"""Sets that every key signs, so that the parent may have a DS of any of them."""
VALIDITY = 14 * 86400
REFRESH = 7 * 86400
"""Seconds that must be left of a signature that is sent."""
SKEW = 3 * 3600
"""Seconds by which a resolver's clock may be behind ours."""
_KEPT = 20000
_HEAD = Struct("!HBBIIIH")
_RECORD = Struct("!HHIH")
_WITH_NAMES = frozenset(
    int(getattr(dns.rdatatype, name))
    for name in ("NS", "CNAME", "SOA", "PTR", "MX", "DNAME", "SRV", "NAPTR", "RP", "AFSDB", "RT", "PX", "KX", "MINFO")
)
"""Types whose data holds names that count in lower case (RFC 4034 section 6.2 as RFC 6840 section 5.1 has it)."""

_Covered: TypeAlias = tuple[Labels, int, int, tuple[bytes, ...]]


class Signer:
    """The keys of one zone. The first signs everything; the others stand ready, or on their way out."""

    def __init__(self, apex: Labels, keys: Sequence[Key], clock: Callable[[], float] = time.time) -> None:
        self.keys = tuple(keys)
        self._apex = apex
        self._name = wire_name(apex)
        self._clock = clock
        self._young: dict[_Covered, tuple[float, tuple[bytes, ...]]] = {}
        self._old: dict[_Covered, tuple[float, tuple[bytes, ...]]] = {}

    def __reduce__(self) -> tuple[type[Signer], tuple[Labels, tuple[Key, ...]]]:
        """For another process: the keys without what they have signed."""
        return Signer, (self._apex, self.keys)

    def signatures(self, name: Labels, rtype: int, ttl: int, data: Iterable[bytes]) -> tuple[bytes, ...]:
        """Data of the RRSIG records over a set; ``data`` is that of its records in wire form, uncompressed."""
        covered = name, rtype, ttl, tuple(sorted({_canonical(rtype, each) for each in data}))
        now = self._clock()
        kept = self._young.get(covered) or self._old.get(covered)
        if kept is None or kept[0] - now < REFRESH:
            kept = (
                now + VALIDITY,
                tuple(
                    self._sign(key, covered, now) for key in (self.keys if rtype in SIGNED_BY_ALL else self.keys[:1])
                ),
            )
        if covered not in self._young and len(self._young) >= _KEPT:
            self._young, self._old = {}, self._young
        self._young[covered] = kept
        return kept[1]

    def _sign(self, key: Key, covered: _Covered, now: float) -> bytes:
        """RFC 4034 section 3.1.8.1."""
        name, rtype, ttl, data = covered
        labels = len(name) - (name[:1] == (b"*",))
        until, since = int(now) + VALIDITY, int(now) - SKEW
        head = _HEAD.pack(rtype, ALGORITHM, labels, ttl, until & 0xFFFFFFFF, since & 0xFFFFFFFF, key.tag) + self._name
        owner = wire_name(name)
        records = b"".join(owner + _RECORD.pack(rtype, dns.rdataclass.IN, ttl, len(each)) + each for each in data)
        return head + key.sign(head + records)


def nsec(name: Labels, types: Iterable[int]) -> bytes:
    """Data of the NSEC that denies every type but these at a name, and says nothing of any other (RFC 9824 section 3)."""
    return wire_name(_next(name)) + _bitmap({*types, RRSIG, NSEC})


def _next(name: Labels) -> Labels:
    """The immediate successor in the canonical order (RFC 4034 section 6.1)."""
    if len(wire_name(name)) + 2 <= 255:
        return (b"\0", *name)
    first = name[0]
    if len(first) < 63 and len(wire_name(name)) < 255:
        return (first + b"\0", *name[1:])
    last = first.rstrip(b"\xff") or first[:1]
    return (last[:-1] + bytes((min(last[-1] + 1, 255),)), *name[1:])


def _bitmap(types: Iterable[int]) -> bytes:
    """RFC 4034 section 4.1.2."""
    windows: dict[int, bytearray] = {}
    for rtype in sorted(types):
        bits = windows.setdefault(rtype >> 8, bytearray())
        at = (rtype & 0xFF) >> 3
        bits.extend(bytes(at + 1 - len(bits)))
        bits[at] |= 0x80 >> (rtype & 7)
    return b"".join(bytes((window, len(bits))) + bits for window, bits in sorted(windows.items()))


def _canonical(rtype: int, data: bytes) -> bytes:
    if rtype not in _WITH_NAMES:
        return data
    rdata: Any = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType.make(rtype), data, 0, len(data))
    return bytes(rdata.to_digestable())
