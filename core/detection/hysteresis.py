"""How results become a verdict: one check, its runs of good, bad and silent results. Pure.

The rules, by outcome of the newest result (``run`` counts results in a row with the same outcome):

=========  ==================  =========================================================================
outcome    verdict before      verdict after
=========  ==================  =========================================================================
good       OK, UNKNOWN         OK
good       FAIL                OK when run ≥ rise, else FAIL
bad        any                 FAIL when bad results since the last good one ≥ fall, else as before
silent     FAIL                FAIL: silence never cancels evidence (spec S25, S26)
silent     OK, UNKNOWN         as before, until it has lasted the deadline: UNKNOWN (:func:`age`)
=========  ==================  =========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from core.model import Evidence, Result, Verdict


class Outcome(StrEnum):
    NONE = "none"
    GOOD = "good"
    BAD = "bad"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class CheckState:
    """Where one check stands. ``run_since`` is the instant of the run's first result, or the sign that led to it; ``bad``
    and ``missed`` are the results since the last good one that were bad, and that were not good: silence between two bad
    ones undoes nothing. ``fault_at`` and ``fault_said`` are the first sign and the newest words of the trouble: they stay
    while the verdict is FAIL, whatever comes after. ``well_at`` is the newest good result, 0 for never. ``trip``: the smoothed
    round trip of its answers (RFC 6298, section 2), in seconds.
    """

    verdict: Verdict = Verdict.UNKNOWN
    since: float = 0.0
    outcome: Outcome = Outcome.NONE
    run: int = 0
    run_since: float = 0.0
    said: str = "not asked yet"
    at: float = 0.0
    took: float = 0.0
    bad: int = 0
    missed: int = 0
    fault_at: float = 0.0
    fault_said: str = ""
    well_at: float = 0.0
    trip: float = 0.0


def absorb(state: CheckState, result: Result, fall: int, rise: int) -> CheckState:
    """The state after one more result."""
    if isinstance(result, Evidence):
        outcome, said = Outcome.GOOD if result.healthy else Outcome.BAD, result.said
        began = result.noticed_at if result.noticed_at is not None else result.at
    else:
        outcome, said, began = Outcome.SILENT, result.reason, result.at - result.took
    same = outcome is state.outcome
    run = state.run + 1 if same else 1
    good = outcome is Outcome.GOOD
    bad = 0 if good else state.bad + (outcome is Outcome.BAD)
    verdict = state.verdict
    if good and (verdict is not Verdict.FAIL or run >= rise):
        verdict = Verdict.OK
    elif outcome is Outcome.BAD and bad >= fall:
        verdict = Verdict.FAIL
    in_trouble = state.verdict is Verdict.FAIL or state.bad > 0
    fault_at, fault_said = state.fault_at, state.fault_said
    if outcome is Outcome.BAD:
        fault_at, fault_said = fault_at if in_trouble else began, said
    return CheckState(
        verdict=verdict,
        since=state.since if verdict is state.verdict and state.at else result.at,
        outcome=outcome,
        run=run,
        run_since=state.run_since if same else began,
        said=said,
        at=result.at,
        took=result.took,
        bad=bad,
        missed=0 if good else state.missed + 1,
        fault_at=fault_at,
        fault_said=fault_said,
        well_at=result.at if good else state.well_at,
        trip=_smoothed(state.trip, result) if isinstance(result, Evidence) else state.trip,
    )


def renewed(state: CheckState, result: Evidence) -> CheckState:
    """The state after one more good result of a check that is well: only its times are new."""
    return CheckState(
        state.verdict,
        state.since,
        state.outcome,
        state.run + 1,
        state.run_since,
        state.said,
        result.at,
        result.took,
        well_at=result.at,
        trip=_smoothed(state.trip, result),
        fault_at=state.fault_at,
        fault_said=state.fault_said,
    )


def _smoothed(trip: float, answer: Evidence) -> float:
    return trip + (answer.took - trip) / 8 if trip else answer.took


def age(state: CheckState, now: float, deadline: float, stale_after: float) -> CheckState:
    """UNKNOWN once silence has lasted ``deadline`` seconds, or no result at all has come for ``stale_after``."""
    if state.verdict is not Verdict.OK:
        return state
    if state.outcome is Outcome.SILENT and now - state.run_since >= deadline:
        return replace(state, verdict=Verdict.UNKNOWN, since=now)
    if now - state.at >= stale_after:
        said = f"no result for {now - state.at:.1f} s (before: {state.said})"
        return replace(state, verdict=Verdict.UNKNOWN, since=now, outcome=Outcome.SILENT, said=said)
    return state


def ages_at(state: CheckState, deadline: float, stale_after: float) -> float:
    """The instant before which :func:`age` changes nothing, whatever the verdict is."""
    stale_at = state.at + stale_after
    return min(stale_at, state.run_since + deadline) if state.outcome is Outcome.SILENT else stale_at
