"""Reads the records of a zone file (RFC 1035 section 5) with their places. Called by :mod:`dnsserver.zone`.

dnspython reads the syntax. Its own zone class skips records outside the zone without a word and forgets the lines,
so this module takes the records straight from its reader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.tokenizer
import dns.transaction
import dns.zonefile

from core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class StaticRecord:
    """One record as it stands in the file; ``place`` is ``file:line``, the line on which the record begins."""

    owner: dns.name.Name
    ttl: int
    rdata: dns.rdata.Rdata
    place: str


def read(path: Path, zone: str) -> list[StaticRecord]:
    """All records of the file. Raises ConfigError with file and line at the first that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"{path}: the file of zone {zone} cannot be read: {reason}") from error
    lines = _Lines(text, str(path))
    collector = _Collector(lambda: f"{path}:{lines.start}")
    reader = dns.zonefile.Reader(lines, dns.rdataclass.IN, cast(dns.transaction.Transaction, collector))
    reader.current_origin = reader.last_name = dns.name.from_text(zone)
    try:
        reader.read()
    except dns.exception.DNSException as error:
        said = str(error).removeprefix(f"{path}:{lines.where()[1]}: ") or type(error).__name__
        raise ConfigError(f"{path}:{lines.start}: {said}") from error
    return collector.records


class _Lines(dns.tokenizer.Tokenizer):
    """Knows on which line the record began: the reader asks for white space and comments only there."""

    start = 1

    def get(self, want_leading: bool = False, want_comment: bool = False) -> dns.tokenizer.Token:
        if want_leading and want_comment:
            self.start = self.where()[1]
        return super().get(want_leading, want_comment)


class _Collector:
    """What the reader asks of a transaction. The root as origin keeps it from skipping what lies outside the zone."""

    def __init__(self, place: Callable[[], str]) -> None:
        self.manager = self
        self.records: list[StaticRecord] = []
        self._place = place

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return dns.name.root, False, dns.name.root

    def check_put_rdataset(self, check: Any) -> None:
        """The reader offers its CNAME check; :mod:`dnsserver.zone` makes its own, which knows the lines."""

    def _set_origin(self, origin: dns.name.Name) -> None:
        """After ``$ORIGIN``, which the reader itself remembers."""

    def add(self, owner: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        self.records.append(StaticRecord(owner, ttl, rdata, self._place()))
