"""From the engine's state to the snapshot that consoles and programs read. Pure; called by :mod:`core.service`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core.detection.external import SILENCE, Assessment
from core.detection.hysteresis import CheckState, Outcome
from core.detection.internal import ClusterState
from core.detection.pods import PodState
from core.latency import Latency
from core.model import (
    INTERNAL_KINDS,
    Action,
    Cause,
    CheckId,
    EventName,
    Kind,
    Override,
    Phase,
    SourceId,
    SourceKind,
    Verdict,
)
from core.snapshot import (
    AppView,
    CheckView,
    ClusterView,
    Membership,
    PodView,
    SourceView,
    WhyStep,
)
from core.snapshot import (
    ClusterState as Word,
)
from core.state import State
from core.switching.standing import Standing
from core.switching.switcher import UNASSESSED
from core.switching.table import SERVING
from core.world import ClusterPlan, matches

NOTHING = ClusterState()
_PHASE_OF = {Word.ERASED: Phase.ERASED, Word.RECOVERING: Phase.RECOVERING, Word.RAMPING: Phase.RAMPING}
_OUT = {Action.DRAIN: Word.DRAINED, Action.ERASE: Word.HELD_OUT}


@dataclass(frozen=True, slots=True)
class Heard:
    """What the engine knows beside its state at ``now``: ``since`` when it runs, when each source was heard, and how
    fast the routers answer."""

    now: float = 0.0
    since: float = 0.0
    at: Mapping[SourceId, float] = field(default_factory=dict)
    latencies: Mapping[str, Latency] = field(default_factory=dict)


def clusters(state: State, heard: Heard) -> tuple[ClusterView, ...]:
    """Every cluster, in the order of the settings."""
    return tuple(_cluster(state, plan, heard) for plan in state.world.clusters.values())


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
        )
        holder = "first round is not over" if not state.round_over else holder
        return f"{holder}, would be out: {cause.said}"
    if standing.phase is Phase.ERASED:
        cause = cause or standing.cause
        return f"{cause.where}: {cause.said}" if cause else "erased"
    if standing.phase is Phase.RECOVERING:
        return "well again, held out until it has stayed so"
    if standing.phase is Phase.RAMPING:
        return f"ramping up: {share} % of answers"
    return "serving"


def _cluster(state: State, plan: ClusterPlan, heard: Heard) -> ClusterView:
    name = plan.cluster.name
    found = state.clusters.get(name, NOTHING)
    assessment = state.assessments.get(name, UNASSESSED)
    members = tuple(membership(state, app.domain, name, heard) for app in plan.apps)
    standings = [state.standings.get((app.domain, name), SERVING) for app in plan.apps]
    override = state.overrides.get(name)
    word = _word(state, plan, found, assessment, members, standings)
    causes = (*assessment.causes, *assessment.apps.values())
    internal = [check for check in found.checks.items() if check[0].kind in INTERNAL_KINDS]
    external = [check for check in found.checks.items() if check[0].kind is Kind.CONFIRM]
    pod_checks = [pod.check for pod in found.pods.values()]
    by_source: dict[SourceId, list[tuple[CheckId, CheckState]]] = {}
    for check, state_of_check in found.checks.items():
        by_source.setdefault(check.source, []).append((check, state_of_check))
    latency = heard.latencies.get(name)
    p50, p95 = latency.quantiles() if latency else (None, None)
    recovering = [s.due for s in standings if s.phase is Phase.RECOVERING]
    return ClusterView(
        name=name,
        state=word,
        cause=_cause(word, override, assessment, standings, found),
        since=_since(word, override, standings, found, causes) or heard.since,
        revision=state.revisions.get(name, 0),
        addresses=plan.cluster.places,
        tags=plan.cluster.tags,
        internal=assessment.internal,
        internal_bad=_bad([check for _, check in internal] + pod_checks),
        internal_total=len(internal) + len(pod_checks),
        external=assessment.external,
        external_bad=_bad(check for _, check in external),
        external_total=1 if plan.router else 0,
        fails=_fails(found),
        override=override,
        safe_at=_safe_at(state, plan, override, standings, members),
        recovers_at=max(recovering, default=None),
        flaps=max((standing.flaps for standing in standings), default=0),
        memberships=members,
        sources=tuple(_source(found, source, by_source.get(source, []), heard) for source in plan.sources),
        pods=tuple(_pod(state, plan, pod) for pod in found.pods.values()),
        why=_why_chain(state, name, assessment, members, heard),
        p50=p50,
        p95=p95,
        latency=latency.strip(heard.now) if latency else (),
    )


def _word(
    state: State,
    plan: ClusterPlan,
    found: ClusterState,
    assessment: Assessment,
    members: tuple[Membership, ...],
    standings: list[Standing],
) -> Word:
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
    bad_pods = any(pod.check.verdict is not Verdict.OK for pod in found.pods.values())
    if (Verdict.UNKNOWN in verdicts and plan.sources) or bad_pods:
        return Word.DEGRADED
    return Word.OK


def _cause(
    word: Word,
    override: Override | None,
    assessment: Assessment,
    standings: list[Standing],
    found: ClusterState,
) -> str:
    if override:
        return f"{override.action} by {override.who}" + (f": {override.why}" if override.why else "")
    causes = (*assessment.causes, *assessment.apps.values())
    if causes:
        cause = min(causes, key=lambda cause: (cause.rule == SILENCE, cause.fault_at))
        return f"{cause.where}: {cause.said}"
    if word in {Word.RECOVERING, Word.RAMPING}:
        return "well again"
    if found.unknown:
        return "silent: " + ", ".join(sorted(source.name for source in found.unknown))
    unclear = [f"{check}: {state.said}" for check, state in found.checks.items() if state.verdict is Verdict.UNKNOWN]
    bad_pods = [pod.check.said for pod in found.pods.values() if pod.check.verdict is Verdict.FAIL]
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


def _bad(checks: Iterable[CheckState]) -> int:
    return sum(check.verdict is not Verdict.OK for check in checks)


def _fails(found: ClusterState) -> int:
    """The longest run of results that are not good and have not flipped a verdict yet."""
    runs = [
        check.run
        for check in found.checks.values()
        if check.outcome in {Outcome.BAD, Outcome.SILENT} and check.verdict is Verdict.OK
    ]
    return max(runs, default=0)


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


def _source(found: ClusterState, source: SourceId, known: list[tuple[CheckId, CheckState]], heard: Heard) -> SourceView:
    status = found.status.get(source)
    silent = source in found.unknown
    checks = tuple(
        _check(check, state, silent)
        for check, state in sorted(known, key=lambda pair: (pair[0].kind, pair[0].name))
        if check.kind is not Kind.WATCH
    )
    watch = found.checks.get(CheckId(source, Kind.WATCH))
    verdicts = {check.verdict for check in checks}
    verdict = next((v for v in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.OK) if v in verdicts), Verdict.UNKNOWN)
    detail = status.detail if status else ""
    if silent and watch and watch.outcome is Outcome.SILENT:
        detail = watch.said
    return SourceView(
        source.name,
        source.kind,
        Verdict.UNKNOWN if silent and verdict is Verdict.OK else verdict,
        heard.at.get(source, 0.0),
        status.mode if status else "",
        detail,
        status.event_driven if status else (),
        checks,
        status.tick if status else None,
        status.periods if status else (),
        status.late if status else None,
        status.cost if status else None,
    )


def _check(check: CheckId, state: CheckState, silent: bool) -> CheckView:
    verdict = Verdict.UNKNOWN if silent and state.verdict is Verdict.OK else state.verdict
    return CheckView(check.kind, check.name, verdict, state.said, state.at, state.took, state.since, state.run)


def _pod(state: State, plan: ClusterPlan, pod: PodState) -> PodView:
    names = tuple(
        app.domain for app in plan.apps if any(matches(rule, pod.pod) for rule in state.world.rules[app.domain])
    )
    weight = 0 if pod.check.verdict is Verdict.FAIL else 100
    return PodView(pod.pod, pod.node.name, names, pod.check.verdict, weight, pod.check.said, pod.check.since)


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
