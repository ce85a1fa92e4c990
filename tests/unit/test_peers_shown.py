"""How several instances are shown: the word in the console's header, the line of ``status``, the metrics."""

from __future__ import annotations

from dataclasses import replace

from core.cli.render import status
from core.control.metrics import render
from core.snapshot import PeersView, PeerView, Snapshot
from tests.tui.scripted import NOW, fleet
from tui.feed import View
from tui.header import header_lines
from tui.text import plain


def seen(*, reachable: bool = True, heard: bool = True, blind: bool = False, ahead: float = 0.0) -> Snapshot:
    others = (PeerView("osaka", reachable and heard, blind, NOW - 70, ahead),)
    return replace(fleet(), peers=PeersView("tokyo", reachable, NOW - 30, "no answer in 1 s", 2, others, ("a",)))


def header(snapshot: Snapshot) -> str:
    return "\n".join(plain(each) for each in header_lines(View(snapshot, NOW, 0.0, stale=False), 120, False))


def line(snapshot: Snapshot) -> str:
    return next((each for each in status(snapshot) if "tokyo is here" in each or each.startswith("ALONE")), "")


def test_alone_is_a_word_in_the_header_and_the_first_of_a_line() -> None:
    gone = seen(reachable=False)
    assert " ALONE " in header(gone)
    assert line(gone) == "ALONE: tokyo hears no other instance, etcd has not answered for 30s"


def test_an_instance_that_is_not_heard_is_named() -> None:
    lost = seen(heard=False)
    assert " PEER LOST " in header(lost)
    assert line(lost) == "instances: tokyo is here, osaka IS NOT HEARD for 1m10s; silence takes 2"


def test_all_is_well_takes_no_room_and_a_clock_that_is_off_is_told() -> None:
    assert "ALONE" not in header(seen()) + header(fleet())
    assert line(fleet()) == ""
    assert line(seen()) == "instances: tokyo is here, osaka is heard; silence takes 2"
    assert "osaka cannot see (its clock is +3600 s off)" in line(seen(blind=True, ahead=3600.0))


def test_the_metrics_tell_each_of_it() -> None:
    told = render(seen(heard=False, ahead=5.0), {}).decode()
    assert "pointsman_peers_reachable 1.0" in told
    assert 'pointsman_peer_heard{peer="osaka"} 0.0' in told
    assert "pointsman_peers_unshared 1.0" in told
    assert 'pointsman_peer_clock_ahead_seconds{peer="osaka"} 5.0' in told
    assert "pointsman_peer" not in render(fleet(), {}).decode()
