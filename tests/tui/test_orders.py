"""Orders before they are sent: what must be typed, what the dialog says, how they are undone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.model import Action, Order, Override
from core.snapshot import AnswerChange, ClusterState, Preview
from tests.tui.scripted import NOW, cluster, snapshot
from tui.orders import Proposal, changes, dialog_lines, inverse
from tui.text import plain

PREVIEW = Preview((), (("a", 1),), 0.0, "", (), False)


def proposal(action: Action, *names: str, preview: Preview = PREVIEW) -> Proposal:
    clusters = tuple(cluster(name) for name in names)
    return Proposal(Order(action, names), preview, clusters, snapshot(*clusters))


def body(of: Proposal, width: int = 74) -> str:
    return "\n".join(plain(spans) for spans in dialog_lines(of, width))


@pytest.mark.parametrize(
    ("action", "names", "changed", "phrase"),
    [
        (Action.DRAIN, ("a",), {}, ""),
        (Action.RESTORE, ("a",), {}, ""),
        (Action.FREEZE, (), {}, ""),
        (Action.ERASE, ("a",), {}, "a"),
        (Action.DRAIN, ("a", "b"), {}, "2"),
        (Action.DRAIN, ("a",), {"grave": True}, "a"),
        (Action.RESTORE, ("a",), {"refused": "no"}, "a"),
        (Action.FREEZE, (), {"grave": True}, "freeze"),
    ],
)
def test_a_grave_order_is_typed_and_a_single_drain_or_restore_is_not(
    action: Action, names: tuple[str, ...], changed: dict[str, object], phrase: str
) -> None:
    assert proposal(action, *names, preview=replace(PREVIEW, **changed)).phrase == phrase  # type: ignore[arg-type]


def test_the_dialog_shows_the_difference_of_the_answers_and_what_is_left() -> None:
    change = AnswerChange("svc1.net.", ("192.0.2.1", "192.0.2.2"), ("192.0.2.2",), False, 1, 3)
    text = body(
        proposal(Action.DRAIN, "a", preview=replace(PREVIEW, changes=(change,), safe_in=65.0, warnings=("careful",)))
    )
    assert "svc1.net.  192.0.2.1 192.0.2.2" in text
    assert "→ 192.0.2.2" in text
    assert "- 192.0.2.1" in text
    assert "1 of 3 clusters serve svc1.net." in text
    assert "expired 1m05s after" in text
    assert "▲ careful" in text


def test_what_is_left_is_that_of_the_name_that_has_least() -> None:
    rich = AnswerChange("a.net.", ("192.0.2.1",), (), False, 2, 3)
    poor = AnswerChange("b.net.", ("192.0.2.1",), (), False, 0, 3)
    assert "0 of 3 clusters serve b.net." in body(
        proposal(Action.DRAIN, "a", preview=replace(PREVIEW, changes=(rich, poor)))
    )


def test_restore_of_a_cluster_that_still_fails_says_so() -> None:
    failing = cluster("osaka", ClusterState.ERASED)
    held = Proposal(Order(Action.RESTORE, ("osaka",)), PREVIEW, (failing,), snapshot(failing))
    assert "osaka still fails (internal 8/9)" in body(held)
    assert "still fails" not in body(proposal(Action.RESTORE, "a"))
    told = replace(held, preview=replace(PREVIEW, warnings=("osaka still fails, says the engine",)))
    assert body(told).count("still fails") == 1


def test_only_an_order_that_takes_an_address_out_waits_for_caches() -> None:
    back = AnswerChange("svc1.net.", (), ("192.0.2.1",), False, 1, 3)
    assert "cached" not in body(proposal(Action.RESTORE, "a", preview=replace(PREVIEW, changes=(back,), safe_in=5.0)))


def test_hostile_words_in_a_dialog_stay_on_their_line() -> None:
    warned = proposal(Action.DRAIN, "a", preview=replace(PREVIEW, warnings=("one\n\n\x1b[31mtwo",)))
    assert "▲ one \x1b[31mtwo" in body(warned)


def test_what_changed_meanwhile_is_named() -> None:
    old = proposal(Action.DRAIN, "a")
    worse = replace(
        old,
        targets=(
            replace(old.targets[0], state=ClusterState.ERASED, override=Override("a", Action.ERASE, "bob", "", NOW)),
        ),
        preview=replace(PREVIEW, expected=(("a", 2),)),
    )
    said = "\n".join(changes(old, worse))
    assert "a was ● OK, is ✖ ERASED" in said
    assert "no order before, erase by bob now" in said
    silent = replace(old, preview=replace(PREVIEW, expected=(("a", 2),)))
    assert changes(old, silent) == ("a: revision 1 is now 2",)


def test_the_reverse_brings_back_what_was_there() -> None:
    drained = cluster("b", ClusterState.DRAINED, override=Override("b", Action.DRAIN, "ann", "", NOW, NOW + 60))
    before = snapshot(cluster("a"), drained)
    back = inverse(Order(Action.ERASE, ("a", "b"), who="me"), before)
    assert {(o.action, o.clusters, o.until) for o in back} == {
        (Action.RESTORE, ("a",), None),
        (Action.DRAIN, ("b",), NOW + 60),
    }
    assert inverse(Order(Action.FREEZE), before)[0].action is Action.THAW
    assert inverse(Order(Action.THAW), before)[0].action is Action.FREEZE
