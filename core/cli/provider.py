"""The commands under ``provider``: what is there, what should be, and what differs in other people's DNS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from core.cli.output import DIFFERS, Socket, ask, say
from core.cli.process import Config, loaded
from core.errors import CommandRefused, ConfigError

if TYPE_CHECKING:
    from core.hands.provider.hand import Provider
    from core.hands.provider.plan import Plan, Wanted
    from core.snapshot import Snapshot


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Other people's DNS: diff.")
    group.command()(diff)
    app.add_typer(group, name="provider")


def diff(config: Config = None, socket: Socket = None) -> None:
    """What would be changed in each [[provider]] now; nothing is. Asks the running process what should be there. Exit code 3:
    something differs."""
    from core.hands.provider.hand import provider  # noqa: PLC0415  # slow to import; most commands do without

    settings = loaded(config)
    if not settings.provider:
        raise ConfigError("no [[provider]] in the settings")
    snapshot = ask(socket, lambda client: client.snapshot())
    all_read, differs = True, False
    for each in settings.provider:
        said, read, differing = asyncio.run(_plans(provider(each), snapshot))
        say(*said)
        all_read, differs = all_read and read, differs or differing
    if not all_read:
        raise CommandRefused("not everything could be read: what cannot be read is never taken for empty")
    if differs:
        raise typer.Exit(DIFFERS)


async def _plans(provider: Provider, snapshot: Snapshot) -> tuple[list[str], bool, bool]:
    """The lines about one provider, whether all could be read, and whether something differs."""
    from core.hands.hand import HandError  # noqa: PLC0415  # as above

    lines = [f"{provider.name} ({provider.address})"]
    read, differs = True, False
    try:
        for goal in _goals(provider, snapshot):
            try:
                plan = await provider.plan(goal)
                lines += [f"  {line}" for line in _described(plan)]
                differs = differs or bool(plan.changes or plan.refused)
            except HandError as error:
                lines.append(f"  {goal.domain}  cannot be read: {error}")
                read = False
    finally:
        await provider.close()
    return lines, read, differs


def _goals(provider: Provider, snapshot: Snapshot) -> Iterator[Wanted]:
    from core.hands.provider.plan import Wanted  # noqa: PLC0415  # as above

    places = {cluster.name: cluster.addresses for cluster in snapshot.clusters}
    for app in snapshot.apps:
        if provider.holds(app.domain):
            known = {place for member in app.memberships for place in places[member.cluster]}
            yield Wanted(app.domain, app.ttl, frozenset(app.addresses), frozenset(known))


def _described(plan: Plan) -> Iterator[str]:
    if plan.refused:
        yield f"{plan.domain}  left as it is: it {plan.refused.removeprefix(plan.domain).strip()}"
        return
    yield f"{plan.domain}  {'differs' if plan.changes else 'as it should be'}"
    for sign, places in (("+", plan.add), ("-", plan.remove)):
        for place in sorted(places):
            yield f"  {sign} {place}"
    for place in sorted(plan.others):
        yield f"    {place}  of somebody else, stays"
    for text in sorted((plan.marks or frozenset()) - plan.before.marks):
        yield f"  ~ the mark of what is ours: {text}"
    for rtype, records in plan.after.items():
        before = plan.before.records.get(rtype)
        if before and records and before.ttl != records.ttl:
            yield f"  ~ {rtype} TTL {before.ttl} -> {records.ttl}"
