"""A zone in other people's DNS as a hand: reconciled at the start and at each change, and asked at all of its servers until it is so (spec S33)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from core.errors import ConfigError
from core.hands.asking import Server, Unreachable, several, still, types_of, until
from core.hands.hand import HandError, Target
from core.hands.provider.plan import Plan, Standing, Wanted, plan, wanted
from core.hands.provider.powerdns import PowerDns
from core.hands.provider.rfc2136 import Rfc2136
from core.model import HandKind
from core.settings import Settings
from core.settings import tsig as keys
from core.settings.hands import Provider as ProviderSettings

_NAMES_AT_ONCE = 8


class Backend(Protocol):
    """One way to read and change a zone; both raise HandError."""

    async def read(self, domain: str) -> Standing: ...

    async def apply(self, plan: Plan) -> None: ...

    async def close(self) -> None: ...


def providers(settings: Settings) -> tuple[Provider, ...]:
    """One hand for each ``[[provider]]``; none in shadow mode (spec S38). Raises ConfigError for a file that cannot be used."""
    return () if settings.safety.shadow else tuple(map(provider, settings.provider))


def provider(settings: ProviderSettings) -> Provider:
    """Raises ConfigError for a file that cannot be used."""
    server = Server.at(settings.server, settings.timeout)
    backend: Backend
    if settings.kind == "powerdns":
        backend = PowerDns(settings.zone, settings.url, _secret(settings.api_key_file), settings.timeout)
    else:
        backend = Rfc2136(settings.zone, server, keys.read(settings.tsig) if settings.tsig else None)
    servers = (server, *(Server.at(text, settings.timeout) for text in settings.secondaries))
    return Provider(settings, backend, servers)


class Provider:
    """One zone; ``servers`` are all that must answer as decided."""

    kind = HandKind.PROVIDER
    cluster = ""

    def __init__(self, settings: ProviderSettings, backend: Backend, servers: Iterable[Server]) -> None:
        self.name = settings.name
        self.address = settings.server
        self._settings = settings
        self._backend = backend
        self._servers = tuple(servers)
        self._done: dict[str, Wanted] = {}
        self._places = asyncio.Semaphore(_NAMES_AT_ONCE)

    async def carry_out(self, target: Target) -> str:
        """Returns once every server answers what should be, and nothing that should not."""
        names = [domain for domain in target.table.apps if self.holds(domain)]
        goals = [wanted(target.table.apps[name], target.erased.get(name, ())) for name in names]
        deaf: list[str] = []
        said = await asyncio.gather(*(self._bring(goal, deaf) for goal in goals))
        if wrong := several(filter(None, (*said, *deaf))):
            raise HandError(wrong)
        return f"{len(names)} names as decided, at {len(self._servers)} servers"

    async def plan(self, goal: Wanted) -> Plan:
        """What would be done for one name now. Raises HandError."""
        found = await self._backend.read(goal.domain)
        return plan(goal, found, self._settings.owner, adopt=self._settings.adopt)

    def holds(self, domain: str) -> bool:
        """Whether the name lies in the zone."""
        return f".{domain}".endswith(f".{self._settings.zone}")

    async def close(self) -> None:
        await self._backend.close()

    async def _bring(self, goal: Wanted, deaf: list[str]) -> str:
        """What is wrong in the end; "" for nothing. Where it cannot be read or written, ``deaf`` says so, and spares the rest."""
        if self._done.get(goal.domain) == goal:
            return ""
        self._done.pop(goal.domain, None)
        async with self._places:
            if deaf:
                return ""
            try:
                found = await self.plan(goal)
                if found.refused:
                    return found.refused
                if found.changes:
                    await self._backend.apply(found)
            except Unreachable as error:
                deaf.append(str(error))
                return ""
            except (HandError, OSError, TimeoutError) as error:
                return str(error) or type(error).__name__
            wrong = several(filter(None, await asyncio.gather(*(self._ask(each, goal) for each in self._servers))))
        if not wrong:
            self._done[goal.domain] = goal
        return wrong

    async def _ask(self, server: Server, goal: Wanted) -> str:
        gone = goal.known - goal.places

        def wrong(answered: frozenset[str]) -> str:
            if held := answered & gone:
                return still(server, goal.domain, held)
            missing = goal.places - answered
            return f"{server} does not answer {', '.join(sorted(missing))} for {goal.domain} yet" if missing else ""

        return await until(server, goal.domain, types_of(goal.known), wrong)


def _secret(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the API key cannot be read: {error}") from None
