"""What an order needs before it may be carried out: its dialog in words, what must be typed, its reverse. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from core.model import Action, Order, Override, Verdict
from core.snapshot import AnswerChange, ClusterView, Preview, Snapshot
from tui import describe
from tui.filters import is_bad
from tui.rows import dns, state
from tui.text import EMPTY, Line, Tone, joined, line, wrapped

VERBS = {
    Action.DRAIN: "Drain",
    Action.ERASE: "Erase",
    Action.RESTORE: "Restore",
    Action.FREEZE: "Freeze",
    Action.THAW: "Thaw",
}
EFFECTS = {
    Action.DRAIN: "New clients go elsewhere; those who are there stay. Out until restored.",
    Action.ERASE: "Out at once and everywhere. Out until restored by hand.",
    Action.RESTORE: "Back under automatic control, and into the answers once it is well.",
    Action.FREEZE: "No automatic change any more: a cluster that breaks stays in the answers.",
    Action.THAW: "Automatic changes again: what is due is carried out at once.",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """An order that is being considered. ``changed`` says what has changed since it was shown before; ``lasts`` and
    ``order.why`` are what the operator has typed already. ``targets`` is how they stand now."""

    order: Order
    preview: Preview
    targets: tuple[ClusterView, ...]
    snapshot: Snapshot
    lasts: str = ""
    changed: tuple[str, ...] = ()

    @property
    def phrase(self) -> str:
        """What has to be typed; empty where ``y`` is enough: a single drain or restore that leaves enough to serve."""
        order = self.order
        easy = not self.preview.grave and not self.preview.refused
        if easy and len(order.clusters) <= 1 and order.action is not Action.ERASE:
            return ""
        if not order.clusters:
            return order.action.value
        return order.clusters[0] if len(order.clusters) == 1 else str(len(order.clusters))

    @property
    def title(self) -> str:
        verb = VERBS[self.order.action]
        if not self.order.clusters:
            return verb
        return f"{verb} {self.order.clusters[0] if len(self.order.clusters) == 1 else f'{len(self.order.clusters)} clusters'}"

    @property
    def lasting(self) -> bool:
        """Whether the order can end by itself."""
        return self.order.action in (Action.DRAIN, Action.ERASE)


def changes(old: Proposal, new: Proposal) -> tuple[str, ...]:
    """What an operator who saw ``old`` has to know before agreeing to ``new``."""
    said = []
    before = {cluster.name: cluster for cluster in old.targets}
    revisions = dict(old.preview.expected)
    for cluster in new.targets:
        was = before.get(cluster.name)
        if was is None:
            continue
        if was.state is not cluster.state:
            said.append(f"{cluster.name} was {state(was, False)[0]}, is {state(cluster, False)[0]}")
        if was.override != cluster.override:
            said.append(f"{cluster.name}: {_override(was.override)} before, {_override(cluster.override)} now")
    answers = {change.domain: change for change in old.preview.changes}
    for change in new.preview.changes:
        seen = answers.get(change.domain)
        if seen and seen.before != change.before:
            said.append(f"{change.domain} answered {_list(seen.before)}, answers {_list(change.before)}")
    if not said:
        said = [
            f"{name}: revision {revisions.get(name, 0)} is now {now}"
            for name, now in new.preview.expected
            if revisions.get(name) != now
        ]
    return tuple(said)


def _override(override: Override | None) -> str:
    return f"{override.action.value} by {override.who or '?'}" if override else "no order"


def _list(addresses: tuple[str, ...]) -> str:
    return " ".join(addresses) or "nothing"


def inverse(order: Order, before: Snapshot) -> tuple[Order, ...]:
    """The orders that bring back how the targets stood in ``before``: an override that was there is ordered again,
    where there was none the cluster is restored."""
    if order.action in (Action.FREEZE, Action.THAW):
        return (Order(Action.THAW if order.action is Action.FREEZE else Action.FREEZE, who=order.who),)
    had = {cluster.name: cluster.override for cluster in before.clusters}

    def was(name: str) -> tuple[str, float]:
        override = had.get(name)
        if override is None:
            return (Action.RESTORE.value, 0.0)
        return (override.action.value, override.until or 0.0)

    groups = groupby(sorted(order.clusters, key=was), key=was)
    return tuple(
        Order(Action(action), tuple(sorted(names)), who=order.who, until=until or None)
        for (action, until), names in groups
    )


# -- the dialog --------------------------------------------------------------------------------------------------------


def dialog_lines(proposal: Proposal, width: int) -> list[Line]:
    """The body of the dialog, the most important first: it may be cut off by a small screen and then scrolls."""
    order, preview = proposal.order, proposal.preview
    lines: list[Line] = []
    if proposal.changed:
        lines.append(line((" CHANGED MEANWHILE ", Tone.NOTICE), " nothing was done; this is how it stands now:"))
        for text in proposal.changed:
            lines += wrapped("  ", text, width, Tone.WARN)
    if preview.refused:
        lines.append(line((" REFUSED ", Tone.ALARM), " only breaking the glass carries it out:"))
        lines += wrapped("  ", preview.refused, width, Tone.BAD)
    lines += wrapped("", EFFECTS[order.action], width, Tone.MUTED)
    lines += [_target(cluster, proposal.snapshot.at) for cluster in proposal.targets]
    for cluster in proposal.targets:
        told = any(cluster.name in warning for warning in preview.warnings)
        if order.action is Action.RESTORE and is_bad(cluster) and not told:
            lines += wrapped("▲ ", still_fails(cluster), width, Tone.WARN)
    for warning in preview.warnings:
        lines += wrapped("▲ ", warning, width, Tone.WARN)
    if preview.changes:
        lines.append(EMPTY)
        names = max(len(change.domain) for change in preview.changes)
        for change in preview.changes:
            lines += _answer(change, min(names, 28), width)
    lines += _left_to_serve(preview)
    if preview.safe_in > 0 and any(set(change.before) - set(change.after) for change in preview.changes):
        lines.append(
            line(
                ("caches ", Tone.MUTED),
                f"every cached answer has expired {describe.duration(preview.safe_in)} after the order",
            )
        )
    return lines


def _target(cluster: ClusterView, now: float) -> Line:
    return joined(
        [
            line((f"{cluster.name:12}", Tone.ACCENT)),
            line(state(cluster, False)),
            line((f"for {describe.duration(now - cluster.since)}", Tone.MUTED)),
            line(("DNS ", Tone.MUTED), dns(cluster)),
            line((_override(cluster.override), Tone.HELD)) if cluster.override else EMPTY,
        ]
    )


def still_fails(cluster: ClusterView) -> str:
    sides = [
        f"{side} {total - bad}/{total}"
        for side, verdict, bad, total in (
            ("internal", cluster.internal, cluster.internal_bad, cluster.internal_total),
            ("external", cluster.external, cluster.external_bad, cluster.external_total),
        )
        if verdict is not Verdict.OK and total
    ]
    what = ", ".join(sides) or cluster.state.value
    return f"{cluster.name} still fails ({what}): it stays out of the answers until it is well. {cluster.cause}".strip()


def _answer(change: AnswerChange, names: int, width: int) -> list[Line]:
    head = f"{change.domain:{names}}  "
    if change.before == change.after:
        return wrapped(head, f"{_list(change.after)} (unchanged)", width, Tone.MUTED)
    gone = [address for address in change.before if address not in change.after]
    come = [address for address in change.after if address not in change.before]
    lines = wrapped(head, _list(change.before), width, Tone.TEXT)
    lines += wrapped(f"{'→ ':>{len(head)}}", _list(change.after), width, Tone.ACCENT)
    diff = [(f"- {' '.join(gone)}", Tone.BAD)] * bool(gone) + [(f"+ {' '.join(come)}", Tone.OK)] * bool(come)
    note = joined([line(span) for span in diff])
    lines.append((((" " * len(head)), Tone.TEXT), *note))
    if change.fail_open:
        lines.append(line(" " * len(head), (" FAIL-OPEN ", Tone.ALARM), " all are abnormal, and all are served"))
    return lines


def _left_to_serve(preview: Preview) -> list[Line]:
    if not preview.changes:
        return []
    least = min(preview.changes, key=lambda change: (change.healthy_after / max(1, change.clusters), change.domain))
    tone = Tone.BAD if not least.healthy_after else Tone.WARN if least.healthy_after * 2 < least.clusters else Tone.TEXT
    said = f"{least.healthy_after} of {least.clusters} clusters serve {least.domain} and are well"
    return [line(("left   ", Tone.MUTED), (said, tone))]
