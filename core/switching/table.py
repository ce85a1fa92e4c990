"""From standings and overrides to the record table (spec S14, S27, S35). Pure; the only place where a table is made.

Never empty: when no cluster of an app may be answered, those that automatic control took out are served again
(*fail-open*), also ones of weight 0; what a person took out stays out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from core.model import Override, Phase
from core.records import AppRecords, Record, RecordTable
from core.settings import App
from core.switching.serials import following
from core.switching.standing import Standing
from core.world import World

StandingKey = tuple[str, str]
SERVING = Standing()


def build(
    world: World,
    standings: Mapping[StandingKey, Standing],
    overrides: Mapping[str, Override],
    before: RecordTable,
    uneasy: Collection[str] = (),
) -> RecordTable:
    """The table that follows from who stands where; ``before`` itself when it would be the same. Apps that stay as they
    are stay the same objects. The apps of ``uneasy`` clusters have the TTL ``dns.ttl_min``."""
    apps = {}
    for domain, app in world.apps.items():
        made, was = _records(world, app, standings, overrides, uneasy), before.apps.get(domain)
        apps[domain] = was if was == made else made
    if apps == dict(before.apps):
        return before
    return RecordTable(following(world.settings, before.serial), MappingProxyType(apps))


def _records(
    world: World,
    app: App,
    standings: Mapping[StandingKey, Standing],
    overrides: Mapping[str, Override],
    uneasy: Collection[str],
) -> AppRecords:
    automatic = [name for name in app.clusters if name not in overrides]
    standing = {name: standings.get((app.domain, name), SERVING) for name in automatic}
    recovery = world.settings.recovery
    shares = {name: standing[name].share(recovery) for name in automatic if world.weight(app.domain, name) > 0}
    serving = {name: share for name, share in shares.items() if share > 0}
    fail_open = not serving and bool(automatic)
    if fail_open:
        serving = dict.fromkeys(_least_bad(app, standing), 100)
    records = tuple(
        Record(
            name,
            world.clusters[name].cluster.addresses,
            share,
            max(world.weight(app.domain, name), int(fail_open)),
            world.clusters[name].cluster.hostname or "",
        )
        for name, share in serving.items()
    )
    ttl = app.ttl if app.ttl is not None else world.settings.dns.ttl
    if any(name in uneasy for name in serving):
        ttl = min(ttl, world.settings.dns.ttl_min)
    return AppRecords(app.domain, ttl, records, app.policy, fail_open)


def _least_bad(app: App, standing: Mapping[str, Standing]) -> list[str]:
    """Who is served when all are down: those that are not erased, else all, or the one that was well last."""
    well = [name for name in standing if standing[name].phase is not Phase.ERASED]
    if well:
        return well
    if app.when_all_down == "keep-last":
        return [max(standing, key=lambda name: standing[name].since)]
    return list(standing)
