"""What the tests of the kinds share: fixtures, settings and checks by id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.model import Verdict
from core.probes.check import Check, Judgement, Output
from core.probes.kinds import machine_checks, node_checks
from core.settings import App, Cluster, Machine, Node, PodRule, Settings

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def ok(stdout: str, stderr: str = "") -> Output:
    return Output(0, stdout, stderr)


def refused(exit_code: int, stderr: str, stdout: str = "") -> Output:
    return Output(exit_code, stdout, stderr)


def settings(pods: Sequence[str] = ("default/svc1-*",), **detection: Any) -> Settings:
    apps = (App(domain="svc1.net.", clusters=("osaka",), pods=tuple(PodRule(match=pod) for pod in pods)),)
    clusters = (Cluster(name="osaka", addresses=("192.0.2.1",)),)
    return Settings.model_validate({"app": apps, "cluster": clusters, "detection": detection})


def checks(made: Settings | None = None, **node: Any) -> dict[str, Check]:
    """The checks of a node by "kind" or "kind:name"."""
    made = made or settings()
    built = node_checks(made, made.cluster[0], Node(name="n1", local=True, **node))
    return {str(check.id).removeprefix("osaka/n1/"): check for check in built}


def machine(*domains: str, made: Settings | None = None) -> Check:
    made = made or settings()
    wanted = {f"node{number}": domain for number, domain in enumerate(domains)}
    (check,) = machine_checks(made, made.cluster[0], Machine(name="m1", local=True, domains=wanted))
    return check


def one(check: Check, output: Output) -> Judgement:
    (judgement,) = check.judge(output)
    return judgement


def verdict(check: Check, output: Output) -> tuple[Verdict, str]:
    judgement = one(check, output)
    return judgement.verdict, judgement.said
