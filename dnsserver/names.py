"""Names that do not exist, of which there is no end, told apart only as far as their answers differ. Pure.

Called by :mod:`dnsserver.cache`. What is answered for a name that stands in no zone is the same for every other such
name of the same length below the same closest encloser (RFC 4592 section 3.3.1): no such name, a wildcard, a referral.
So one answer, built for a stand-in, does for all of them, and a flood of random names neither fills the cache nor has
to be resolved name by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain

from dnsserver.message import HEADER_OCTETS
from dnsserver.wireform import Labels, labels_of_wire, wire_name
from dnsserver.zone import DNAME, Zones

_CLASS_IN = b"\x00\x01"
_LONGEST_NAME = 255
_LONGEST_LABEL = 63
_FILLER = b"\xff"
_OPT_FLAGS = 11
"""Octets from the end of a name to the flags of the OPT."""
_DO = b"\x80"


class Names:
    """All names in the zones, and those that their records point to, with which answers may be compressed; and whether any
    zone is ``signed``. Made once for thousands of zones and many tables."""

    __slots__ = ("_known", "signed")

    def __init__(self, zones: Zones) -> None:
        self.signed = any(zone.signer for zone in zones.values())
        nodes = [(name, node) for zone in zones.values() for name, node in zone.nodes.items()]
        pointed = [
            *(soa_name.label for zone in zones.values() for soa_name in (zone.soa.mname, zone.soa.rname)),
            *(target for _, node in nodes for rrset in node.rrsets.values() for target in rrset.targets),
        ]
        self._known = dict.fromkeys(map(wire_name, chain((name for name, _ in nodes), _with_parents(pointed))), True)
        """Whether unknown names below are answered alike. A name too many does no harm."""
        owners = {name for name, node in nodes if DNAME in node.rrsets}
        if owners:
            self._known = {name: not _is_below(name, owners) for name in self._known}
        for name in [name for name in self._known if _FILLER in name]:
            self._known[name[name[0] + 1 :]] = False

    def stand_in(self, head: bytes, rest: bytes) -> bytes:
        """The query, without an id, whose answer does for the one that begins with ``head``, its header without the id and
        its name in lower case, and ends with ``rest``, type, class and OPT. Nothing where that must be answered as it is.

        Not for what exists, below a DNAME (whose answer holds the name), another class than IN, or where the name would be
        signed.
        """
        if rest[2:4] != _CLASS_IN or (self.signed and rest[_OPT_FLAGS : _OPT_FLAGS + 1] >= _DO):
            return b""
        known = self._known.get
        at = start = HEADER_OCTETS - 2
        last = len(head) - 1
        if last - start >= _LONGEST_NAME:
            return b""
        while at < last:
            alike = known(head[at:])
            if alike is not None:
                return head[:start] + _STAND_INS[at - start] + head[at:] + rest if alike and at > start else b""
            length = head[at]
            if not 0 < length <= _LONGEST_LABEL:
                return b""
            at += length + 1
        return head[:start] + _STAND_INS[at - start] + head[at:] + rest if at == last and not head[at] else b""


def _with_parents(names: Iterable[Iterable[bytes]]) -> Iterable[Labels]:
    for name in names:
        labels = tuple(label.lower() for label in name)
        for depth in range(len(labels)):
            yield labels[depth:]


def _is_below(name: bytes, owners: Collection[Labels]) -> bool:
    labels = labels_of_wire(name)
    return any(labels[depth:] in owners for depth in range(len(labels)))


def _filler(octets: int) -> bytes:
    """Labels that take so many octets, at least two, their lengths included."""
    labels = b""
    while octets:
        taken = min(octets, _LONGEST_LABEL + 1)
        if octets - taken == 1:
            taken -= 1
        labels += bytes((taken - 1,)) + _FILLER * (taken - 1)
        octets -= taken
    return labels


_STAND_INS = (b"", b"", *(_filler(octets) for octets in range(2, _LONGEST_NAME)))
"""What stands in for unknown labels of so many octets."""
