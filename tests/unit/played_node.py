"""A node that is played line by line for the watch, in simulated time."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.model import CheckId, Kind, Result, SourceId, Verdict
from core.probes.check import Judgement, Output, Sentinel
from core.probes.frames import Frame
from core.probes.watch import Watch

SOURCE = SourceId("tokyo", "node1")


@dataclass
class Listing:
    """A check whose output lists pids; "not" in it is a fail. Judges each name it was given."""

    name: str = "list"
    command: str = "list"
    kind: Kind = Kind.CONTAINERS
    interval: float = 2.0
    timeout: float = 1.0
    events: str = ""
    find: str = ""
    speaks_for: tuple[str, ...] = ()
    read: list[Output] = field(default_factory=list)

    @property
    def id(self) -> CheckId:
        return CheckId(SOURCE, self.kind, self.name)

    def judge(self, output: Output) -> Sequence[Judgement]:
        self.read.append(output)
        verdict = Verdict.FAIL if "not" in output.stdout else Verdict.OK
        names = self.speaks_for or (self.name,)
        return [Judgement(CheckId(SOURCE, self.kind, name), verdict, output.stdout) for name in names]

    def pids_command(self, output: Output) -> str:
        return self.find

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]:
        text = (pids or output).stdout
        return tuple(Sentinel(int(word), "x") for word in text.split() if word.isdigit())


class Played:
    """A watch with a node that does as the test says."""

    def __init__(self, *checks: Listing, bash: bool = True, sentinels: bool = True, events: bool = True) -> None:
        self.sent: list[str] = []
        self.results: list[Result] = []
        self.run = 0
        self.watch = Watch(
            checks, bash=bash, sentinels=sentinels, events=events, send=self.sent.append, report=self.results.append
        )
        self.watch.begin(0.0)

    def lines(self) -> list[str]:
        """Without the sum of what is known, which follows a run's number."""
        lines = [line.rpartition(" ")[0] if re.match(r"r \d+ ", line) else line for line in self.sent]
        self.sent.clear()
        return lines

    def news(self) -> list[Result]:
        results = self.results[:]
        self.results.clear()
        return results

    def say(self, op: str, number: int, data: str, now: float) -> None:
        self.watch.on(Frame(op, number, data.encode()), now)

    def begins(self, number: int, now: float) -> None:
        self.run += 1
        self.say("b", number, str(self.run), now)

    def ends(self, number: int, stdout: str, now: float, *, code: int = 0, stderr: str = "") -> None:
        self.say("o", number, f"{self.run} {base64.b64encode(stdout.encode()).decode()}", now)
        self.say("x", number, f"{self.run} {code} {base64.b64encode(stderr.encode()).decode()}", now)

    def answers(self, number: int, stdout: str, now: float) -> None:
        self.begins(number, now)
        self.ends(number, stdout, now)
