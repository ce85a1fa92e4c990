"""From settings to hands: the one place that knows them all."""

from __future__ import annotations

from core.hands.hand import Hand
from core.hands.internal_dns import internal
from core.hands.provider.hand import providers
from core.hands.secondary import secondaries
from core.routers.build import routers
from core.settings import Settings


def hands(settings: Settings) -> tuple[Hand, ...]:
    """Everyone who is told and asked. Raises ConfigError for files that cannot be used."""
    return (*secondaries(settings), *internal(settings), *providers(settings), *routers(settings))
