"""Reads the settings: flags over environment over file over defaults, and every problem in one go, each with its place.

The environment is read by pydantic-settings, the file by tomllib. Where a value came from is kept until all is checked,
so that a problem can name the line, the variable or the flag. Called by the CLI and by the engine's reload.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from core.errors import ConfigError
from core.settings import checks, explain, files
from core.settings.locate import Lines, Loc
from core.settings.root import Settings

Data: TypeAlias = dict[str, Any]

_LISTS = ("zone", "app", "cluster", "internal_dns", "provider")
_PREFIX = "POINTSMAN_"
_COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place; ``note`` when it keeps nothing from starting. ``str`` is the operator's line, printable."""

    place: str
    line: int | None
    key: str
    text: str
    note: bool = False

    def __str__(self) -> str:
        place = f"{self.place}:{self.line}" if self.line else self.place
        line = ": ".join(part for part in (place, self.key, self.text) if part)
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def load(
    path: Path | None, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings, with every path absolute: the file's own are relative to it, others to the working directory.

    ``flags`` are values by dotted key (``"log.format"``), None where a flag was not given. Raises ConfigError with all
    problems, one line each.
    """
    settings, found = _examine(path, flags, environ)
    if errors := [str(problem) for problem in found if not problem.note]:
        raise ConfigError(*errors)
    return settings


def problems(
    path: Path | None, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Problem, ...]:
    """Everything that load() would object to, and notes on what is allowed and probably not meant."""
    return _examine(path, flags, environ)[1]


@dataclass(frozen=True, slots=True)
class _Source:
    """Values from one place, and the directory that its paths start from. Only a file has lines."""

    place: str
    data: Data
    base: Path
    lines: Lines | None = None


class _Sources:
    """Where the values came from, highest precedence first."""

    def __init__(self, sources: Iterable[_Source]) -> None:
        self._sources = tuple(sources)

    def merged(self) -> Data:
        whole: Data = {}
        for source in reversed(self._sources):
            whole = _merged(whole, source.data)
        return whole

    def origin(self, loc: Loc) -> _Source:
        """The source that a value came from, or that holds the table in which it is missing."""
        best = self._sources[-1]
        live: list[tuple[_Source, Any]] = [(source, source.data) for source in self._sources]
        for part in loc:
            live = [(source, inner[part]) for source, inner in live if _has(inner, part)]
            if not live:
                break
            best = live[0][0]
            if not isinstance(live[0][1], dict):
                live = live[:1]
        return best

    def base(self, loc: Loc) -> Path:
        return self.origin(loc).base

    def problem(self, loc: Loc, text: str, note: bool = False) -> Problem:
        source = self.origin(loc)
        return Problem(source.place, source.lines.line(loc) if source.lines else None, explain.key(loc), text, note)


def _examine(
    path: Path | None, flags: Mapping[str, object] | None, environ: Mapping[str, str] | None
) -> tuple[Settings, tuple[Problem, ...]]:
    """The settings as far as they are valid, and the problems in the order of their places."""
    found: list[Problem] = []
    file = _file(path, found) if path else _Source("", {}, Path.cwd())
    variables = _environment(os.environ if environ is None else environ, found)
    if found:
        return Settings(), tuple(found)
    sources = _Sources((_Source(_COMMAND_LINE, _nested(flags or {}), Path.cwd()), *variables, file))
    data = sources.merged()
    invalid = _invalid(data)
    found.extend(sources.problem(loc, text) for loc, text in invalid)
    clusters = data["cluster"] if isinstance(data.get("cluster"), list) else []
    names = frozenset(str(each["name"]) for each in clusters if _has(each, "name"))
    valid, kept = _without(data, [loc for loc, _ in invalid])

    def written(loc: Loc) -> Loc:
        """The place of a valid value among all that are written."""
        match loc:
            case (str(name), int(index), *rest) if name in kept:
                return (name, kept[name][index], *rest)
        return loc

    settings = files.absolute(Settings(**valid), lambda loc: sources.base(written(loc)))
    for finding in (*checks.findings(settings, names), *files.findings(settings)):
        first = f", first at {explain.key(written(finding.first))}" if finding.first else ""
        found.append(sources.problem(written(finding.loc), finding.text + first, finding.note))
    return settings, tuple(sorted(found, key=lambda problem: (problem.place, problem.line or 0)))


def _invalid(data: Data) -> list[tuple[Loc, str]]:
    """What the models refuse. Keys with a leading underscore never reach them, as pydantic-settings takes those itself."""
    unknown = [key for key in data if key not in Settings.model_fields]
    found: list[tuple[Loc, str]] = [((key,), explain.unknown(key, Settings)) for key in unknown]
    try:
        Settings(**{key: value for key, value in data.items() if key not in unknown})
    except ValidationError as error:
        errors = error.errors()
        # A list is also called too short when none of its items was valid: the items say more.
        above = {each["loc"][:-1] for each in errors}
        found.extend(
            (each["loc"], explain.sentence(each))
            for each in errors
            if each["type"] != "too_short" or each["loc"] not in above
        )
    return found


def _without(data: Data, invalid: Iterable[Loc]) -> tuple[Data, dict[str, list[int]]]:
    """The data less every section, zone, app and cluster with a problem, so that the rest can be checked as a whole.

    The second part tells, for each list, which of the written ones are left.
    """
    bad = {loc[:2] if loc[0] in _LISTS else loc[:1] for loc in invalid}
    if ("cluster",) in bad:
        bad.add(("app",))
    valid = {key: value for key, value in data.items() if (key,) not in bad}
    kept: dict[str, list[int]] = {}
    for name in _LISTS:
        if name in valid:
            kept[name] = [index for index in range(len(valid[name])) if (name, index) not in bad]
            valid[name] = [valid[name][index] for index in kept[name]]
    return valid, kept


def _file(path: Path, found: list[Problem]) -> _Source:
    source = _Source(str(path), {}, path.absolute().parent)
    try:
        text = path.read_bytes().decode()
        return _Source(source.place, tomllib.loads(text), source.base, Lines(text))
    except OSError as error:
        found.append(Problem(str(path), None, "", f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        found.append(Problem(str(path), None, "", f"is not UTF-8 text (octet {error.start})"))
    except tomllib.TOMLDecodeError as error:
        at = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
        place = f"{path}:{at[1]}:{at[2]}" if at else str(path)
        found.append(Problem(place, None, "", f"not TOML: {str(error)[: at.start()] if at else error}"))
    return source


def _environment(environ: Mapping[str, str], found: list[Problem]) -> list[_Source]:
    """One source for each variable, so that problems can name it; a part of a section outranks the section."""
    sources = []
    for variable in sorted((name for name in environ if name.upper().startswith(_PREFIX)), reverse=True):
        section, *keys = variable[len(_PREFIX) :].lower().split("__")
        reader = EnvSettingsSource(Settings)
        reader.env_vars = {variable.lower(): environ[variable]}
        try:
            data = reader() if section in Settings.model_fields else {section: None} if keys else {}
        except SettingsError:
            text = 'not JSON; lists are written ["a", "b"], tables {"key": "value"}'
            found.append(Problem(variable, None, ".".join((section, *keys)), text))
        else:
            sources.append(_Source(variable, data, Path.cwd()))
    return sources


def _nested(flags: Mapping[str, object]) -> Data:
    data: Data = {}
    for dotted, value in flags.items():
        *tables, key = dotted.split(".")
        inner = data
        for table in tables:
            inner = inner.setdefault(table, {})
        if value is not None:
            inner[key] = value
    return data


def _merged(low: Data, high: Data) -> Data:
    both = {key: _merged(low[key], high[key]) for key in low if _tables(low[key], high.get(key))}
    return {**low, **high, **both}


def _tables(*values: object) -> bool:
    return all(isinstance(value, dict) for value in values)


def _has(inner: object, part: str | int) -> bool:
    if isinstance(inner, dict):
        return part in inner
    return isinstance(inner, list | tuple) and isinstance(part, int) and part < len(inner)
