"""SIGHUP reads the settings again: what changed takes effect at once, and a broken file changes nothing (issue 2)."""

from __future__ import annotations

from collections.abc import Iterator
from signal import SIGHUP

import pytest

from core.model import Action
from tests.live.app_program import CONFIG, Program, eventually, pointsman, program, written

pytestmark = pytest.mark.live
C = '[[cluster]]\nname = "c"\naddresses = ["192.0.2.3"]\n'


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(written(tmp_path_factory.mktemp("reload"))) as it:
        yield it
        it.end()


def reload(it: Program, text: str) -> str:
    """What is said of it, in one log line."""
    written(it.directory, text)
    before = len(it.said())
    it.process.send_signal(SIGHUP)

    def said() -> list[str]:
        return [line for line in it.said()[before:].splitlines() if " reload said=" in line or "reload_refused" in line]

    eventually(said)
    [line] = said()
    return line


def test_a_cluster_is_added_and_removed_and_a_ttl_changed(it: Program) -> None:
    assert it.answer().answer[0].ttl == 5
    assert "reload said=reloaded" in reload(it, CONFIG.replace('"a", "b"', '"a", "b", "c"') + "ttl = 9\n" + C)
    assert it.addresses() == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
    assert it.answer().answer[0].ttl == 9
    it.order(Action.ERASE, "c", why="goes with the cluster")
    reload(it, CONFIG.replace('"a", "b"', '"a"'))
    assert it.addresses() == {"192.0.2.1"}
    reload(it, CONFIG)
    assert it.addresses() == {"192.0.2.1", "192.0.2.2"}
    assert it.answer().answer[0].ttl == 5


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("[dns\n", "not TOML: "),
        (CONFIG + 'policy = "sometimes"\n', 'app[0].policy: is "sometimes"'),
        (CONFIG + '[[zone]]\nname = "svc1.net."\nfile = "zone"\n', "zone"),
        (
            CONFIG.replace('"192.0.2.1"', '"192.0.2.9"')
            + '[ssh]\nkeys = ["zone"]\nknown_hosts = "zone"\n'
            + C
            + '[[cluster.node]]\nname = "n"\nssh = "127.0.0.1:1"\n',
            "ssh.keys: cannot be used",
        ),
    ],
)
def test_a_broken_file_says_why_not_and_nothing_changes(it: Program, broken: str, why: str) -> None:
    (it.directory / "zone").write_text("garbage\n")
    before = it.snapshot()
    said = reload(it, broken)
    assert "reload_refused" in said
    assert why in said
    after = it.snapshot()
    assert (after.serial, after.apps) == (before.serial, before.apps)
    assert it.addresses() == {"192.0.2.1", "192.0.2.2"}
    assert "reload said=reloaded" in reload(it, CONFIG)


def test_what_needs_a_restart_is_said_until_it_is_undone(it: Program) -> None:
    for _ in range(2):
        said = reload(it, CONFIG.replace("127.0.0.1:0", "127.0.0.1:1").replace('"state"', '"elsewhere"'))
        assert "a restart is needed for dns.listen, store" in said
    assert it.addresses() == {"192.0.2.1", "192.0.2.2"}
    assert "restart" not in reload(it, CONFIG)


def test_check_says_of_the_same_file_what_the_reload_says(it: Program) -> None:
    said = reload(it, CONFIG + 'policy = "sometimes"\n')
    checked = pointsman(it.directory, "check", "--config", str(it.directory / "config.toml"))
    assert checked.code == 2
    assert checked.refusal.removeprefix("pointsman: ").strip() in said.replace("\\'", "'")
    reload(it, CONFIG)
