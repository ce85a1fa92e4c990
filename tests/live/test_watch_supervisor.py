"""All probes together, with real shells of this machine: nobody takes another down, and a reload restarts what changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from core.clock import Clock
from core.errors import ConfigError
from core.model import CheckId, Evidence, Kind, Silence, SourceId, SourceKind
from core.probes import confirm
from core.probes.sink import ProbeSink
from core.probes.supervisor import Probes
from core.settings import Cluster, Settings
from tests.live.sshd import Seen

pytestmark = pytest.mark.live


def node(name: str, command: str, **more: object) -> dict[str, object]:
    return {"name": name, "local": True, "checks": [], "command": [{"name": "own", "command": command}]} | more


def settings(*nodes: dict[str, object], **cluster: object) -> Settings:
    return Settings.model_validate(
        {
            "cluster": [{"name": "tokyo", "addresses": ["192.0.2.1"], "node": nodes} | cluster],
            "detection": {"interval": 0.2},
        }
    )


def check(name: str) -> CheckId:
    return CheckId(SourceId("tokyo", name), Kind.COMMAND, "own")


def watch(name: str) -> CheckId:
    return CheckId(SourceId("tokyo", name), Kind.WATCH)


@contextlib.asynccontextmanager
async def running(probes: Probes) -> AsyncIterator[None]:
    task = asyncio.create_task(probes.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_every_node_is_probed() -> None:
    seen = Seen()
    async with running(Probes(settings(node("a", "true"), node("b", "false")), seen, Clock())):
        assert (await seen.evidence(check("a"), 2)).healthy
        assert not (await seen.evidence(check("b"), 2)).healthy
        assert {status.mode for status in seen.statuses} == {"local"}


async def test_a_reload_restarts_only_what_changed() -> None:
    seen = Seen()
    probes = Probes(settings(node("kept", "true"), node("changed", "true"), node("gone", "true")), seen, Clock())
    async with running(probes):
        for name in ("kept", "changed", "gone"):
            await seen.evidence(check(name))
        await probes.replace(settings(node("kept", "true"), node("changed", "false"), node("new", "true")))
        await seen.until(lambda: any(not r.healthy for r in seen.of(check("changed"), Evidence)))
        await seen.evidence(check("new"))
        before = len(seen.of(check("gone"), Evidence))
        await seen.evidence(check("kept"), len(seen.of(check("kept"), Evidence)) + 3)
        assert len(seen.of(check("gone"), Evidence)) == before
        assert len(seen.of(watch("kept"), Evidence)) == 1
        assert len(seen.of(watch("changed"), Evidence)) == 2


async def test_settings_that_cannot_be_used_leave_everything_as_it_was() -> None:
    seen = Seen()
    probes = Probes(settings(node("a", "true")), seen, Clock())
    bad = settings({"name": "b", "ssh": "node"})
    bad = bad.model_copy(update={"ssh": bad.ssh.model_copy(update={"keys": ("/nonexistent/key",)})})
    async with running(probes):
        await seen.evidence(check("a"))
        with pytest.raises(ConfigError, match=r"ssh\.keys"):
            await probes.replace(bad)
        await seen.evidence(check("a"), len(seen.of(check("a"), Evidence)) + 2)


async def test_a_worker_that_raises_is_reported_and_started_again_and_harms_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = 0

    async def defect(*_: object) -> None:
        nonlocal starts
        starts += 1
        raise ZeroDivisionError

    monkeypatch.setattr(confirm, "worker", defect)
    seen = Seen()
    probes = Probes(settings(node("a", "true"), confirm={"kind": "tcp", "target": ":9"}), seen, Clock())
    async with running(probes):
        router = CheckId(SourceId("tokyo", "router", SourceKind.ROUTER), Kind.WATCH)
        assert "ZeroDivisionError" in (await seen.silence(router, 2)).reason
        assert starts >= 2
        await seen.evidence(check("a"), 3)
        assert not seen.of(watch("a"), Silence)


async def test_one_round_is_one_result_of_every_check_and_says_who_was_not_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(_: Settings, __: Cluster, ___: ProbeSink, ____: Clock) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(confirm, "worker", never)
    probes = Probes(
        settings(node("a", "true"), node("b", "false"), confirm={"kind": "tcp", "target": ":9"}), Seen(), Clock()
    )
    results = {r.check: r for r in await probes.check_once(5.0)}
    router = CheckId(SourceId("tokyo", "router", SourceKind.ROUTER), Kind.WATCH)
    assert set(results) == {check("a"), check("b"), watch("a"), watch("b"), router}
    assert results[router] == Silence(router, "not done in 5 s", results[router].at)


async def test_one_round_of_sources_that_answer_does_not_wait_for_its_end() -> None:
    probes = Probes(settings(node("a", "true"), {"name": "b", "local": True, "checks": []}), Seen(), Clock())
    async with asyncio.timeout(60):
        results = await probes.check_once(1000.0)
    assert {r.check for r in results} == {check("a"), watch("a"), watch("b")}
