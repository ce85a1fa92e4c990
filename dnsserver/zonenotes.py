"""What is allowed in a zone file and seldom meant. Pure. Called by :mod:`dnsserver.server` for ``pointsman check``.

NSD says nothing of these, Knot and BIND warn.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.settings import Settings
from dnsserver.wireform import labels_of, text_of
from dnsserver.zone import AAAA, CNAME, NS, A, Zone, Zones, find


def notes(settings: Settings, zones: Zones) -> Iterator[str]:
    """One line each, of the zones that have a file."""
    for section in settings.zone:
        if section.file:
            for line in _of_zone(zones[labels_of(section.name)], zones):
                yield f"{section.file}: {line}"


def _of_zone(zone: Zone, zones: Zones) -> Iterator[str]:
    for name, node in zone.nodes.items():
        for target in node.rrsets[NS].targets if NS in node.rrsets else ():
            if find(zones, target) is zone and (trouble := _trouble(zone, target)):
                yield f"the name server {text_of(target)} of {text_of(name)} {trouble}"


def _trouble(zone: Zone, target: tuple[bytes, ...]) -> str:
    node = zone.nodes.get(target)
    if node is None or not (node.app or node.rrsets.keys() & {A, AAAA, CNAME}):
        return "has no address"
    if CNAME in node.rrsets:
        return "is an alias (RFC 2181 section 10.3)"
    return ""
