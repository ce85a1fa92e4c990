"""The internal DNS of clusters (spec S17): told of every erase, and asked for the name until the address is gone.

How each kind is told is in :mod:`core.hands.tellers`; what confirms is the same for all: its own answers. One that says that it is done and
answers the old address has not confirmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from core.hands.asking import Server, Unreachable, several, still, types_of, until
from core.hands.hand import Hand, HandError, Target
from core.hands.tellers import Teller, teller
from core.model import HandKind
from core.settings import Settings

_NAMES_AT_ONCE = 16
_TELL_AGAIN = (0.2, 0.8, 2.0, 3.0)
"""Seconds that a name is asked for until it is told once more: it may have fetched the address anew from one that lags."""


def internal(settings: Settings) -> tuple[Hand, ...]:
    """One hand for each ``[[internal_dns]]``. Raises ConfigError for a key file that cannot be used."""
    return tuple(
        InternalDns(each.name, each.cluster, Server.at(each.address, each.timeout), each.domains, teller(each))
        for each in settings.internal_dns
    )


class InternalDns:
    """One caching DNS; ``domains`` are the names that it is told of, none for all."""

    kind = HandKind.INTERNAL_DNS

    def __init__(self, name: str, cluster: str, server: Server, domains: Iterable[str], teller: Teller) -> None:
        self.name = name
        self.cluster = cluster
        self.address = str(server)
        self._server = server
        self._domains = frozenset(domains)
        self._teller = teller
        self._told: dict[str, frozenset[str]] = {}
        self._places = asyncio.Semaphore(_NAMES_AT_ONCE)

    async def carry_out(self, target: Target) -> str:
        """Returns once it answers none of what is erased."""
        wanted = self.told_of(target)
        self._told = {domain: places for domain, places in self._told.items() if domain in wanted}
        serial = target.table.serial & 0xFFFFFFFF
        deaf: list[str] = []
        jobs = (self._bring(domain, places, serial, deaf) for domain, places in wanted.items())
        if wrong := several(filter(None, (*await asyncio.gather(*jobs), *deaf))):
            raise HandError(wrong)
        erased = sorted({place for places in wanted.values() for place in places})
        return f"answers without {', '.join(erased)}" if erased else "nothing is erased"

    def told_of(self, target: Target) -> dict[str, frozenset[str]]:
        """What is erased under the names that it is told of."""
        return {d: places for d, places in target.erased.items() if not self._domains or d in self._domains}

    async def close(self) -> None:
        """Nothing is held open."""

    async def _bring(self, domain: str, places: frozenset[str], serial: int, deaf: list[str]) -> str:
        """What it answers wrongly in the end; "" for nothing. Where it cannot be told, ``deaf`` says so, and spares the rest."""
        told = self._told.get(domain)
        if told == places or (not self._teller.lifts and places <= (told or frozenset())):
            self._told[domain] = places
            return ""
        self._told.pop(domain, None)
        async with self._places:
            if deaf:
                return ""
            try:
                wrong = await self._tell(domain, places, serial)
            except (Unreachable, OSError, TimeoutError) as error:
                deaf.append(str(error) or f"{type(error).__name__} while it was told")
                return ""
            except HandError as error:
                return str(error)
        if not wrong:
            self._told[domain] = places
        return wrong

    async def _tell(self, domain: str, places: frozenset[str], serial: int) -> str:
        def held(answered: frozenset[str]) -> str:
            return still(self._server, domain, answered & places) if answered & places else ""

        wrong = ""
        for patience in _TELL_AGAIN:
            await self._teller.tell(domain, places, serial)
            wrong = await until(self._server, domain, types_of(places), held, patience) if places else ""
            if not wrong:
                break
        return wrong
