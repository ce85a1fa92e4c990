"""From the engine's state to the snapshot that consoles and programs read. Pure; called by :mod:`core.service`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.detection.external import SILENCE, Assessment
from core.detection.internal import ClusterState
from core.detection.peers import outvoted_by
from core.kept_views import NOTHING, Kept, bad
from core.latency import Latency
from core.model import (
    Action,
    Cause,
    EventName,
    Override,
    Phase,
    SourceId,
    SourceKind,
    Verdict,
)
from core.snapshot import (
    AppView,
    ClusterView,
    Membership,
    PodView,
    WhyStep,
)
from core.snapshot import (
    ClusterState as Word,
)
from core.state import State
from core.switching.pods import NO_WEIGHTS, shares
from core.switching.standing import Standing
from core.switching.switcher import UNASSESSED
from core.switching.table import SERVING
from core.switching.weights import FULL, Weight
from core.world import ClusterPlan

_NOT_ASKED: Mapping[str, int] = {}
_PHASE_OF = {Word.ERASED: Phase.ERASED, Word.RECOVERING: Phase.RECOVERING, Word.RAMPING: Phase.RAMPING}
_OUT = {Action.DRAIN: Word.DRAINED, Action.ERASE: Word.HELD_OUT}


@dataclass(frozen=True, slots=True)
class Heard:
    """What the engine knows beside its state at ``now``: ``since`` when it runs, when each source was heard, how
    fast the routers answer, and the pods' weights that they have confirmed."""

    now: float = 0.0
    since: float = 0.0
    at: Mapping[SourceId, float] = field(default_factory=dict)
    latencies: Mapping[str, Latency] = field(default_factory=dict)
    confirmed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Views:
    """The views of the clusters; those of sources and pods are kept until they change."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def clusters(self, state: State, heard: Heard) -> Iterator[ClusterView]:
        """Every cluster, in the order of the settings. Other views may be made, of another state, between one and the next."""
        for name in self._kept.keys() - state.world.clusters.keys():
            del self._kept[name]
        for name, plan in state.world.clusters.items():
            self._kept[name] = kept = self._looked(state, name, plan)
            yield _cluster(state, kept, heard)

    def _looked(self, state: State, name: str, plan: ClusterPlan) -> Kept:
        kept = self._kept.get(name)
        if kept is None or kept.plan is not plan:
            kept = Kept(plan, state.world)
        kept.look(state.clusters.get(name, NOTHING))
        return kept


def apps(state: State, heard: Heard) -> tuple[AppView, ...]:
    """Every domain name, in the order of the settings."""
    views = []
    for domain, app in state.world.apps.items():
        records = state.table.apps[domain]
        members = tuple(membership(state, domain, name, heard) for name in app.clusters)
        addresses = (
            records.addresses if records.policy != "failover" else records.records[0].places if records.records else ()
        )
        views.append(AppView(domain, app.policy, records.ttl, app.min_healthy, addresses, records.fail_open, members))
    return tuple(views)


def membership(state: State, domain: str, cluster: str, heard: Heard) -> Membership:
    """One cluster under one domain name, with the reason in words."""
    standing = state.standings.get((domain, cluster), SERVING)
    records = state.table.apps[domain]
    share = next((record.share for record in records.records if record.cluster == cluster), 0)
    override = state.overrides.get(cluster)
    since = override.since if override else standing.since or heard.since
    return Membership(domain, cluster, share > 0, share, standing.phase, _why(state, domain, cluster, share), since)


def _why(state: State, domain: str, cluster: str, share: int) -> str:
    override = state.overrides.get(cluster)
    if override:
        words = f"{'drained' if override.action is Action.DRAIN else 'erased'} by {override.who}"
        return f"{words}: {override.why}" if override.why else words
    standing = state.standings.get((domain, cluster), SERVING)
    cause = state.assessments.get(cluster, UNASSESSED).against(domain)
    if state.table.apps[domain].fail_open and share:
        return "fail-open: every cluster is down, all are served"
    if state.world.weight(domain, cluster) == 0:
        return "weight 0: never"
    if cause and share:
        holder = (
            "frozen"
            if state.frozen
            else "shadow mode"
            if state.world.settings.safety.shadow
            else "held back: suspect self"
            if state.suspicion
            else "held back: others are not heard well either"
        )
        holder = "held by the velocity budget" if (domain, cluster) in state.held else holder
        holder = "first round is not over" if not state.round_over else holder
        return f"{holder}, would be out: {cause.said}"
    if standing.phase is Phase.ERASED:
        cause = cause or standing.cause
        return f"{cause.where}: {cause.said}" if cause else "erased"
    if standing.phase is Phase.RECOVERING:
        return "well again, held out until it has stayed so"
    if standing.phase is Phase.RAMPING:
        return f"ramping up: {share} % of answers"
    if state.assessments.get(cluster, UNASSESSED).outvoted:
        return f"serving; {outvoted_by(cluster, state.sharing, state.world.settings.peers)}"
    return "serving"


def _cluster(state: State, kept: Kept, heard: Heard) -> ClusterView:
    plan, found = kept.plan, kept.found
    name = plan.cluster.name
    assessment = state.assessments.get(name, UNASSESSED)
    members = tuple(membership(state, app.domain, name, heard) for app in plan.apps)
    standings = [state.standings.get((app.domain, name), SERVING) for app in plan.apps]
    override = state.overrides.get(name)
    word = _word(state, kept, assessment, members, standings)
    causes = assessment.everything
    latency = heard.latencies.get(name)
    p50, p95 = latency.quantiles() if latency else (None, None)
    recovering = [s.due for s in standings if s.phase is Phase.RECOVERING]
    return ClusterView(
        name=name,
        state=word,
        cause=_cause(word, override, assessment, kept),
        since=_since(word, override, standings, found, causes) or heard.since,
        revision=state.revisions.get(name, 0),
        addresses=plan.cluster.places,
        tags=plan.cluster.tags,
        internal=assessment.internal,
        internal_bad=bad(kept.internal) + len(kept.bad_pods),
        internal_total=len(kept.internal) + len(kept.pods),
        external=assessment.external,
        external_bad=bad(kept.external),
        external_total=1 if plan.router else 0,
        fails=kept.fails(),
        override=override,
        safe_at=_safe_at(state, plan, override, standings, members),
        recovers_at=max(recovering, default=None),
        flaps=max((standing.flaps for standing in standings), default=0),
        memberships=members,
        sources=tuple(kept.source(source, heard.at.get(source, 0.0)) for source in plan.sources),
        pods=_pods(state, kept, heard),
        why=_why_chain(state, name, assessment, members, heard),
        p50=p50,
        p95=p95,
        latency=latency.strip(heard.now) if latency else (),
    )


def _word(
    state: State, kept: Kept, assessment: Assessment, members: tuple[Membership, ...], standings: list[Standing]
) -> Word:
    plan, found = kept.plan, kept.found
    override = state.overrides.get(plan.cluster.name)
    phases = {standing.phase for standing in standings}
    if override:
        return _OUT[override.action]
    if any(member.in_dns and assessment.against(member.domain) for member in members):
        return Word.ABNORMAL if state.round_over else Word.STARTING
    for word, phase in _PHASE_OF.items():
        if phase in phases:
            return word
    if not state.round_over:
        return Word.STARTING
    if found.unknown and len(found.unknown) == sum(s.kind is not SourceKind.DATABASE for s in plan.sources):
        return Word.SILENT
    verdicts = {assessment.internal, assessment.external if plan.router else Verdict.OK}
    if (Verdict.UNKNOWN in verdicts and plan.sources) or kept.bad_pods:
        return Word.DEGRADED
    return Word.OK


def _cause(word: Word, override: Override | None, assessment: Assessment, kept: Kept) -> str:
    if override:
        return f"{override.action} by {override.who}" + (f": {override.why}" if override.why else "")
    causes = assessment.everything
    if causes:
        cause = min(causes, key=lambda cause: (cause.rule == SILENCE, cause.fault_at))
        return f"{cause.where}: {cause.said}"
    if word in {Word.RECOVERING, Word.RAMPING}:
        return "well again"
    if kept.found.unknown:
        return "silent: " + ", ".join(sorted(source.name for source in kept.found.unknown))
    unclear = [f"{check}: {state.said}" for check, state in kept.checks() if state.verdict is Verdict.UNKNOWN]
    bad_pods = [pod.check.said for pod in kept.bad_pods if pod.check.verdict is Verdict.FAIL]
    return next(iter([*bad_pods, *unclear]), "")


def _since(
    word: Word, override: Override | None, standings: list[Standing], found: ClusterState, causes: Sequence[Cause]
) -> float:
    if override:
        return override.since
    if word in {Word.DEGRADED, Word.SILENT} and found.quiet:
        return min(found.quiet.values())
    if word is Word.ABNORMAL and causes:
        return min(cause.fault_at for cause in causes)
    phase = _PHASE_OF.get(word)
    return max((standing.since for standing in standings if phase in {None, standing.phase}), default=0.0)


def _safe_at(
    state: State,
    plan: ClusterPlan,
    override: Override | None,
    standings: list[Standing],
    members: tuple[Membership, ...],
) -> float | None:
    """When every cached answer with the cluster's address has expired; None while an answer may still hold it."""
    if not members or any(member.in_dns for member in members):
        return None
    since = override.since if override else max(standing.since for standing in standings)
    return max(state.cached.get((member.domain, member.cluster), since) for member in members)


def _pods(state: State, kept: Kept, heard: Heard) -> tuple[PodView, ...]:
    """With what is decided and confirmed of their weights; made anew only when something of it has changed."""
    name = kept.plan.cluster.name
    weights, confirmed = state.weights.get(name, NO_WEIGHTS), heard.confirmed.get(name, _NOT_ASKED)
    failing = [app.domain for app in kept.plan.apps if state.table.apps[app.domain].fail_open]
    if not (weights or confirmed or failing):
        return kept.pods
    made_of = (kept.pods, weights, confirmed, failing)
    if any(old is not new for old, new in zip(kept.weighed_of[:3], made_of, strict=False)) or kept.weighed_of[3:] != (
        failing,
    ):
        decided = shares(state, name)
        kept.weighed = tuple(
            _weighed(pod, decided[pod.pod], weights.get(pod.pod, FULL), confirmed.get(pod.pod)) for pod in kept.pods
        )
        kept.weighed_of = made_of
    return kept.weighed


def _weighed(pod: PodView, share: int, weight: Weight, confirmed: int | None) -> PodView:
    said = f"{pod.said}; fail-open: no other pod of the app is left, it is served" if share > weight.share else pod.said
    return replace(pod, weight=share, said=said, confirmed=confirmed, next_step_at=weight.due or None)


def _why_chain(
    state: State, name: str, assessment: Assessment, members: tuple[Membership, ...], heard: Heard
) -> tuple[WhyStep, ...]:
    """check → verdict → decision → answer, of the newest incident, or of how things stand (spec S31)."""
    override = state.overrides.get(name)
    if override:
        words = f"{override.action} by {override.who}" + (f": {override.why}" if override.why else "")
        out = ", ".join(member.domain for member in members if not member.in_dns)
        return (WhyStep("decision", words, override.since), WhyStep("answer", f"out of {out}", override.since))
    held = next((m for m in members if m.in_dns and assessment.against(m.domain)), None)
    cause = assessment.against(held.domain) if held else None
    if held and cause:
        return (
            WhyStep("check", f"{cause.where}: {cause.said}", cause.fault_at, 0.0),
            WhyStep("verdict", cause.rule.replace("_", " "), cause.fault_at, 0.0),
            WhyStep("decision", held.why, 0.0),
        )
    incident = state.incidents.get(name)
    if incident is None:
        words = f"internal {assessment.internal}, external {assessment.external}"
        answer = ", ".join(f"{member.domain} {'in' if member.in_dns else 'out'}" for member in members)
        return (WhyStep("verdict", words, heard.since), WhyStep("answer", answer or "serves no app", heard.since))
    fault_at = incident.cause.fault_at
    at = dict(incident.steps)

    def link(stage: str, said: str, name: EventName) -> WhyStep:
        when = at.get(name, 0.0)
        return WhyStep(stage, said, when, (when - fault_at) * 1000 if when else None)

    return (
        link("check", f"{incident.cause.where}: {incident.cause.said}", EventName.FAULT_SEEN),
        link("verdict", incident.cause.rule.replace("_", " "), EventName.EXTERNAL_ANOMALY),
        link("decision", "erase: no new clients", EventName.SWITCH_ORDERED),
        link("record", f"address erased, serial {incident.serial}", EventName.ADDRESS_ERASED),
        link("answer", "first answer without it, asked from outside", EventName.FIRST_CLEAN_ANSWER),
        link("return", "in the answers again", EventName.ADDRESS_RESTORED),
    )
