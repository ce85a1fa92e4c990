"""Asking one target again and again: the pace, the deadline and the early question of confirm and database workers.

Owns when a question is asked and what its end becomes (Evidence or Silence); what is asked is the :class:`Target`'s.
Called by :mod:`core.probes.confirm` and :mod:`core.probes.database`. Must not import settings or a driver.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from core.clock import Clock
from core.model import CheckId, Evidence, Result, Silence, SourceStatus
from core.probes.kinds.text import printable
from core.probes.sink import ProbeSink


@dataclass(frozen=True, slots=True)
class Answer:
    """The target answered: well or not well (definite evidence, spec S25)."""

    healthy: bool
    said: str


@dataclass(frozen=True, slots=True)
class Pace:
    """Which check is asked, and how often and how long, in seconds."""

    check: CheckId
    interval: float
    deadline: float


class NoAnswer(Exception):
    """Nothing that tells well from not well; its text is the reason (silence, spec S25)."""


class Target(ABC):
    """What is asked. At most one question at a time; a question may be cancelled at its deadline, then comes `give_up`."""

    @abstractmethod
    async def ask(self) -> Answer:
        """NoAnswer, or any other error: silence. Definite errors (refused, reset) are answers: see `judge_error`."""

    @abstractmethod
    def close(self) -> None:
        """Drops what is held, at once; the next question starts anew."""

    def give_up(self) -> None:
        """The question was cancelled at its deadline."""
        self.close()

    @property
    def held(self) -> bool:
        """Whether there is a connection that can be asked, and whose end is noticed."""
        return False

    async def until_lost(self) -> None:
        """Returns when the held connection has ended without having been announced; is cancelled before a question."""
        await asyncio.Event().wait()


class HeldTarget(Target):
    """A target with one held connection. What fails on a connection that was held is asked once more on a new one:
    servers close idle connections whenever they like (RFC 9112 section 9.3.1 says so of HTTP)."""

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def query(self) -> Answer:
        """Any exception: the connection cannot be used any more."""

    def judge_error(self, error: Exception) -> Answer:
        """What an error on a new connection means; raises NoAnswer where it means nothing definite."""
        return judge_error(error)

    async def ask(self) -> Answer:
        if self.held:
            try:
                return await self.query()
            except NoAnswer:
                raise
            except Exception:  # whatever a driver raises: the new connection below tells what it means
                self.close()
        try:
            await self.open()
            return await self.query()
        except NoAnswer:
            raise
        except Exception as error:
            self.close()
            return self.judge_error(error)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it was made of, at most ten."""
    following: BaseException | None = error
    for _ in range(10):
        if following is None:
            return
        yield following
        following = following.__cause__ or following.__context__


def judge_error(error: Exception) -> Answer:
    """What an error of the network means. Refused or reset by the target is definite; unreachable is not."""
    for one in chain(error):
        if isinstance(one, NoAnswer):
            raise one
        if isinstance(one, ssl.SSLCertVerificationError):
            return Answer(False, f"certificate is not valid: {one.verify_message}")
        if isinstance(one, ConnectionRefusedError):
            return Answer(False, "connection refused")
        if isinstance(one, ConnectionError | EOFError):
            return Answer(False, "connection closed without an answer")
        if isinstance(one, ssl.SSLError):
            return Answer(False, f"TLS: {one.reason or one}")
        if isinstance(one, TimeoutError):
            raise NoAnswer("no answer from the network")
        if isinstance(one, OSError):
            raise NoAnswer(one.strerror or str(one))
    raise NoAnswer(f"{type(error).__name__}: {error}")


async def ask_forever(target: Target, pace: Pace, sink: ProbeSink, clock: Clock) -> None:
    """Ask at ``interval`` seconds, start to start, until cancelled; give up each question after ``deadline``.

    A held connection that ends makes one question at once, and the next only when its time has come: a target that
    closes after each answer is asked no more than twice an interval. The first pause is shortened by a share that
    differs from check to check, so that many workers started together do not ask together.
    """
    told: SourceStatus | None = None
    check = pace.check
    due = clock.now() - pace.interval * (zlib.crc32(str(check).encode()) % 1000 / 1000)
    noticed_at: float | None = None
    try:
        while True:
            result = await _ask(target, pace, clock, noticed_at)
            answered = isinstance(result, Evidence)
            if answered:
                sink.heard(check.source, result.at)
            sink.result(result)
            status = _status(pace, result, held=target.held)
            if status != told:
                told = status
                sink.status(status)
            if noticed_at is None:
                due = max(due + pace.interval, clock.now())
            noticed_at = await _pause(due, target if noticed_at is None else None, clock)
    finally:
        target.close()


def _status(pace: Pace, result: Result, *, held: bool) -> SourceStatus:
    source, kind = pace.check.source, pace.check.kind
    if isinstance(result, Silence):
        return SourceStatus(source, "connecting", False, result.reason)
    return SourceStatus(source, "driver", True, "", (kind,) if held else (), ((kind, pace.interval),))


async def _ask(target: Target, pace: Pace, clock: Clock, noticed_at: float | None) -> Result:
    asked = clock.now()
    try:
        async with asyncio.timeout(pace.deadline):
            answer = await target.ask()
    except TimeoutError:
        target.give_up()
        reason = f"no answer within {pace.deadline:g} s"
    except NoAnswer as silence:
        reason = str(silence)
    except Exception as error:  # a driver's surprise must not end the watching (spec S36)
        target.close()
        reason = f"{type(error).__name__}: {error}"
    else:
        at = clock.now()
        return Evidence(pace.check, answer.healthy, printable(answer.said), at, at - asked, noticed_at)
    at = clock.now()
    return Silence(pace.check, printable(reason), at, at - asked)


async def _pause(due: float, target: Target | None, clock: Clock) -> float | None:
    """Waits until ``due``; the instant at which the target's connection was found to have ended, where that came first."""
    delay = max(0.0, due - clock.now())
    if target is None or not delay:
        await asyncio.sleep(delay)
        return None
    try:
        async with asyncio.timeout(delay):
            await target.until_lost()
    except TimeoutError:
        return None
    return clock.now()


class Unusable(Target):
    """Stands in for a target whose settings or driver cannot be used: silence that says why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def ask(self) -> Answer:
        raise NoAnswer(self._reason)

    def close(self) -> None:
        pass
