"""The commands under ``endpoints``: the deployment instruction, one endpoint for each pod (spec S18)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from core.cli.find import settings_file
from core.cli.output import DIFFERS, Socket, ask, say
from core.errors import PointsmanError
from core.hands.hand import HandError

if TYPE_CHECKING:
    from core.routers.endpoints import Deployment, Difference
    from core.snapshot import PodView, Snapshot

Clusters = Annotated[
    list[str] | None, typer.Argument(help="Clusters; default all with a router.", metavar="[CLUSTER]…")
]
Config = Annotated[Path | None, typer.Option("--config", help="The settings file.", metavar="FILE")]
Form: TypeAlias = Literal["haproxy", "kubernetes"]
_MODULES = {"haproxy": "haproxy_endpoints", "kubernetes": "gateway_endpoints"}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="One endpoint for each pod at its cluster's router: render, diff, apply.")
    for command in (render, diff, apply):
        group.command()(command)
    app.add_typer(group, name="endpoints")


def render(
    clusters: Clusters = None,
    form: Annotated[Form | None, typer.Option("--format", help="Default: as the cluster's router.")] = None,
    config: Config = None,
    socket: Socket = None,
) -> None:
    """Print what belongs into haproxy.cfg, or the manifests, for the pods that a running pointsman sees."""
    for name, deployment in _deployments(clusters, form, config, socket):
        lines = [*deployment.render()]
        say(*([] if lines[:1] == ["{"] else [f"# cluster {name}"]), *lines)


def diff(clusters: Clusters = None, config: Config = None, socket: Socket = None) -> None:
    """Print what the routers lack: + to add, ~ to change, - to remove, ! to be done by hand. Exit code 3: something differs."""
    differs = False
    for name, deployment in _deployments(clusters, None, config, socket):
        found = _run(name, deployment)
        say(*(f"{name}: {each.sign} {each.said}" for each in found), *([] if found else [f"{name}: nothing differs"]))
        differs = differs or bool(found)
    if differs:
        raise typer.Exit(DIFFERS)


def apply(
    clusters: Clusters = None,
    prune: Annotated[bool, typer.Option("--prune", help="Also remove servers of pods that nobody sees.")] = False,
    config: Config = None,
    socket: Socket = None,
) -> None:
    """Carry out what can be, and ask again what is left."""
    left = 0
    for name, deployment in _deployments(clusters, None, config, socket):
        for each in _run(name, deployment):
            if each.sign == "!" or (each.sign == "-" and not prune):
                continue
            try:
                asyncio.run(deployment.apply(each))
            except (HandError, OSError, TimeoutError) as error:
                say(f"{name}: {each.sign} {each.said}: not done: {error or type(error).__name__}")
            else:
                say(f"{name}: {each.sign} {each.said}")
        rest = [each for each in _run(name, deployment) if each.sign != "-" or prune]
        say(*(f"{name}: left: {each.sign} {each.said}" for each in rest))
        left += len(rest)
    if left:
        raise PointsmanError(f"{left} differences are left")


def _deployments(
    clusters: Iterable[str] | None, form: Form | None, config: Path | None, socket: str | None
) -> list[tuple[str, Deployment]]:
    """Each wanted cluster that has pods to weigh."""
    from core.settings.load import load  # noqa: PLC0415 (pydantic is slow to import; --help does without)

    snapshot = ask(socket, lambda client: client.snapshot())
    settings = load(settings_file(config), {})
    found = []
    wanted = tuple(clusters or ())
    names = [cluster.name for cluster in settings.cluster]
    if strangers := [name for name in wanted if name not in names]:
        raise PointsmanError(f"no cluster named {', '.join(strangers)}; there are {', '.join(names)}")
    from core.routers.endpoints import backends, endpoints  # noqa: PLC0415 (as above)

    for cluster in settings.cluster:
        pods = _pods(snapshot, cluster.name)
        meant = cluster.name in wanted if wanted else cluster.router.kind != "none" or (form and pods)
        if not meant:
            continue
        kind = form or {"haproxy": "haproxy", "gateway-api": "kubernetes"}.get(cluster.router.kind)
        if kind is None:
            raise PointsmanError(f"{cluster.name} has no router: name a --format")
        places = {
            backend: app
            for domain, backend in backends(settings, cluster).items()
            for app in settings.app
            if app.domain == domain and app.pods
        }
        seen = [(pod.pod, pod.node, pod.weight) for pod in pods]
        instruction = {backend: endpoints(app, cluster, seen) for backend, app in places.items()}
        module = import_module(f"core.routers.{_MODULES[kind]}")
        found.append((cluster.name, module.deployment(cluster, instruction, places)))
    if not found:
        raise PointsmanError("no cluster has a router: set cluster.router, or name a --format")
    return found


def _pods(snapshot: Snapshot, cluster: str) -> tuple[PodView, ...]:
    view = next((view for view in snapshot.clusters if view.name == cluster), None)
    if view is None:
        raise PointsmanError(f"the running pointsman knows no cluster {cluster}: are these its settings?")
    return view.pods


def _run(name: str, deployment: Deployment) -> list[Difference]:
    try:
        return asyncio.run(deployment.diff())
    except (HandError, OSError, TimeoutError) as error:
        raise PointsmanError(f"{name}: its router cannot be asked: {error or type(error).__name__}") from error
