"""The parts that every check has. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from core.model import CheckId, PodReport, Verdict
from core.probes.check import Judgement, Output, Sentinel
from core.probes.kinds.text import printable
from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a check runs: its command, and its times in seconds."""

    command: str
    interval: float
    timeout: float
    events: str = ""


class Base:
    """A check without sentinels; the kinds override what differs."""

    def __init__(self, check: CheckId, schedule: Schedule) -> None:
        self.id = check
        self.command = schedule.command
        self.interval = schedule.interval
        self.timeout = schedule.timeout
        self.events = schedule.events

    def say(self, verdict: Verdict, said: str, pods: tuple[PodReport, ...] = ()) -> tuple[Judgement, ...]:
        """The one judgement of a check that speaks for itself alone."""
        return (Judgement(self.id, verdict, printable(said), pods),)

    def pids_command(self, output: Output) -> str:
        return ""

    def sentinels(self, output: Output, pids: Output | None) -> tuple[Sentinel, ...]:
        return ()


def command(settings: Settings, template: str, **values: str) -> str:
    """A command of the settings with its places filled; values are quoted for the shell. Other braces stay as they are."""
    filled = template.replace("{sudo}", settings.detection.sudo)
    for name, value in values.items():
        filled = filled.replace("{" + name + "}", shlex.quote(value))
    return filled


def sibling(listing: str, subcommand: str, other: str) -> str:
    """The same tool with the same options and another sub-command: ``sudo -n nft list ruleset`` → ``sudo -n nft monitor``.

    So a setting that names another path, socket or wrapper holds for events and pids too. "" where ``listing`` does
    not have the sub-command.
    """
    match = re.search(rf"\s{re.escape(subcommand)}(?=\s|$)", listing)
    return f"{listing[: match.start()]} {other}" if match else ""


def schedule(settings: Settings, line: str, events: str = "") -> Schedule:
    """The times of the settings for one command."""
    detection = settings.detection
    return Schedule(line, detection.interval, detection.timeout, events if detection.events else "")
