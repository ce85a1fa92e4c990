"""The node's packet routing tables (spec S5): destination rules are listed, and those that the settings require. Pure.

A listing proves that nothing is there only when it is whole and holds nothing but the tool's own grammar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from core.model import CheckId, Verdict
from core.probes.check import Judgement, Output
from core.probes.kinds.base import Base, Schedule
from core.probes.kinds.text import clean, failed

Count = Callable[[str], int | None]
"""The number of rules in a listing; None where it is not such a listing, or not whole."""

_NFT_TABLE = re.compile(r"table \w+ \S+ \{")
_NFT_NOT_A_RULE = re.compile(r"type \w+ hook |policy |comment\b|devices? |hook |\}")
_NFT_ASIDE = re.compile(r'"[^"]*"|\s*# handle \d+$')
_LEGACY = re.compile(r"legacy tables present", re.IGNORECASE)


def nft_rules(text: str) -> int | None:
    """Of ``nft list ruleset``: the lines of chains that are not the chain's own declarations."""
    rules, blocks = 0, list[str]()
    for raw in text.splitlines():
        line = _NFT_ASIDE.sub("", raw.strip())
        if not line or line.startswith("#"):
            continue
        if not blocks and not _NFT_TABLE.match(line):
            return None
        if len(blocks) == 2 and blocks[1] == "chain" and not _NFT_NOT_A_RULE.match(line):
            rules += 1
        for brace in re.findall(r"[{}]", line):
            if brace == "{":
                blocks.append(line.split(" ", 1)[0])
            elif not blocks:
                return None
            else:
                blocks.pop()
    return None if blocks else rules


def iptables_rules(text: str) -> int | None:
    """Of ``iptables-save``: the -A lines of tables that end with COMMIT; also of ``iptables -S`` and ``iptables -L``."""
    rules, table, chain = 0, False, False
    for raw in text.splitlines():
        line = raw.strip()
        if not line:
            chain = False
        elif line.startswith("#"):
            continue
        elif line.startswith("*") and not table:
            table = True
        elif line == "COMMIT" and table:
            table = False
        elif re.match(r"(?:\[\d+:\d+\] )?-A \S", line):
            rules += 1
        elif re.match(r"Chain \S+ \(", line):
            chain = True
        elif chain:
            rules += not re.match(r"(?:num\s+)?(?:pkts\s+bytes\s+)?target\s+prot\b", line)
        elif not re.match(r":\S+ \S+ \[\d+:\d+\]$|-[PN] \S", line):
            return None
    return None if table else rules


class RoutesCheck(Base):
    """One routing table. Each of ``required`` must appear in it."""

    def __init__(self, check: CheckId, times: Schedule, tool: str, count: Count, required: Sequence[str]) -> None:
        super().__init__(check, times)
        self._tool = tool
        self._count = count
        self._required = tuple((text, mention(text)) for text in required)

    def judge(self, output: Output) -> Sequence[Judgement]:
        if reason := failed(output):
            return self.say(Verdict.UNKNOWN, f"{self._tool}: {reason}")
        text = clean(output.stdout)
        if output.truncated:
            return self.say(Verdict.UNKNOWN, f"{self._tool}: the listing is cut off: too long")
        rules = self._count(text)
        if rules is None:
            return self.say(Verdict.UNKNOWN, f"{self._tool}: not a whole listing of rules")
        if not rules:
            hint = ""
            if _LEGACY.search(text) or _LEGACY.search(output.stderr[-4000:]):
                hint = " (legacy tables are present: iptables-legacy-save lists those)"
            return self.say(Verdict.FAIL, f"no rules listed by {self._tool}{hint}")
        if missing := [name for name, pattern in self._required if not pattern.search(text)]:
            return self.say(Verdict.FAIL, f"{self._tool} lists {rules} rules but not {', '.join(missing)}")
        return self.say(Verdict.OK, f"{rules} rules listed by {self._tool}")


def mention(text: str) -> re.Pattern[str]:
    """Finds an address or a chain as a whole: 10.0.0.1 is not in 10.0.0.10, KUBE-SVC not in KUBE-SVC-2."""
    try:
        version = ip_address(text.partition("/")[0]).version
    except ValueError:
        edge = r"[\w.-]"
    else:
        # An address may stand in a range (a-b) or before a port (a:80); in IPv6 the colon belongs to it.
        edge = r"[\w.]" if version == 4 else r"[\w.:]"
    return re.compile(rf"(?<!{edge}){re.escape(text)}(?!{edge})")
