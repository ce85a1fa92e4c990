"""The language of the ``/`` line: words that must all hold. Pure.

``text`` and ``!text`` look anywhere in the line; ``state:down``, ``tag:eu``, ``app:svc1`` look at one field, and so do
``event:`` and ``cluster:`` in the list of events, ``kind:`` in that of the sources. ``state:`` knows each state's word and the groups *down*, *out* and
*bad*. A field that does not exist is searched as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from core.model import Event, Verdict
from core.snapshot import ClusterState, ClusterView
from tui.glyphs import STATES

DOWN = {ClusterState.ABNORMAL, ClusterState.ERASED, ClusterState.SILENT, ClusterState.RECOVERING}
Fields = Mapping[str, Sequence[str]]


class Term(NamedTuple):
    field: str
    value: str
    negated: bool


class Filter(NamedTuple):
    """``text`` is what the operator typed."""

    text: str = ""
    terms: tuple[Term, ...] = ()

    def matches(self, fields: Fields) -> bool:
        return all(_holds(term, fields) != term.negated for term in self.terms)


FIELDS = ("state", "tag", "app", "event", "cluster", "kind")


def parse(text: str) -> Filter:
    terms = []
    for word in text.lower().split():
        wanted = word.removeprefix("!")
        field, _, value = wanted.partition(":")
        if field not in FIELDS:
            field, value = "", wanted
        if value:
            terms.append(Term(field, value, word != wanted))
    return Filter(text.strip(), tuple(terms))


def _holds(term: Term, fields: Fields) -> bool:
    if not term.field:
        return any(term.value in text for text in fields.get("", ()))
    return any(value.startswith(term.value) for value in fields.get(term.field, ()))


def is_bad(cluster: ClusterView) -> bool:
    """Whether it needs a person's eye: a bad state, or a detector that says so under an override."""
    return STATES[cluster.state].bad or Verdict.FAIL in (cluster.internal, cluster.external)


def cluster_fields(cluster: ClusterView) -> Fields:
    groups = [cluster.state.value, STATES[cluster.state].word.lower().replace(" ", "-")]
    groups += ["bad"] if is_bad(cluster) else []
    groups += ["down"] if cluster.state in DOWN else []
    groups += [] if any(m.in_dns for m in cluster.memberships) else ["out"]
    override = cluster.override
    words = [cluster.name, cluster.cause, *groups, *cluster.tags, *cluster.addresses]
    words += [override.who, override.why] if override else []
    return {
        "": [word.lower() for word in words],
        "state": groups,
        "tag": [tag.lower() for tag in cluster.tags],
        "app": [m.domain for m in cluster.memberships],
    }


def event_fields(event: Event) -> Fields:
    words = [event.name.value, event.cluster, event.app, event.cause, event.evidence, event.who]
    return {
        "": [word.lower() for word in words],
        "event": [event.name.value],
        "cluster": [event.cluster.lower()],
        "app": [event.app],
    }
