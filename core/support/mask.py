"""Takes secrets out: of settings by what each key means, and of every other text by what the secrets are. Pure.

Settings are masked as they are written, whether they are valid or not: a key that nobody knows could be a password with a
slip of the pen, and is masked whole; of a command only the program is shown, for passwords stand in arguments; of a URL only
where it leads. What was masked, and what stands in the files that hold secrets, is then taken out of all texts as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from core.settings.alerts import Command
from core.settings.base import PathRole
from core.settings.clusters import CustomCheck, Database
from core.settings.hands import InternalDns
from core.settings.sections import Commands

MASK = "***"
SHORTEST = 6
"""Characters of a secret that is looked for in texts: a shorter one would take common words out."""
_TOKEN = 16
_PROGRAMS = {
    (CustomCheck, "command"),
    (CustomCheck, "events"),
    (Database, "command"),
    (Command, "run"),
    (InternalDns, "command"),
    *((Commands, key) for key in Commands.model_fields),
}
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*(?=@)")
_QUERY = re.compile(r"\?\S*")
_PATH = re.compile(r"(?<=[^:/])/\S*")
_WORD = re.compile(r"[^\s'\"=,;@]+")
_SEPARATED = re.compile(r"[\s'\"]+")


class Masker:
    """Masks, and remembers what. ``secrets`` are the texts that must be in no file, ``files`` the paths of those that hold them."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.files: list[str] = []

    def learn(self, text: str) -> None:
        """A text that holds secrets: its lines, the password of a URL, the parts of a key."""
        for line in map(str.strip, text.splitlines()):
            if line.startswith("#"):
                continue
            self._keep(line, *(word for word in line.split()[-1:] if len(word) >= _TOKEN or not word.isalpha()))
            for found in _USER_INFO.findall(line):
                self._keep(found, found.partition(":")[2])
            if line.count(":") == 2 and "/" not in line.partition(":")[0]:  # algorithm:name:base64
                self._keep(line.rpartition(":")[2])
            key, _, value = line.partition(": ")  # YAML, and private keys of DNSSEC
            if value and key.replace("-", "").replace("_", "").strip().isalnum():
                self._keep(value.strip("\"' "))

    def settings(self, data: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
        """The tables and values of a settings file, or a part of them."""
        return {str(key): self._value(value, model, key) for key, value in data.items()}

    def text(self, text: str) -> str:
        """The text without everything that is known to be secret, and without the user of any URL."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return _USER_INFO.sub(MASK, text)

    def _value(self, value: object, model: type[BaseModel], key: str) -> object:
        field = model.model_fields.get(key)
        if field is None:
            self._hide(value)
            return f"{MASK} (no such key)"
        if PathRole.PRIVATE in field.metadata:
            self.files += (
                [value] if isinstance(value, str) else [str(v) for v in value] if isinstance(value, list) else []
            )
        kinds = [*_kinds(field.annotation)]
        if SecretStr in kinds:
            self._hide(value)
            return MASK if value else value
        if (model, key) in _PROGRAMS:
            return value if value == field.default else self._program(value)
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if isinstance(value, dict):
            return self.settings(value, inner) if inner else {str(k): self._plain(v, key) for k, v in value.items()}
        if isinstance(value, list):
            return [
                self.settings(each, inner) if inner and isinstance(each, dict) else self._plain(each, key)
                for each in value
            ]
        return self._plain(value, key)

    def _plain(self, value: object, key: str) -> object:
        if isinstance(value, dict | list):  # deeper than the settings are: wrong, and unknown
            self._hide(value)
            return MASK
        if not isinstance(value, str):
            return value
        for found in _USER_INFO.findall(value):
            self._keep(found, found.partition(":")[2])
        shown = _USER_INFO.sub(MASK, value)
        if key == "url":
            self._keep(*(path[1:] for path in _PATH.findall(value)))
            shown = _PATH.sub(f"/{MASK}", shown)
        elif key == "target":
            self._keep(*(query[1:] for query in _QUERY.findall(value)))
            shown = _QUERY.sub(f"?{MASK}", shown)
        return shown

    def _program(self, value: object) -> object:
        """Of a command the program alone."""
        words = (
            _SEPARATED.split(value)
            if isinstance(value, str)
            else [str(v) for v in value]
            if isinstance(value, list)
            else []
        )
        first = next(
            (index for index, word in enumerate(words) if "=" not in word and word not in {"{sudo}", "sudo"}), 0
        )
        hidden = [*words[:first], *words[first + 1 :]]
        self._keep(*(part for word in hidden for part in _WORD.findall(word) if _is_telling(word, part)))
        return f"{words[first]} {MASK}" if hidden else value

    def _hide(self, value: object) -> None:
        if isinstance(value, dict):
            for each in value.values():
                self._hide(each)
        elif isinstance(value, list):
            for each in value:
                self._hide(each)
        elif value not in (True, False, None, ""):
            self.learn(str(value))

    def _keep(self, *texts: str) -> None:
        self.secrets.update(text for text in texts if len(text) >= SHORTEST)


def _is_telling(word: str, part: str) -> bool:
    """Whether a part of a word of a command may be a secret, and is no path, no option and no word of the language."""
    return not part.startswith(("/", "--")) and (part != word or not part.isalpha())


def _kinds(annotation: Any) -> Iterable[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)
