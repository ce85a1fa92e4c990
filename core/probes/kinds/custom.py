"""Commands of the operator's own, with what a well answer holds. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from core.model import CheckId, Verdict
from core.probes.check import Judgement, Output
from core.probes.kinds.base import Base, Schedule
from core.probes.kinds.text import clean, complaint, json_values, refusal
from core.settings import CustomCheck

MATCH_LINES, MATCH_LENGTH = 5_000, 500
"""How much hostile output a regular expression of the settings is run on: lines, and characters of each."""


class CommandCheck(Base):
    """Well when all that the settings expect holds. What an output that is cut off lacks may have stood behind the cut."""

    def __init__(self, check: CheckId, times: Schedule, custom: CustomCheck) -> None:
        super().__init__(check, times)
        self._custom = custom
        self._pattern = re.compile(custom.matches)

    def judge(self, output: Output) -> Sequence[Judgement]:
        name, expected = self._custom.name, self._custom.exit_code
        if output.exit_code is None or output.exit_code != expected:
            if reason := refusal(output):
                return self.say(Verdict.UNKNOWN, f"{name}: {reason}")
            if expected is not None:
                return self.say(Verdict.FAIL, f"{name}: exit code {output.exit_code}: {complaint(output)}")
        missing = self._missing(clean(output.stdout))
        if missing is None:
            return self.say(Verdict.UNKNOWN, f"{name}: the output is not JSON")
        if not missing:
            return self.say(Verdict.OK, f"{name}: as expected")
        if output.truncated:
            return self.say(Verdict.UNKNOWN, f"{name}: the output is cut off, and what is there {missing}")
        return self.say(Verdict.FAIL, f"{name}: the output {missing}")

    def _missing(self, text: str) -> str | None:
        """What is not as expected ("" where nothing is); None where it cannot be told."""
        custom = self._custom
        lines = [line for line in text.splitlines() if line.strip()]
        if custom.contains and custom.contains not in text:
            return f'does not contain "{custom.contains}"'
        if custom.matches and not any(self._pattern.search(line[:MATCH_LENGTH]) for line in lines[:MATCH_LINES]):
            return f"has no line like {custom.matches}"
        if len(lines) < custom.min_lines:
            return f"has {len(lines)} lines, fewer than {custom.min_lines}"
        if custom.json_path:
            path, _, wanted = custom.json_path.partition("=")
            values = list(json_values(text))
            if not values:
                return None
            found = [_at(value, path) for value in values]
            if not any(value == wanted for value in found):
                present = next((value for value in found if value is not None), None)
                return f"has {path} = {present}, not {wanted}" if present is not None else f"has no {path}"
        return ""


def _at(value: object, path: str) -> str | None:
    """The value at ``a.b.0`` as text, a string without its quotes; None where there is none."""
    for key in path.split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
