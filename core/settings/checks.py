"""What is wrong with settings whose every value is valid by itself: names, references, contradictions.

Called by :mod:`core.settings.load`. Pure but for the question whether a database's driver is installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec

from core.settings import beside
from core.settings.base import confirm_target, listen_address
from core.settings.clusters import App, Cluster, Database, Zone
from core.settings.explain import did_you_mean
from core.settings.finding import Finding
from core.settings.locate import Loc
from core.settings.root import Settings

_DRIVERS = {"postgresql": "asyncpg", "mysql": "aiomysql", "redis": "redis"}
_SCHEMES = {
    "postgresql": ("postgresql://", "postgres://"),
    "mysql": ("mysql://", "mariadb://"),
    "redis": ("redis://", "rediss://", "unix://"),
}


def findings(settings: Settings, clusters: frozenset[str]) -> Iterator[Finding]:
    """All findings. ``clusters`` are the names that are written, also of clusters that are not valid themselves."""
    yield from _repeated(settings)
    yield from _listeners(settings)
    yield from _limits(settings)
    yield from beside.findings(settings, clusters)
    for index, zone in enumerate(settings.zone):
        yield from _zone(("zone", index), zone)
    weights = {cluster.name: cluster.weight for cluster in settings.cluster}
    for index, app in enumerate(settings.app):
        yield from _app(("app", index), app, weights, clusters)
        yield from _aliases(("app", index), app, settings)
    for index, cluster in enumerate(settings.cluster):
        yield from _places(("cluster", index), cluster)
        yield from _mode(("cluster", index), cluster, settings.detection.mode)
        yield from _sources(("cluster", index), cluster)
        yield from _router(("cluster", index), cluster, settings)
        for number, database in enumerate(cluster.database):
            yield from _database(("cluster", index, "database", number), database)


def _repeated(settings: Settings) -> Iterator[Finding]:
    def twice(values: Iterable[tuple[Loc, object]]) -> Iterator[Finding]:
        seen: dict[object, Loc] = {}
        for loc, value in values:
            if value in seen:
                yield Finding(loc, f'"{value}" stands twice', first=seen[value])
            seen.setdefault(value, loc)

    yield from twice((("zone", i, "name"), zone.name) for i, zone in enumerate(settings.zone))
    yield from twice((("app", i, "domain"), app.domain) for i, app in enumerate(settings.app))
    yield from twice((("cluster", i, "name"), cluster.name) for i, cluster in enumerate(settings.cluster))
    yield from twice(
        (("cluster", i, "addresses", n), address)
        for i, cluster in enumerate(settings.cluster)
        for n, address in enumerate(cluster.addresses)
    )
    yield from twice((("cluster", i, "hostname"), c.hostname) for i, c in enumerate(settings.cluster) if c.hostname)
    for i, app in enumerate(settings.app):
        yield from twice((("app", i, "clusters", n), name) for n, name in enumerate(app.clusters))
        yield from twice((("app", i, "pods", n), pod.match) for n, pod in enumerate(app.pods))
    for i, cluster in enumerate(settings.cluster):
        for kind in ("node", "machine", "database"):
            yield from twice(
                (("cluster", i, kind, n, "name"), each.name) for n, each in enumerate(getattr(cluster, kind))
            )
        for n, node in enumerate(cluster.node):
            yield from twice(
                (("cluster", i, "node", n, "command", c, "name"), each.name) for c, each in enumerate(node.command)
            )
        yield from twice(
            (("cluster", i, "machine", n, "domains", name), name)
            for n, machine in enumerate(cluster.machine)
            for name in machine.domains
        )


def _listeners(settings: Settings) -> Iterator[Finding]:
    places: list[tuple[Loc, str]] = [(("dns", "listen", n), text) for n, text in enumerate(settings.dns.listen)]
    if settings.control.tcp:
        places.append((("control", "tcp"), settings.control.tcp))
        needs = [key for key in ("tls_certificate", "tls_key", "token_file") if not getattr(settings.control, key)]
        if needs:
            text = f"needs {', '.join(f'control.{key}' for key in needs)}: over TCP there are no orders without TLS and a token"
            yield Finding(("control", "tcp"), text)
    seen: dict[tuple[str, int], Loc] = {}
    for loc, text in places:
        if not text:
            yield Finding(loc, "is empty; write ADDRESS:PORT")
            continue
        address = listen_address(text)
        if address in seen and address[1]:
            yield Finding(loc, f'"{text}" is listened on twice', first=seen[address])
        seen.setdefault(address, loc)


def _limits(settings: Settings) -> Iterator[Finding]:
    if settings.recovery.hold > settings.recovery.hold_limit:
        yield Finding(("recovery", "hold"), "is longer than recovery.hold_limit")
    if settings.ssh.backoff > settings.ssh.backoff_limit:
        yield Finding(("ssh", "backoff"), "is longer than ssh.backoff_limit")
    if settings.ssh.insecure_accept_any_host_key:
        yield Finding(("ssh", "insecure_accept_any_host_key"), "any machine can pose as a node", note=True)


def _zone(loc: Loc, zone: Zone) -> Iterator[Finding]:
    if zone.tsig and not zone.transfer_to:
        yield Finding((*loc, "tsig"), "signs nothing without transfer_to", note=True)
    if zone.transfer_to and not zone.tsig:
        yield Finding(
            (*loc, "transfer_to"), "anybody who can pose as one of these addresses gets the zone: set tsig", note=True
        )
    if zone.dnssec and zone.transfer_to:
        text = "a zone that is signed online cannot be transferred: what it denies is signed when it is asked for"
        yield Finding((*loc, "transfer_to"), text)


def _app(loc: Loc, app: App, weights: Mapping[str, int], clusters: frozenset[str]) -> Iterator[Finding]:
    for n, name in enumerate(app.clusters):
        if name not in clusters:
            yield Finding((*loc, "clusters", n), f'no [[cluster]] is called "{name}"' + did_you_mean(name, clusters))
    for name in app.weights:
        if name not in app.clusters:
            text = f'"{name}" is none of this app\'s clusters' + did_you_mean(name, app.clusters)
            yield Finding((*loc, "weights", name), text)
    if app.policy == "weighted":
        known = [name for name in app.clusters if name in app.weights or name in weights]
        if known and not any(app.weights.get(name, weights.get(name)) for name in known):
            yield Finding((*loc, "weights" if app.weights else "policy"), "every weight is 0, and 0 means never (S35)")
    elif app.weights:
        yield Finding(
            (*loc, "weights"),
            f'give shares only with policy = "weighted", and this is "{app.policy}"; 0 means never all the same (S35)',
            note=True,
        )
    if not app.pods:
        yield Finding((*loc, "pods"), "no pods are named: containers are not checked for this app", note=True)


def _aliases(loc: Loc, app: App, settings: Settings) -> Iterator[Finding]:
    """A cluster with a host name is answered as a CNAME, which has nothing beside it (RFC 1034 section 3.6.2)."""
    names = {cluster.name: cluster.hostname for cluster in settings.cluster if cluster.hostname}
    for n, name in enumerate(app.clusters):
        if name not in names:
            continue
        at = (*loc, "clusters", n)
        if app.policy == "all" and len(app.clusters) > 1:
            text = f'"{name}" has a host name, and a CNAME stands alone: use policy "failover" or "weighted"'
            yield Finding(at, f"{text}, which answer one cluster at a time")
        if _is_apex(app.domain, settings):
            text = f"{app.domain} is the apex of its zone, where no CNAME can stand: put a [[zone]] above it"
            yield Finding(at, f'"{name}" has a host name, and {text}, or give the cluster addresses')
        if names[name] == app.domain:
            yield Finding(at, f'the host name of "{name}" is this very domain')


def _is_apex(domain: str, settings: Settings) -> bool:
    """Whether the domain is that of a zone, written or, where none lies above it, its own."""
    zones = {zone.name for zone in settings.zone}
    above = zones | {app.domain for app in settings.app}
    return domain in zones or not any(domain.endswith(f".{name}") for name in above if name != domain)


def _places(loc: Loc, cluster: Cluster) -> Iterator[Finding]:
    if not cluster.addresses and not cluster.hostname:
        yield Finding((*loc, "addresses"), "is missing: write addresses of its router, or hostname where it has a name")
    elif cluster.addresses and cluster.hostname:
        yield Finding((*loc, "hostname"), "write addresses or hostname, not both")
    if cluster.hostname and cluster.confirm and not confirm_target(cluster.confirm.kind, cluster.confirm.target).host:
        text = "write the address it goes to: the cluster has a host name, and the message never goes through a name"
        yield Finding((*loc, "confirm", "target"), text)


def _mode(loc: Loc, cluster: Cluster, mode: str) -> Iterator[Finding]:
    inside = cluster.node or cluster.machine or cluster.database
    if mode == "confirm" and not cluster.confirm:
        yield Finding((*loc, "confirm"), 'is missing: with detection.mode = "confirm" nothing else tells how it is')
    elif mode == "internal" and not inside:
        yield Finding((*loc, "node"), 'is missing: with detection.mode = "internal" nothing else tells how it is')
    elif not inside and not cluster.confirm:
        yield Finding(loc, "nothing checks it: neither confirm nor node, machine or database", note=True)
    elif mode == "both" and not cluster.confirm:
        yield Finding((*loc, "confirm"), "no confirmation message: its router is not checked", note=True)


def _sources(loc: Loc, cluster: Cluster) -> Iterator[Finding]:
    for kind in ("node", "machine"):
        for n, each in enumerate(getattr(cluster, kind)):
            if bool(each.ssh) == each.local:
                text = "not both ssh and local = true" if each.local else "either ssh or local = true"
                yield Finding((*loc, kind, n), f"write {text}")
    nodes = [node.name for node in cluster.node]
    for n, machine in enumerate(cluster.machine):
        for name in machine.domains:
            if name not in nodes:
                text = f'"{name}" is no node of cluster {cluster.name}' + did_you_mean(name, nodes)
                yield Finding((*loc, "machine", n, "domains", name), text)


def _router(loc: Loc, cluster: Cluster, settings: Settings) -> Iterator[Finding]:
    router = cluster.router
    if router.kind != "none" and not router.address:
        yield Finding((*loc, "router", "address"), f'is missing: kind "{router.kind}" needs it')
    for domain in router.backends:
        if not any(app.domain == domain and cluster.name in app.clusters for app in settings.app):
            text = f'"{domain}" is no app of cluster {cluster.name}'
            yield Finding((*loc, "router", "backends", domain), text)
    if router.kind == "gateway-api" and not find_spec("lightkube"):
        yield Finding((*loc, "router", "kind"), "its client is not installed: pip install 'pointsman[gateway-api]'")
    if router.kind == "haproxy" and router.stop != "never" and not router.frontends:
        text = "without them a stop refuses no connection: requests are answered 503, of known pods alone"
        yield Finding((*loc, "router", "frontends"), text, note=True)


def _database(loc: Loc, database: Database) -> Iterator[Finding]:
    dsn = database.dsn.get_secret_value()
    if database.kind == "command":
        if not database.command:
            yield Finding((*loc, "command"), 'is missing: kind "command" needs it')
        return
    if bool(dsn) == bool(database.dsn_file):
        yield Finding(loc, f"write {'dsn or dsn_file, not both' if dsn else 'dsn_file or dsn'}")
    if dsn and not dsn.startswith(_SCHEMES[database.kind]):
        yield Finding((*loc, "dsn"), f"must begin with {' or '.join(_SCHEMES[database.kind])}")
    if not find_spec(_DRIVERS[database.kind]):
        text = f"its driver is not installed: pip install 'pointsman[{database.kind}]'"
        yield Finding((*loc, "kind"), text)
