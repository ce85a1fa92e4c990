"""What is told once DNS answers from a new table (spec S14, S15). Pure; called by :mod:`core.step`."""

from __future__ import annotations

from dataclasses import replace

from core.journal import Journal
from core.model import Cause, EventName
from core.records import still_held
from core.state import CleanAnswer, Published, State
from core.switching.switcher import note


def on_published(state: State, published: Published, journal: Journal) -> State:
    """DNS answers from this table now: the addresses that it lacks are erased (spec S14)."""
    held = still_held(published.before, published.table, journal.now)
    held = {key: until for key, until in held.items() if until > state.cached.get(key, 0.0)}
    for (domain, cluster), until in held.items():
        journal.save(f"cached/{domain}/{cluster}", until)
    state = replace(state, cached={**state.cached, **held})
    for domain, cluster in published.erased:
        fault_at = state.fault_at(cluster)
        standing = state.standings.get((domain, cluster))
        cause = state.overrides[cluster].action if cluster in state.overrides else standing and standing.cause
        evidence = f"{cause.where}: {cause.said}" if isinstance(cause, Cause) else ""
        journal.emit(
            EventName.ADDRESS_ERASED,
            cluster=cluster,
            app=domain,
            cause=cause.rule if isinstance(cause, Cause) else f"by hand: {cause}",
            evidence=evidence,
            serial=published.table.serial,
            fault_at=fault_at,
        )
        state = note(state, cluster, EventName.ADDRESS_ERASED, published.table.serial, journal)
    return state


def on_clean_answer(state: State, answer: CleanAnswer, journal: Journal) -> State:
    """The first answer without the address has been seen (spec S15)."""
    journal.emit(
        EventName.FIRST_CLEAN_ANSWER,
        cluster=answer.cluster,
        app=answer.domain,
        serial=answer.serial,
        fault_at=state.fault_at(answer.cluster),
    )
    return note(state, answer.cluster, EventName.FIRST_CLEAN_ANSWER, answer.serial, journal)
