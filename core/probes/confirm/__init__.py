"""The confirmation message to a cluster's router, which answers while the cluster is well (spec S11).

Owns the reading of ``[cluster.confirm]`` and one worker for each cluster. Called by the engine.
"""

from __future__ import annotations

import re
from functools import partial

import dns.exception

from core.clock import Clock
from core.errors import ConfigError
from core.model import CheckId, Kind, SourceId, SourceKind
from core.probes.confirm.http import HttpTarget, tls
from core.probes.confirm.packets import DnsTarget, IcmpTarget, TcpTarget
from core.probes.hedged import Hedged
from core.probes.rounds import Pace, Target, Unusable, ask_forever
from core.probes.sink import ProbeSink
from core.settings import Cluster, Confirm, Settings
from core.settings.base import confirm_target, status_ranges


async def worker(settings: Settings, cluster: Cluster, sink: ProbeSink, clock: Clock) -> None:
    """Ask the router of ``cluster`` at ``confirm.interval`` until cancelled; without a ``confirm`` there is nothing to do.

    Settings that cannot be used are silence that says why; :func:`target` tells beforehand.
    """
    confirm = cluster.confirm
    if confirm is None:
        return
    asked: Target
    try:
        asked = Hedged(partial(target, settings, cluster, confirm), confirm.timeout)
    except ConfigError as error:
        asked = Unusable(str(error))
    check = CheckId(SourceId(cluster.name, "router", SourceKind.ROUTER), Kind.CONFIRM)
    await ask_forever(asked, Pace(check, confirm.interval, confirm.timeout), sink, clock)


def target(settings: Settings, cluster: Cluster, confirm: Confirm) -> Target:
    """What is asked, at an address. ConfigError when a host or path cannot be sent as it is."""
    wanted = confirm_target(confirm.kind, confirm.target)
    host, port, path = wanted.host or cluster.addresses[0], wanted.port, wanted.path
    domain = next((app.domain for app in settings.app if cluster.name in app.clusters), "")
    name = confirm.host or domain.rstrip(".") or host
    if confirm.kind == "icmp":
        return IcmpTarget(host)
    if confirm.kind == "tcp":
        return TcpTarget(host, port)
    if confirm.kind == "dns":
        try:
            return DnsTarget(host, port, name, confirm.expect)
        except dns.exception.DNSException as error:
            raise ConfigError(f"cluster {cluster.name}: confirm.host is not a name to ask for: {error}") from error
    if not re.fullmatch(r"[!-~]+", path + name):
        raise ConfigError(f"cluster {cluster.name}: confirm.target and confirm.host must be printable ASCII, no blanks")
    context = tls(confirm.verify) if confirm.kind == "https" else None
    return HttpTarget(
        host,
        port,
        path,
        name=name,
        statuses=status_ranges(confirm.expect),
        context=context,
    )
