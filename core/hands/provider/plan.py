"""What is to change in other people's DNS for one name: from what is there and what should be. Pure.

What is ours is told by a TXT record beside the name (``_pointsman.NAME``), as ExternalDNS does it; unlike there it names the addresses
themselves, so that others may keep theirs under the same name. What it does not name is never deleted. A name is never left empty (spec S27).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.records import AppRecords
from core.settings.base import record_type

TYPES = ("A", "AAAA", "CNAME")
_HERITAGE = "heritage=pointsman"
_STRING = 255


@dataclass(frozen=True, slots=True)
class Records:
    """One RRset: ``values`` in their canonical text form."""

    ttl: int
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a server holds for one name now. ``marks`` are the TXT records beside it, as a zone file has them."""

    records: Mapping[str, Records] = field(default_factory=dict)
    marks: frozenset[str] = frozenset()

    @property
    def places(self) -> frozenset[str]:
        return frozenset(value for records in self.records.values() for value in records.values)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should be there. ``known`` are all addresses and host names of the app's clusters, also those not answered."""

    domain: str
    ttl: int
    places: frozenset[str]
    known: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """``after`` holds the RRsets that change, None for one that goes; ``marks`` are the texts beside the name, None where they stay.

    ``refused`` is why nothing is done, in one line; then nothing changes.
    """

    domain: str
    before: Standing
    after: Mapping[str, Records | None] = field(default_factory=dict)
    marks: frozenset[str] | None = None
    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    refused: str = ""

    @property
    def changes(self) -> bool:
        return bool(self.after) or self.marks is not None


def wanted(app: AppRecords, erased: Iterable[str]) -> Wanted:
    """By the record table: plain DNS knows neither shares nor weights, so a cluster stands there or not."""
    serving = app.records[:1] if app.policy == "failover" else app.records
    places = frozenset(place for record in serving for place in record.places)
    return Wanted(app.domain, app.ttl, places, frozenset((*app.addresses, *erased)))


def mark_name(domain: str) -> str:
    """Where the TXT stands: beside the name, since nothing can stand at a CNAME itself."""
    return f"_pointsman.{domain}" if not domain.startswith("*.") else f"_pointsman._any.{domain[2:]}"


def mark(owner: str, places: Iterable[str]) -> str:
    """Our TXT record, in strings of at most 255 octets (RFC 1035 section 3.3.14)."""
    text = ",".join((_HERITAGE, f"owner={owner}", f"places={'/'.join(sorted(places))}"))
    return " ".join(f'"{text[at : at + _STRING]}"' for at in range(0, len(text), _STRING))


def plan(wanted: Wanted, standing: Standing, owner: str, *, adopt: bool) -> Plan:
    """What to do. ``adopt``: addresses of the app's clusters that stand there without a mark become ours."""

    def refuse(why: str) -> Plan:
        return Plan(wanted.domain, standing, others=others, refused=f"{wanted.domain} {why}")

    marked = _marked(standing.marks)
    ours = marked.get(owner)
    others = standing.places - (ours or frozenset())
    for other in marked.keys() - {owner}:
        return refuse(f'belongs to the pointsman that calls itself "{other}"')
    if ours is None and others:
        if not adopt:
            return refuse(f"holds {_listed(others)}, which pointsman has not put there (adopt = true takes them over)")
        others -= wanted.known
    if not wanted.places:
        return refuse("would be left without an address: it stays as it is")
    names = {place for place in wanted.places | others if record_type(place) == "CNAME"}
    if names and (len(names) > 1 or wanted.places | others != names):
        return refuse(f"cannot have {_listed(wanted.places)} beside {_listed(others)}: a CNAME stands alone")
    after = {}
    for rtype in TYPES:
        before = standing.records.get(rtype)
        values = frozenset(place for place in wanted.places | others if record_type(place) == rtype)
        ttl = before.ttl if before and values & others else wanted.ttl
        found = Records(ttl, values) if values else None
        if found != before:
            after[rtype] = found
    marks = frozenset(each for each in standing.marks if not _marked([each])) | {mark(owner, wanted.places - others)}
    return Plan(
        wanted.domain,
        standing,
        after,
        None if marks == standing.marks else marks,
        wanted.places - standing.places,
        standing.places - wanted.places - others,
        others,
    )


def _marked(marks: Iterable[str]) -> dict[str, frozenset[str]]:
    """The places that each owner has put there, by the records that are marks."""
    found = {}
    for record in marks:
        text = record.strip('"').replace('" "', "")
        fields = dict(part.partition("=")[::2] for part in text.split(","))
        if text.startswith(_HERITAGE) and "owner" in fields:
            found[fields["owner"]] = frozenset(filter(None, fields.get("places", "").split("/")))
    return found


def _listed(places: Iterable[str]) -> str:
    return ", ".join(sorted(places)) or "nothing"
