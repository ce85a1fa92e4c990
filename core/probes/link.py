"""The watch over one channel: octets to frames to the state machine, and its commands back.

Called by :mod:`core.probes.session`. Owns the channel's timer and its end; connections and pauses are the session's.
"""

from __future__ import annotations

import asyncio
import shlex
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources

from core.clock import Clock
from core.model import Kind, Result
from core.probes.check import Check
from core.probes.command import OUTPUT_LIMIT
from core.probes.frames import Flood, Frame, FrameParser
from core.probes.kinds.text import printable
from core.probes.transport import Channel, Transport, Unreachable
from core.probes.watch import Watch
from core.settings import Detection

_GREETING = 5.0  # seconds until a script that has not greeted is given up
_QUIET = 5.0  # seconds, and at least ten ticks, without a line until the channel is given up
_ROUND = 10.0  # seconds in which the script looks thoroughly at each sentinel once, and tells what it has cost
_GAPS = 200  # between lines, of which the lateness is taken
_NOOP = 15.0  # the script ends itself when it is not spoken to for a minute

_BOOT = (
    "unset BASH_ENV ENV; if command -v bash >/dev/null 2>&1; then echo {0} s bash; exec bash --noprofile --norc -s; fi; "
    "echo {0} s sh; exec sh -s"
)


class NoGreeting(Exception):
    """The script did not start; the text says what was there instead."""


class Link:
    """One run of the script. ``heard`` gets the instant of every line, ``report`` results, ``changed`` no arguments:
    it is called when what :meth:`event_driven` says, or the first round, may have changed.
    """

    def __init__(
        self,
        checks: Sequence[Check],
        detection: Detection,
        clock: Clock,
        token: str,
        *,
        heard: Callable[[float], None],
        report: Callable[[Result], None],
        changed: Callable[[], None],
    ) -> None:
        self._checks, self._detection, self._clock, self._token = checks, detection, clock, token
        self._heard, self._report, self._changed = heard, report, changed
        self._parser = FrameParser(token)
        self._complaint = b""
        self._watch: Watch | None = None
        self._channel: Channel | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._out: list[str] = []
        self._heard_at = self._noop_at = self._quiet = 0.0
        self._told: tuple[object, ...] = ()
        loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._done: asyncio.Future[str] = loop.create_future()
        self._gaps: deque[float] = deque(maxlen=_GAPS)
        self._spent: tuple[float, int] | None = None
        self.shell = ""
        self.detail = ""
        self.tick = detection.tick
        self.late: float | None = None
        self.cost: float | None = None

    async def start(self, transport: Transport) -> None:
        """Starts the script. NoGreeting when it does not run there, Unreachable when there is no channel or only garbage."""
        # Octets may come before open() returns; they are handled on the loop once the channel is known.
        self._channel = await transport.open(f"exec /bin/sh -c '{_BOOT.format(self._token)}'", self)
        self._flush()
        await asyncio.wait((self._greeted, self._done), timeout=_GREETING, return_when=asyncio.FIRST_COMPLETED)
        if not self._greeted.done():
            noise = printable((self._complaint or self._parser.noise).decode(errors="replace"))
            why = self._done.result() if self._done.done() else f"no greeting in {_GREETING:g} s"
            self.close()
            raise NoGreeting(f"{why}: {noise}" if noise else why)

    async def finished(self) -> str:
        """Waits for the end of the script, and says why it came. Unreachable when the node was cut off."""
        return await self._done

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._channel:
            self._channel.close()

    @property
    def first_round_done(self) -> bool:
        return self._watch is not None and self._watch.first_round_done

    def event_driven(self) -> tuple[Kind, ...]:
        return self._watch.event_driven if self._watch else ()

    # --- core.probes.transport.Receiver -------------------------------------------------------------------------------

    def data(self, octets: bytes) -> None:
        if self._done.done():
            return
        now = self._clock.now()
        try:
            beat = self._parser.beat(octets, now)
            frames = () if beat else self._parser.feed(octets, now)
            if beat or frames:
                self._gaps.append(now - self._heard_at)
                self._heard_at = now
                if self._watch:
                    self._heard(now)
            # Ticks alone change nothing: the timer looks at the last instant heard when it fires.
            if [frame for frame in frames if frame.op != "t" and self._frame(frame, now)]:
                self._wake()
            self._flush()
        except Flood as flood:
            self._fail(Unreachable(f"the node {flood}"))
        except Exception as error:
            self._fail(error)

    def error(self, octets: bytes) -> None:
        self._complaint = (self._complaint + octets)[-500:]

    def ended(self, code: int | None) -> None:
        self._finish("the watch ended" if code is None else f"the watch ended with exit code {code}")

    # --- lines and time -----------------------------------------------------------------------------------------------

    def _frame(self, frame: Frame, now: float) -> bool:
        """Handles one line; whether it may have changed when something is due, or what is told."""
        if frame.op == "u":
            self._measured(frame.number, now)
            return True
        if self._watch:
            return self._watch.on(frame, now)
        if frame.op == "s" and not self.shell and frame.data in (b"bash", b"sh"):
            self.shell = frame.data.decode()
            self._out.append(script(self.shell, self._token, self._detection))
        elif frame.op == "h" and self.shell:
            self._greet(frame.data, now)
            return True
        return False

    def _greet(self, greeting: bytes, now: float) -> None:
        _, hidden, *_ = *greeting.split(b" "), b"", b""
        bash = self.shell == "bash"
        notes = [] if bash else ["no bash: using sh"]
        if hidden != b"0":
            notes.append("no sentinels: /proc hides other users' processes (hidepid)")
        self.detail = "; ".join(notes)
        self.tick = self._detection.tick if bash else self._detection.tick_sh
        self._quiet = max(_QUIET, 10 * self.tick)
        self._noop_at = now + _NOOP
        self._watch = Watch(
            self._checks,
            bash=bash,
            sentinels=hidden == b"0",
            events=self._detection.events,
            send=self._out.append,
            report=self._report,
        )
        self._watch.begin(now)
        if not self._greeted.done():
            self._greeted.set_result(None)

    def _measured(self, spent: int, now: float) -> None:
        """``spent``: hundredths of a second of CPU (Linux counts them so on every architecture it tells them of)."""
        if self._spent:
            at, before = self._spent
            self.cost = round(max(0, spent - before) / max(now - at, 0.001), 2)
            self.late = round(max(0.0, sorted(self._gaps)[int(len(self._gaps) * 0.99)] - self.tick), 3)
        self._spent = now, spent

    def _wake(self) -> None:
        if self._done.done() or not self._watch:
            return
        now = self._clock.now()
        try:
            due = self._watch.due(now)
            if now >= self._noop_at:
                self._noop_at = now + _NOOP
                self._out.append(".")
            self._flush()
            told = self._watch.first_round_done, self._watch.event_driven, self.late, self.cost
            if told != self._told:
                self._told = told
                self._changed()
        except Exception as error:
            self._fail(error)
            return
        if now >= self._heard_at + self._quiet:
            self._finish(f"no tick for {self._quiet:g} s")
            return
        if self._timer:
            self._timer.cancel()
        delay = min(due, self._noop_at, self._heard_at + self._quiet) - now
        self._timer = asyncio.get_running_loop().call_later(max(0.0, delay), self._wake)

    def _flush(self) -> None:
        if self._out and self._channel:
            self._channel.write(("\n".join(self._out) + "\n").encode())
            self._out.clear()

    def _finish(self, reason: str) -> None:
        if not self._done.done():
            self._done.set_result(reason)

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)


@cache
def _text(name: str) -> str:
    return resources.files("core.probes").joinpath(name).read_text("utf-8")


def script(shell: str, token: str, detection: Detection) -> str:
    """What is sent to the input of that shell, ``bash`` or ``sh``."""
    tick = detection.tick if shell == "bash" else detection.tick_sh
    header = f"T={token} TICK={tick:g} ROUND={max(1, round(_ROUND / tick))} LIMIT={OUTPUT_LIMIT}\n"
    if shell == "bash":
        return f"{header}job() {{\n{_text('job.sh')}}}\n{_text('watch.sh')}"
    return f"{header}JOB={shlex.quote(_text('job.sh'))}\n{_text('watch_posix.sh')}"
