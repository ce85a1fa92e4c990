"""The errors that leave a part of pointsman. A probe that fails is a value (:class:`core.model.Silence`), not an error."""

from __future__ import annotations


class PointsmanError(Exception):
    """Root of all errors of the project; its text is one line that an operator can act on."""


class ConfigError(PointsmanError):
    """The settings cannot be used. ``problems`` holds one line each, with file, line and key where known."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StartError(PointsmanError):
    """Something outside the settings keeps the program from starting: a busy port, a read-only directory, a full disk."""


class CommandRefused(PointsmanError):
    """An order was not carried out. ``revision`` is the present revision of the first cluster it named, where it has one."""

    def __init__(self, reason: str, revision: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.revision = revision


class NotRunning(PointsmanError):
    """No pointsman process answers on the control socket."""


class InvariantError(PointsmanError):
    """A rule that must always hold does not: a defect of the program."""
