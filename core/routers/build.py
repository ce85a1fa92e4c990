"""From settings to routers. A kind of router is a module beside this one that is named as in ``cluster.router.kind``, with
``router(settings, cluster)``: one file more, and its name in that setting."""

from __future__ import annotations

from importlib import import_module

from core.hands.hand import Hand
from core.settings import Cluster, Settings


def routers(settings: Settings) -> tuple[Hand, ...]:
    """One for each cluster that has one. Raises ConfigError for what cannot be used."""
    return tuple(router(settings, cluster) for cluster in settings.cluster if cluster.router.kind != "none")


def router(settings: Settings, cluster: Cluster) -> Hand:
    """The router of one cluster that has one. Its module is imported now: some need packages that are optional."""
    made: Hand = import_module(f"core.routers.{cluster.router.kind.replace('-', '_')}").router(settings, cluster)
    return made
