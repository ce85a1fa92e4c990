"""The confirmation message to a cluster's router, which answers while the cluster is well (spec S11).

Owns the reading of ``[cluster.confirm]`` and one worker for each cluster. Called by the engine.
"""

from __future__ import annotations

import re

from core.clock import Clock
from core.errors import ConfigError
from core.model import CheckId, Kind, SourceId, SourceKind
from core.probes.confirm.http import HttpTarget, tls
from core.probes.confirm.packets import DnsTarget, IcmpTarget, TcpTarget
from core.probes.rounds import Pace, Target, Unusable, ask_forever
from core.probes.sink import ProbeSink
from core.settings import Cluster, Confirm, Settings

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([A-Za-z0-9_.-]*))(?::(\d{1,5}))?")
_PORTS = {"http": 80, "https": 443, "dns": 53}


async def worker(settings: Settings, cluster: Cluster, sink: ProbeSink, clock: Clock) -> None:
    """Ask the router of ``cluster`` at ``confirm.interval`` until cancelled; without a ``confirm`` there is nothing to do.

    Settings that cannot be used are silence that says why; :func:`target` tells beforehand.
    """
    confirm = cluster.confirm
    if confirm is None:
        return
    asked: Target
    try:
        asked = target(settings, cluster, confirm)
    except ConfigError as error:
        asked = Unusable(str(error))
    check = CheckId(SourceId(cluster.name, "router", SourceKind.ROUTER), Kind.CONFIRM)
    await ask_forever(asked, Pace(check, confirm.interval, confirm.timeout), sink, clock)


def target(settings: Settings, cluster: Cluster, confirm: Confirm) -> Target:
    """What is asked. ConfigError when the settings cannot be used, among them a target that is a steered name."""
    where = f"cluster {cluster.name}: confirm"
    authority, slash, rest = confirm.target, "", ""
    if confirm.kind in ("http", "https"):
        authority, slash, rest = confirm.target.partition("/")
    host, port = _endpoint(where, authority, _PORTS.get(confirm.kind, 0))
    host = host or cluster.addresses[0]
    domains = {app.domain for app in settings.app}
    if host.lower().rstrip(".") + "." in domains:
        raise ConfigError(f"{where}.target is {host}, a name that is steered: give the router's address")
    first = next((app.domain for app in settings.app if cluster.name in app.clusters), "")
    name = confirm.host or first.rstrip(".") or host
    if confirm.kind in ("http", "https"):
        path = slash + rest or "/"
        if not re.fullmatch(r"[!-~]+", path) or not re.fullmatch(r"[!-~]+", name):
            raise ConfigError(f"{where}: path and host are printable ASCII without spaces")
        context = tls(confirm.verify) if confirm.kind == "https" else None
        return HttpTarget(host, port, path, name=name, statuses=statuses(where, confirm.expect), context=context)
    if confirm.kind == "icmp":
        return IcmpTarget(host)
    if not port:
        raise ConfigError(f"{where}.target needs a port: [HOST]:PORT")
    return TcpTarget(host, port) if confirm.kind == "tcp" else DnsTarget(host, port, name, confirm.expect)


def statuses(where: str, expect: str) -> list[range]:
    """ "200-399,418" as ranges. ConfigError for anything else."""
    ranges = []
    for part in expect.split(","):
        match = re.fullmatch(r"\s*(\d{3})(?:\s*-\s*(\d{3}))?\s*", part)
        if not match:
            raise ConfigError(f"{where}.expect: not a status code or range: {part!r}")
        ranges.append(range(int(match[1]), int(match[2] or match[1]) + 1))
    return ranges


def _endpoint(where: str, text: str, default_port: int) -> tuple[str, int]:
    if text.count(":") > 1 and not text.startswith("["):  # an IPv6 address alone
        text = f"[{text}]"
    match = _AUTHORITY.fullmatch(text)
    port = int(match[3] or default_port) if match else 0
    if not match or port > 65535:
        raise ConfigError(f"{where}.target: not [HOST][:PORT]: {text!r}")
    return match[1] or match[2], port
