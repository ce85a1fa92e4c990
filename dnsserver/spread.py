"""Which records of an app stand in which answer, and in which order: rotation, shares and weights. Pure.

Called by :mod:`dnsserver.resolve`. Nothing here is random: *turn* is a counter, and the variants that it goes through
hold each record exactly as often as its share says, evenly spread (low discrepancy), so that a few answers already
show the shares.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from math import gcd, lcm

from core.records import AppRecords, Record

_GOLDEN = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: its multiples modulo 2**64 fill the range as evenly as any sequence can."""
_MOST_VARIANTS = 256


class Spread:
    """The variants of the answers with one app's addresses of one family (``version`` 4 or 6; 0 where none is asked for).

    A cluster that has a host name instead of addresses stands alone in its answer, whatever was asked: a CNAME.

    Policy ``all``: every record, the order rotated, a record with share *s* in *s* % of the variants. ``failover``: the
    first of them alone. ``weighted``: one record, as often as weight × share says; its choice needs no variant of its
    own per turn. A record of weight 0 is never answered, unless the app fails open (spec S35). An answer that the
    shares would leave empty holds the record with the highest share (spec S27, S20).
    """

    __slots__ = ("_points", "_policy", "_records", "_steps", "_version", "variants")

    def __init__(self, app: AppRecords, version: int) -> None:
        records = tuple(r for r in app.records if r.weight) or (app.records if app.fail_open else ())
        if app.policy != "failover":  # where the first record alone counts, its lack of a family is no cause to skip it
            records = tuple(r for r in records if r.hostname or not version or _of_version(r, version))
        self._records = records
        self._policy = app.policy
        self._version = version
        self._points: tuple[int, ...] = ()
        self._steps = lcm(*(100 // gcd(100, r.share) for r in records))
        if app.policy == "weighted":
            self._points = tuple(accumulate(r.weight * r.share for r in records))
            if records and not self._points[-1]:
                self._points = tuple(range(1, len(records) + 1))
            self.variants = len(records)
        elif app.policy == "failover":
            self.variants = self._steps if records else 0
        else:
            self.variants = self._steps * min(len(records), max(1, _MOST_VARIANTS // self._steps))

    @property
    def in_order(self) -> bool:
        """Whether the variants go round, one after the other."""
        return not self._points

    def variant(self, turn: int) -> int:
        """The variant, from 0 to ``variants`` - 1, whose turn it is."""
        if self._points:
            return bisect_right(self._points, (turn * _GOLDEN & 0xFFFFFFFFFFFFFFFF) * self._points[-1] >> 64)
        return turn % self.variants

    def addresses(self, variant: int) -> tuple[str, ...]:
        """The addresses of one variant, in order."""
        return tuple(address for record in self._chosen(variant) for address in _of_version(record, self._version))

    def hostname(self, variant: int) -> str:
        """The one name that is answered instead of addresses, where one is."""
        return next((record.hostname for record in self._chosen(variant)[:1]), "")

    def _chosen(self, variant: int) -> tuple[Record, ...]:
        if self._points:
            return (self._records[variant],)
        step, lap = variant % self._steps, variant // self._steps
        chosen = tuple(r for r in self._records if step * r.share % 100 < r.share)
        if not chosen:
            highest = max(r.share for r in self._records)
            chosen = tuple(r for r in self._records if r.share == highest)
            first = (step + lap) % len(chosen) if self._policy == "all" else 0
            return (chosen[first],)
        if self._policy == "failover":
            return chosen[:1]
        first = (step + lap) % len(chosen)
        return chosen[first:] + chosen[:first]


def _of_version(record: Record, version: int) -> tuple[str, ...]:
    return tuple(address for address in record.addresses if (":" in address) == (version == 6))
