"""What is wrong with the settings of those beside our own DNS: internal DNS, other people's DNS, alerts, peers. Pure.

Called by :mod:`core.settings.checks`; every value is valid by itself here.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.settings.alerts import Webhook
from core.settings.explain import did_you_mean
from core.settings.finding import Finding
from core.settings.hands import InternalDns, Provider
from core.settings.locate import Loc
from core.settings.peers import Peers
from core.settings.root import Settings


def findings(settings: Settings, clusters: frozenset[str]) -> Iterator[Finding]:
    """``clusters`` are the names that are written, also of clusters that are not valid themselves."""
    domains = frozenset(app.domain for app in settings.app)
    for kind in ("internal_dns", "provider"):
        seen: dict[str, Loc] = {}
        for n, each in enumerate(getattr(settings, kind)):
            loc: Loc = (kind, n, "name")
            if each.name in seen:
                yield Finding(loc, f'"{each.name}" stands twice', first=seen[each.name])
            seen.setdefault(each.name, loc)
    for n, internal in enumerate(settings.internal_dns):
        yield from _internal(("internal_dns", n), internal, domains, clusters)
    for n, provider in enumerate(settings.provider):
        yield from _provider(("provider", n), provider, domains)
    for n, webhook in enumerate(settings.alerts.webhook):
        yield from _webhook(("alerts", "webhook", n), webhook)
    yield from _peers(settings.peers)
    if (settings.resolver.domains or settings.resolver.upstream) and not (
        settings.resolver.domains and settings.resolver.upstream
    ):
        yield Finding(("resolver",), "write both domains and upstream: what is asked for, and whom")


def _internal(loc: Loc, given: InternalDns, domains: frozenset[str], clusters: frozenset[str]) -> Iterator[Finding]:
    if given.cluster and given.cluster not in clusters:
        text = f'no [[cluster]] is called "{given.cluster}"' + did_you_mean(given.cluster, clusters)
        yield Finding((*loc, "cluster"), text)
    for n, domain in enumerate(given.domains):
        if domain not in domains:
            yield Finding((*loc, "domains", n), f'no [[app]] has the domain "{domain}"' + did_you_mean(domain, domains))
    if given.kind == "pointsman" and not given.tsig:
        yield Finding((*loc, "tsig"), "is missing: it takes signed orders alone")
    if given.kind == "knot-resolver" and not given.sockets:
        yield Finding((*loc, "sockets"), 'is missing: kind "knot-resolver" needs them')


def _provider(loc: Loc, given: Provider, domains: frozenset[str]) -> Iterator[Finding]:
    if not any(f".{domain}".endswith(f".{given.zone}") for domain in domains):
        yield Finding((*loc, "zone"), f"no app's domain lies in {given.zone}: nothing is kept there", note=True)
    needed = ("url", "api_key_file") if given.kind == "powerdns" else ()
    for key in needed:
        if not getattr(given, key):
            yield Finding((*loc, key), f'is missing: kind "{given.kind}" needs it')
    if given.kind == "rfc2136" and not given.tsig:
        yield Finding(
            (*loc, "tsig"), "not set: updates are sent unsigned, and only the address tells who we are", note=True
        )


def _webhook(loc: Loc, given: Webhook) -> Iterator[Finding]:
    if bool(given.url) == bool(given.url_file):
        yield Finding(
            (*loc, "url"), "write url or url_file, not both" if given.url else "is missing: write url or url_file"
        )
    secret = given.secret.get_secret_value()
    if secret and given.secret_file:
        yield Finding((*loc, "secret"), "write secret or secret_file, not both")
    if given.format == "pagerduty" and not (secret or given.secret_file):
        yield Finding((*loc, "secret_file"), "is missing: it holds the routing key")


def _peers(given: Peers) -> Iterator[Finding]:
    if not given.etcd:
        if given.name or given.instances:
            yield Finding(("peers", "etcd"), "is missing: without it this instance is alone")
        return
    if len(given.instances) < 2 or len({*given.instances}) < len(given.instances):
        yield Finding(("peers", "instances"), "write the names of all instances, each once, this one's too")
    elif given.name not in given.instances:
        text = "is missing" if not given.name else f'"{given.name}" is none of peers.instances'
        yield Finding(("peers", "name"), text + did_you_mean(given.name, given.instances))
    elif given.silent_quorum > len(given.instances):
        yield Finding(("peers", "silent_quorum"), f"there are {len(given.instances)} instances")
    if bool(given.user) != bool(given.password_file):
        yield Finding(("peers", "user"), "write user and password_file, or neither")
    if bool(given.cert_file) != bool(given.key_file):
        yield Finding(("peers", "cert_file"), "write cert_file and key_file, or neither")
    if any(endpoint.startswith("http://") for endpoint in given.etcd):
        text = "not encrypted: whoever stands between can read and forge orders"
        yield Finding(("peers", "etcd"), text, note=True)
