"""Reads the records of a zone file (RFC 1035 section 5) with their places. Called by :mod:`dnsserver.zone`.

dnspython reads the syntax, ``$GENERATE`` too. Its own zone class skips records outside the zone without a word and
forgets the lines, so this module takes the records straight from its reader; and its ``$INCLUDE`` looks beside the
process, not beside the file that includes, so that is done here.
"""

from __future__ import annotations

import re
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

_DEEPEST = 8
"""Files that may include each other."""
_DIRECTIVES = ("$ORIGIN", "$TTL", "$GENERATE")
"""Beside ``$INCLUDE``. dnspython has ``$UNICODE`` too, which nobody else reads."""
_MOST_GENERATED = 65536
_SPAN = re.compile(r"(\d{1,10})-(\d{1,10})(/\d{1,10})?")
_UNSAID = {
    "Text input is malformed.": "a value that cannot stand there",
    "Text input ended unexpectedly.": "a value is missing",
    "DNS message is malformed.": "data that its type cannot have",
}
"""What dnspython says where it has nothing to say."""


@dataclass(frozen=True, slots=True)
class StaticRecord:
    """One record as it stands in the file; ``place`` is ``file:line``, the line on which the record begins."""

    owner: dns.name.Name
    ttl: int
    rdata: dns.rdata.Rdata
    place: str


def read(path: Path, zone: str) -> list[StaticRecord]:
    """All records of the file. Raises ConfigError with file and line at the first that cannot be read."""
    records: list[StaticRecord] = []
    reader = _Reader(path, f"{path}: the file of zone {zone}", records)
    reader.current_origin = reader.last_name = dns.name.from_text(zone)
    reader.read_all()
    return records


class _Reader(dns.zonefile.Reader):
    """Of one file. The root as origin of the zone keeps it from skipping what lies outside."""

    def __init__(self, path: Path, which: str, records: list[StaticRecord], depth: int = 0) -> None:
        """``which`` begins the message when the file cannot be read."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:  # a NUL in the path, or octets that are not text
            reason = error.strerror if isinstance(error, OSError) else "not a text file"
            raise ConfigError(f"{which} cannot be read: {reason}") from error
        self._path, self._records, self._depth = path, records, depth
        self._lines = _Lines(text, str(path), self._directive)
        collector = _Collector(records, self._place)
        transaction = cast(dns.transaction.Transaction, collector)
        super().__init__(self._lines, dns.rdataclass.IN, transaction, allow_directives=_DIRECTIVES)

    def read_all(self) -> None:
        try:
            self.read()
        except dns.exception.DNSException as error:
            said = str(error).removeprefix(f"{self._path}:{self._lines.where()[1]}: ") or type(error).__name__
            raise ConfigError(f"{self._place()}: {_UNSAID.get(said, said)}") from error

    def _place(self) -> str:
        return f"{self._path}:{self._lines.start}"

    def _directive(self, word: str) -> bool:
        """Does what dnspython does not, or not so well: ``$INCLUDE`` as a whole, of ``$GENERATE`` how much is too much."""
        if word == "$GENERATE":
            span = self._lines.get()
            self._lines.unget(span)  # what is no span, the reader says
            if (match := _SPAN.fullmatch(span.value)) and int(match[2]) - int(match[1]) >= _MOST_GENERATED:
                raise ConfigError(f"{self._place()}: $GENERATE makes at most {_MOST_GENERATED} records")
        elif word == "$INCLUDE":
            self._include()
        return word == "$INCLUDE"

    def _include(self) -> None:
        """``$INCLUDE <file> [<origin>]``: origin, owner and TTLs are as before when it is over (RFC 1035 section 5.1)."""
        path = self._path.parent / self._lines.get_string()
        token = self._lines.get()
        origin = self.current_origin
        if not token.is_eol_or_eof():
            origin = self._lines.as_name(token, self.current_origin)
            self._lines.get_eol()
        if self._depth == _DEEPEST:
            raise ConfigError(f"{self._place()}: $INCLUDE goes deeper than {_DEEPEST} files")
        inner = _Reader(path, f"{self._place()}: {path}", self._records, self._depth + 1)
        inner.current_origin, inner.last_name = origin, self.last_name
        inner.last_ttl, inner.last_ttl_known = self.last_ttl, self.last_ttl_known
        inner.default_ttl, inner.default_ttl_known = self.default_ttl, self.default_ttl_known
        inner.default_ttl_from_soa = self.default_ttl_from_soa
        inner.read_all()


class _Lines(dns.tokenizer.Tokenizer):
    """Knows on which line the record began: the reader asks for white space and comments only there, and there alone
    can a directive stand."""

    start = 1

    def __init__(self, text: str, name: str, directive: Callable[[str], bool]) -> None:
        """``directive`` is called with each in capitals, and tells whether that was all."""
        super().__init__(text, name)
        self._directive = directive

    def get(self, want_leading: bool = False, want_comment: bool = False) -> dns.tokenizer.Token:
        if not (want_leading and want_comment):
            return super().get(want_leading, want_comment)
        while True:
            self.start = self.where()[1]
            token = super().get(want_leading, want_comment)
            if not (token.is_identifier() and token.value[:1] == "$" and self._directive(token.value.upper())):
                return token


class _Collector:
    """What the reader asks of a transaction."""

    def __init__(self, records: list[StaticRecord], place: Callable[[], str]) -> None:
        self.manager = self
        self._records = records
        self._place = place

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return dns.name.root, False, dns.name.root

    def check_put_rdataset(self, check: Any) -> None:
        """The reader offers its CNAME check; :mod:`dnsserver.zone` makes its own, which knows the lines."""

    def _set_origin(self, origin: dns.name.Name) -> None:
        """After ``$ORIGIN``, which the reader itself remembers."""

    def add(self, owner: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        self._records.append(StaticRecord(owner, ttl, rdata, self._place()))
