"""The watch of one source, as a state machine: what to send to the script, and what its lines mean.

Rules:
- Every check runs at the greeting, then at its interval, and at once when a sentinel or an event gives a sign.
- A check never runs twice at once. A sign during a run is answered by one more run after it.
- A run is told the sum of the output that is known: where it prints that again, it says so and sends nothing.
- A run without an answer at its timeout is silence; it is ended (TERM, a second later KILL) and never read any more.
- A sentinel that is dead while the listing still names its process is armed again, each time twice as late.
- An event stream never gives a verdict; when it ends it is started again, each time twice as late. That one which had
  proven itself ends is a sign too: its daemon may have died.
- The runs that signs ask for take a tenth of the time: in a flood of events they come ever more seldom, not one after
  the other. A dead sentinel is never made to wait.

Driven by :mod:`core.probes.session` with frames and instants; the two callables it is given must not block. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from core.model import Kind, Result
from core.probes.check import Check, Output
from core.probes.command import Command
from core.probes.frames import Frame
from core.probes.results import Judge

_SENTINELS = 1000  # at most so many for a check
_ALONG = 0.1  # share of its interval by which a check is asked sooner, along with one that is due
_REARM_FIRST = 0.05
_SIGN_HOLDS = 1.0
_STREAM_RETRY, _STREAM_RETRY_LIMIT = 1.0, 60.0
_STREAM_PROVEN = 2.0  # a stream that lives so long is counted on
_SIGNED_SHARE = 0.1
_SIGNED_AHEAD = 5.0  # seconds of that time that may be used up at once, and for which an event waits at most
_SIGNED_LEAST = 0.01  # seconds that a run counts for at least


@dataclass(slots=True)
class _Slot:
    """One check: its command, the command that finds its processes, its sentinels and its event stream."""

    check: Check
    judge: Judge
    main: Command
    pids: Command
    due: float = 0.0
    again: bool = False
    sign: float | None = None  # the first sign no run has begun after
    run_sign: float | None = None  # the sign the present run answers
    event_at: float = inf  # when an event's question is to be asked
    paid_until: float = 0.0  # what signed runs took, stretched to their share of the time
    answered: bool = False
    listing: Output | None = None
    seen: Output | None = None  # the output that is armed by: the same once more arms nothing else
    armed: frozenset[int] = frozenset()
    dead: set[int] = field(default_factory=set)  # told dead, still listed
    rearm_at: float = inf
    rearms: int = 0
    stream_since: float | None = None
    stream_at: float = inf
    stream_ends: int = 0
    proven_at: float = inf
    driven: bool = False  # its stream has proven itself

    @property
    def next(self) -> float:
        """The instant at which something of it is due."""
        return min(
            inf if self.main.awaited else self.due,
            self.main.ends_at,
            self.main.kill_at,
            self.pids.ends_at,
            self.pids.kill_at,
            self.rearm_at,
            self.event_at,
            self.stream_at,
            self.proven_at,
        )


class Watch:
    """See the module. ``bash`` tells which script runs; ``sentinels`` whether other users' processes can be seen.

    ``first_round_done`` once each check has had a result, be it silence; ``event_driven`` are the kinds whose event stream is
    alive and has proven itself."""

    def __init__(
        self,
        checks: Sequence[Check],
        *,
        bash: bool,
        sentinels: bool,
        events: bool,
        send: Callable[[str], None],
        report: Callable[[Result], None],
    ) -> None:
        self._bash, self._sentinels, self._events = bash, sentinels, events
        self._send, self._report = send, report
        self._slots = [
            _Slot(c, Judge(c), Command(2 * i, c.timeout), Command(2 * i + 1, c.timeout)) for i, c in enumerate(checks)
        ]
        self._next = 0.0
        self.first_round_done = not checks
        self.event_driven: tuple[Kind, ...] = ()

    def begin(self, now: float) -> None:
        """The script has greeted: everything is defined and run once."""
        for slot in self._slots:
            self._send(f"c {slot.main.number} {_escaped(slot.check.command)}")
            self._ask(slot, now)
        for slot in self._slots:
            if self._bash and self._events and slot.check.events:
                self._stream(slot, now)

    # --- what the script says -----------------------------------------------------------------------------------------

    def on(self, frame: Frame, now: float) -> bool:
        """One line of the script other than ticks and greetings; whether :meth:`due` is to be called for it sooner than it said, or
        something is to be told. Numbers it was never given are ignored."""
        index, is_pids = divmod(frame.number, 2)
        if index >= len(self._slots):
            return False
        slot = self._slots[index]
        command = slot.pids if is_pids else slot.main
        told = self.first_round_done, self.event_driven
        match frame.op:
            case "b":
                command.began(frame.data, now)
                if command is slot.main:
                    slot.run_sign, slot.sign, slot.event_at = slot.sign, None, inf
            case "o" | "x" | "i":
                run, _, data = frame.data.partition(b" ")
                if not run or run != command.run:
                    return False
                if frame.op == "o":
                    command.more(data)
                    return False
                self._ended(slot, command, frame.op, data, now)
            case "d" if frame.data.isdigit():
                pid = int(frame.data)
                slot.armed -= {pid}
                slot.dead.add(pid)
                self._sign(slot, now, ask=not self._bash)  # the bash script has begun the run already
            case "v":
                self._event(slot, now)
            case "w":
                lived = now - slot.stream_since if slot.stream_since is not None else 0.0
                if lived >= _STREAM_PROVEN:
                    self._event(slot, now)
                slot.stream_ends = 0 if lived > _STREAM_RETRY_LIMIT else slot.stream_ends + 1
                slot.stream_since, slot.proven_at = None, inf
                self._driven(slot, False)
                slot.stream_at = now + min(_STREAM_RETRY_LIMIT, _STREAM_RETRY * 2 ** min(slot.stream_ends, 10))
        before, self._next = self._next, min(self._next, slot.next)
        return self._next < before or told != (self.first_round_done, self.event_driven)

    def _ended(self, slot: _Slot, command: Command, op: str, data: bytes, now: float) -> None:
        try:
            output = command.ended(op, data)
        except ValueError:  # binascii.Error is one: the run stays without an answer and ends at its deadline
            command.run = b""
            return
        if command is slot.main:
            self._answered(slot, output, now, now - command.asked_at)
        elif slot.listing is not None:
            self._listed(slot, slot.listing, output, now)

    def _answered(self, slot: _Slot, output: Output, now: float, took: float) -> None:
        output = slot.judge.known(output)
        for result in slot.judge.answered(output, now, took, slot.run_sign):
            self._report(result)
        self._count(slot)
        slot.due = now + slot.check.interval
        self._pay(slot, now, took)
        if slot.again:
            self._ask(slot, now)
        if not self._sentinels or (output is slot.seen and not slot.dead):
            return
        slot.seen = None
        if find := slot.judge.pids_command(output):
            slot.listing = output
            self._send(f"c {slot.pids.number} {_escaped(find)}")
            self._send(slot.pids.ask(now))
        else:
            self._listed(slot, output, None, now)

    def _listed(self, slot: _Slot, output: Output, pids: Output | None, now: float) -> None:
        found = sorted({s.pid for s in slot.judge.sentinels(output, pids) if s.pid > 0})
        slot.listing = None
        slot.dead.intersection_update(found)
        if slot.dead:
            if slot.run_sign is not None and now < slot.run_sign + _SIGN_HOLDS:
                slot.sign = slot.sign or slot.run_sign  # the runtime has not noticed yet: the sign stands
            slot.rearm_at = now + min(slot.check.interval, _REARM_FIRST * 2 ** min(slot.rearms, 16))
            slot.rearms += 1
        else:
            slot.rearm_at, slot.rearms = inf, 0
        if pids is None and not slot.dead:
            slot.seen = output
        self._arm(slot, frozenset(found[:_SENTINELS]) - slot.dead)

    def _arm(self, slot: _Slot, pids: frozenset[int]) -> None:
        if pids != slot.armed:
            slot.armed = pids
            self._send(f"s {slot.main.number} {' '.join(map(str, sorted(pids)))}".rstrip())

    # --- what the clock says ------------------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        """Does what is due at ``now`` and returns the instant at which to be called next."""
        if now < self._next:
            return self._next
        # What is due soon is asked along: one packet each way, and one start of it all on the node.
        ahead = _ALONG if any(now >= slot.due and not slot.main.awaited for slot in self._slots) else 0.0
        for slot in self._slots:
            if now >= slot.next:
                self._act(slot, now)
            if not slot.main.awaited and now >= slot.due - ahead * slot.check.interval:
                self._ask(slot, now)
        self._next = min((slot.next for slot in self._slots), default=inf)
        return self._next

    def _act(self, slot: _Slot, now: float) -> None:
        self._deadlines(slot, now)
        if now >= slot.rearm_at:
            slot.rearm_at, pids = inf, slot.armed | slot.dead
            slot.dead.clear()
            self._arm(slot, frozenset(pids))
        if now >= slot.event_at:
            self._sign(slot, now, ask=True)
        if now >= slot.stream_at:
            self._stream(slot, now)
            self._sign(slot, now, ask=True)  # what happened in between was not heard
        if now >= slot.proven_at:
            slot.proven_at = inf
            self._driven(slot, True)

    def _deadlines(self, slot: _Slot, now: float) -> None:
        for command in (slot.main, slot.pids):
            if now >= command.kill_at:
                command.kill_at = inf
                self._send(f"k {command.number} KILL")
            if now >= command.ends_at:
                took = now - command.asked_at
                command.give_up(now)
                self._send(f"k {command.number} TERM")
                if command is slot.main:
                    self._silent(slot, now, took)

    def _silent(self, slot: _Slot, now: float, took: float) -> None:
        self._pay(slot, now, took)
        slot.sign, slot.run_sign = slot.sign or slot.run_sign, None
        self._count(slot)
        slot.due = now if slot.again else now + slot.check.interval
        for result in slot.judge.silent(f"no answer in {slot.check.timeout:g} s", now, took):
            self._report(result)

    # --- small steps --------------------------------------------------------------------------------------------------

    def _count(self, slot: _Slot) -> None:
        if not slot.answered:
            slot.answered = True
            self.first_round_done = all(slot.answered for slot in self._slots)

    def _driven(self, slot: _Slot, driven: bool) -> None:
        slot.driven = driven
        self.event_driven = tuple(dict.fromkeys(s.check.id.kind for s in self._slots if s.driven))

    def _ask(self, slot: _Slot, now: float) -> None:
        slot.again = False
        self._send(slot.main.ask(now))

    def _sign(self, slot: _Slot, now: float, *, ask: bool) -> None:
        slot.sign = slot.sign or now
        if not ask:
            return
        slot.event_at = inf
        if slot.main.awaited:
            slot.again = True
        else:
            self._ask(slot, now)

    def _event(self, slot: _Slot, now: float) -> None:
        if now >= (at := slot.paid_until - _SIGNED_AHEAD):
            self._sign(slot, now, ask=True)
        else:
            slot.sign, slot.event_at = slot.sign or now, at

    def _pay(self, slot: _Slot, now: float, took: float) -> None:
        if slot.run_sign is not None:
            paid = max(slot.paid_until, now) + max(took, _SIGNED_LEAST) / _SIGNED_SHARE
            slot.paid_until = min(paid, now + 2 * _SIGNED_AHEAD)

    def _stream(self, slot: _Slot, now: float) -> None:
        slot.stream_at, slot.stream_since, slot.proven_at = inf, now, now + _STREAM_PROVEN
        self._send(f"e {slot.main.number} {_escaped(slot.check.events)}")


def _escaped(command: str) -> str:
    """A command as one line; the scripts undo it with ``printf %b``."""
    return command.replace("\\", "\\\\").replace("\n", "\\n")
