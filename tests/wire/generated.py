"""Zones and questions by the dice, for the differential test: the same seed makes the same ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

TYPES = (
    "A",
    "AAAA",
    "NS",
    "CNAME",
    "DNAME",
    "SOA",
    "MX",
    "TXT",
    "SRV",
    "CAA",
    "HTTPS",
    "NAPTR",
    "PTR",
    "DS",
    "ANY",
    "NSEC",
    "RRSIG",
    "TYPE65280",
)
MOST_CHARACTERS = 254
"""Of a name with its last dot: 255 octets on the wire (RFC 1035 section 2.3.4)."""
WORDS = ("a", "b", "c", "web", "mail", "x1", "long-label-of-some-length", "_sip", "under_score", "UPPER")
LONG_TEXT = '"' + "y" * 255 + '" "' + "z" * 200 + '{n}"'
DATA = {
    "A": ("192.0.2.{n}",),
    "AAAA": ("2001:db8::{n:x}",),
    "MX": ("10 {name}", "20 mx.elsewhere.test."),
    "TXT": (LONG_TEXT, '"plain {n}"', '"two" "strings; with a semicolon"', '"\\"quoted\\" and \\226\\130\\172"', '""'),
    "SRV": ("0 5 5060 {name}",),
    "CAA": ('0 issue "ca{n}.test"',),
    "HTTPS": ("1 . alpn=h2,h3 port=8443", "0 {name}", "1 {name} ipv4hint=192.0.2.{n}"),
    "NAPTR": ('100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .',),
    "PTR": ("{name}",),
    "TYPE65280": ("\\# 3 01{n:02x}ff", "\\# 0"),
}  # fmt: skip


class Generated:
    """A zone: its text, and the names in and around it."""

    def __init__(self, origin: str, seed: int, others: Sequence[str] = ()) -> None:
        """``others`` are the origins of zones that aliases may lead to."""
        self.origin = origin
        self._others = others
        self._dice = random.Random(f"{origin}/{seed}")
        self._plain: list[str] = []
        self._cuts: list[str] = []
        self._lines = [
            "$TTL 300",
            f"@ SOA ns1 hostmaster 1 7200 900 86400 {self._dice.choice((60, 3600))}",
            "@ NS ns1",
            "@ NS ns.elsewhere.test.",
            "ns1 A 192.0.2.53",
            "ns1 AAAA 2001:db8::53",
            "@ MX 10 ns1",
        ]
        room = MOST_CHARACTERS - len(origin)
        self._longest = ".".join(["o" * 49] * (room // 50) + ["o" * (room % 50 - 1)] * (room % 50 > 1))
        self._fill()
        self.text = "\n".join(self._lines) + "\n"

    def questions(self, count: int) -> Iterator[tuple[str, str]]:
        """Names that are there, that nearly are, and that are not, with every type."""
        known = [*self._plain, *self._cuts, "ns1", "@", self._longest, f"{'l' * 60}.far", f"{'l' * 9}.far"]
        for _ in range(count):
            name = self._dice.choice(known)
            match self._dice.randrange(8):
                case 0:
                    name = f"{self._dice.choice(WORDS)}.{name}"
                case 1:
                    name = name.partition(".")[2] or "@"
                case 2:
                    name = f"nothing-{self._dice.randrange(1000)}"
                case 3:
                    name = f"x.y.{name}"
                case 4:
                    name = "*." + (name.partition(".")[2] or name)
                case _:
                    pass
            full = self.origin if name == "@" else f"{name}.{self.origin}".replace(".@.", ".")
            if len(full) < MOST_CHARACTERS:
                yield self._case(full), self._dice.choice(TYPES)

    def _fill(self) -> None:
        dice = self._dice
        for _ in range(14):
            self._plain.append(self._new_name(dice.randint(1, 3)))
        for _ in range(4):
            self._plain.append("*" if dice.random() < 0.15 else "*." + self._new_name(dice.randint(1, 2)))
        self._plain = list(dict.fromkeys(self._plain))
        taken = set(self._plain)
        aliases = [name for name in self._plain if dice.random() < 0.25]
        for name in self._plain:
            if name in aliases:
                self._lines.append(f"{name} CNAME {self._target()}")
                continue
            for rtype in dice.sample(sorted(DATA), dice.randint(1, 4)):
                for form in dice.sample(DATA[rtype], dice.randint(1, len(DATA[rtype]))):
                    ttl = dice.choice(("", "60 ")) if len(DATA[rtype]) == 1 else ""
                    self._lines.append(
                        f"{name} {ttl}{rtype} {form.format(n=dice.randint(1, 200), name=self._target())}"
                    )
        for number in range(3):
            self._cut(f"cut{number}" + dice.choice(("", ".deep", f".{WORDS[number]}")), taken)
        for number in range(2):
            alias = f"moved{number}"
            self._lines.append(
                f"{alias} DNAME {dice.choice((self._target(), 'elsewhere.test.', f'deep.{self._target()}'))}"
            )
            self._lines += [f"{alias} TXT beside-it"] * dice.randint(0, 1)
            self._plain += [alias, f"a.{alias}", f"web.{alias}"]
        far = ".".join(["t" * 49] * 4)
        self._lines += [f"far DNAME {far}.test.", f"{self._longest} A 192.0.2.1", "b.*.star TXT under-an-asterisk"]
        self._lines += [f'bulk TXT "{number} {"b" * 99}"' for number in range(40)]
        self._plain += ["b.*.star", "*.star", "c.star", "far"]

    def _cut(self, name: str, taken: set[str]) -> None:
        dice = self._dice
        self._cuts += [name, f"host.{name}", f"ns.{name}"]
        self._lines += [f"{name} NS ns.{name}", f"ns.{name} A 192.0.2.{dice.randint(1, 200)}"]
        if dice.random() < 0.5:
            self._lines.append(f"{name} NS ns.elsewhere.test.")
        if dice.random() < 0.5:
            self._lines.append(f"{name} DS 1 13 2 {'00' * 32}")
        if dice.random() < 0.5:
            self._lines.append(f"host.{name} A 192.0.2.99")
        if dice.random() < 0.4:
            self._lines.append(f"{name} NS ns1")
        if dice.random() < 0.3:
            self._lines += [f"{name} TXT occluded", f"web.{name} TXT occluded", f"x.y.{name} CNAME ns1"]
        taken.add(name)

    def _new_name(self, depth: int) -> str:
        return ".".join(self._dice.choice(WORDS) for _ in range(depth))

    def _target(self) -> str:
        """Where an alias or a mail exchanger points: inside, under a wildcard, over a cut, nowhere, or elsewhere."""
        inside = [name for name in self._plain if not name.startswith("*")]
        across = [f"{self._dice.choice(WORDS)}.{origin}" for origin in self._others]
        return self._dice.choice(
            [*inside, *across, "nowhere", f"some.{self._dice.choice(inside)}" if inside else "ns1", "host.cut0", "a.moved0", "www.elsewhere.test."]
        )  # fmt: skip

    def _case(self, name: str) -> str:
        return "".join(c.upper() if self._dice.random() < 0.2 else c for c in name)
