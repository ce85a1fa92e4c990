"""Writes ``config.example.toml`` and ``docs/settings.md`` from the models, so that they cannot lag behind.

``python -m core.settings.example > config.example.toml`` and ``python -m core.settings.example reference >
docs/settings.md``. Called by nobody else; imports nothing but the settings.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from core.settings.base import Section
from core.settings.explain import choices
from core.settings.root import Settings

_INTRO = """\
# Settings of pointsman: every key, with its default and one line of explanation.
#
# Copy this file to config.toml, begin with part 1, and ask `pointsman check` about it.
# A line that begins with "# " explains; "#key = …" is a key that is not set, with its default or an example.
# Flags come before the environment (POINTSMAN_DNS__TTL=3; lists and tables as JSON), that before this file.
# Times are seconds, or a text with a unit: "250ms", "30s", "5m", "1h". Paths are relative to this file;
# instead of one that is to be read, "credential:NAME" names a systemd credential.
# Written by `python -m core.settings.example`: change the models, not this file.

# === 1. A beginning: one domain name, served by two clusters ==========================================================

[[app]]
domain = "svc1.net."
clusters = ["tokyo", "osaka"]
pods = ["shop/web-*"]

[[cluster]]
name = "tokyo"
addresses = ["192.0.2.10"]

[cluster.confirm]
kind = "http"
target = "/healthz"

[[cluster.node]]
name = "tokyo-1"
ssh = "pointsman@10.0.1.11"

[[cluster]]
name = "osaka"
addresses = ["192.0.2.20"]

[cluster.confirm]
kind = "http"
target = "/healthz"

[[cluster.node]]
name = "osaka-1"
ssh = "pointsman@10.0.2.11"
"""
_OWN = "# === 2. pointsman itself ".ljust(120, "=")
_WORLD = "# === 3. All that a zone, an app and a cluster can have ".ljust(120, "=")

# What stands where a key has no default, or an empty one.
_EXAMPLES: dict[str, object] = {
    "alerts.command.run": ["/usr/local/bin/page-someone", "--urgent"],
    "alerts.webhook.secret": "better in secret_file",
    "alerts.webhook.secret_file": "secrets/webhook",
    "alerts.webhook.url": "https://alerts.example.net/pointsman",
    "alerts.webhook.url_file": "secrets/slack.url",
    "app.clusters": ["tokyo", "fukuoka"],
    "app.domain": "svc2.net.",
    "app.pods": ["shop/api", {"match": "shop/web-*", "at_least": 2, "weight": 50}],
    "app.ttl": 5,
    "app.weights": {"tokyo": 70, "fukuoka": 30},
    "cluster.addresses": ["192.0.2.30", "2001:db8::30"],
    "cluster.confirm.host": "svc2.net",
    "cluster.confirm.target": ":8080/healthz",
    "cluster.database.command": "/usr/local/bin/ask-the-database",
    "cluster.database.dsn": "postgresql://pointsman@10.0.3.20/shop",
    "cluster.database.dsn_file": "secrets/shop.dsn",
    "cluster.database.kind": "postgresql",
    "cluster.database.name": "shop",
    "cluster.hostname": "lb.fukuoka.example.net.",
    "cluster.machine.domains": {"fukuoka-1": "vm-fukuoka-1"},
    "cluster.machine.name": "rack3",
    "cluster.machine.ssh": "pointsman@10.0.3.2",
    "cluster.name": "fukuoka",
    "cluster.node.checks": ["containers", "routes"],
    "cluster.node.command.command": "! df --output=pcent / | grep -q 100%",
    "cluster.node.command.contains": "active",
    "cluster.node.command.events": "inotifywait -qm -e modify /etc/cni/net.d",
    "cluster.node.command.json_path": "status.phase=Ready",
    "cluster.node.command.matches": "^ready",
    "cluster.node.command.name": "disk",
    "cluster.node.name": "fukuoka-1",
    "cluster.node.routes_require": ["10.96.0.0/12", "KUBE-SERVICES"],
    "cluster.node.ssh": "pointsman@10.0.3.11:22",
    "app.endpoint": "{name}.web.{namespace}.svc.cluster.local:8080",
    "cluster.router.address": "10.0.3.5:9999",
    "cluster.router.backends": {"svc2.net.": "be_svc2"},
    "cluster.router.frontends": ["fe_web"],
    "cluster.router.gateway": "infra/public",
    "cluster.router.pods": {"shop/web-0": "10.0.3.21:8080"},
    "cluster.router.credentials": "secrets/fukuoka.kubeconfig",
    "cluster.tags": ["west"],
    "console.installation": "shop, production",
    "console.keys": {"drain": "ctrl+d"},
    "control.socket": "/run/pointsman/control.sock",
    "control.tcp": "127.0.0.1:8053",
    "control.tls_certificate": "control.crt",
    "control.tls_key": "secrets/control.key",
    "control.token_file": "secrets/tokens",
    "detection.commands.containers_crio_events": "{sudo}crictl events",
    "dns.cookie_secrets": "secrets/cookies",
    "dns.nsid": "ns1",
    "dns.proxies": ["10.0.3.4"],
    "dns.rate_limit.exempt": ["192.0.2.0/24"],
    "dns.user": "pointsman",
    "dns.version": "none of your business",
    "internal_dns.address": "10.0.3.53",
    "internal_dns.cluster": "fukuoka",
    "internal_dns.command": ["ssh", "dns.fukuoka.example.net", "unbound-control"],
    "internal_dns.domains": ["svc2.net."],
    "internal_dns.name": "fukuoka-dns",
    "internal_dns.sockets": ["/run/knot-resolver/control/1"],
    "internal_dns.tsig": "secrets/orders.key",
    "log.file": "/var/log/pointsman.log",
    "peers.ca_file": "secrets/etcd-ca.pem",
    "peers.cert_file": "secrets/etcd.pem",
    "peers.etcd": ["https://10.0.1.2:2379", "https://10.0.2.2:2379", "https://10.0.3.2:2379"],
    "peers.instances": ["tokyo", "osaka"],
    "peers.key_file": "secrets/etcd.key",
    "peers.name": "tokyo",
    "peers.password_file": "secrets/etcd.password",
    "peers.user": "pointsman",
    "provider.api_key_file": "secrets/powerdns.key",
    "provider.name": "corporate",
    "provider.secondaries": ["192.0.2.54", "192.0.2.55:5353"],
    "provider.server": "192.0.2.53",
    "provider.tsig": "secrets/update.key",
    "provider.url": "http://192.0.2.53:8081",
    "provider.zone": "svc2.net.",
    "remote.ca_file": "control.crt",
    "remote.token_file": "secrets/token",
    "remote.url": "https://ns1.example.net:8053",
    "resolver.domains": ["svc1.net.", "svc2.net."],
    "resolver.forward": ["10.96.0.10"],
    "resolver.tsig": "secrets/orders.key",
    "resolver.upstream": ["192.0.2.53", "192.0.2.54"],
    "safety.canaries": ["192.0.2.254", "198.51.100.1:443"],
    "ssh.jump": "pointsman@bastion.example.net",
    "ssh.keys": ["secrets/id_ed25519"],
    "ssh.passphrase_file": "secrets/passphrase",
    "zone.contact": "hostmaster.svc2.net.",
    "zone.dnssec": ["secrets/svc2.net.key"],
    "zone.file": "zones/svc2.net.zone",
    "zone.name": "svc2.net.",
    "zone.nameservers": ["ns1.svc2.net.", "ns2.svc2.net."],
    "zone.primary": "ns1.svc2.net.",
    "zone.transfer_to": ["192.0.2.53"],
    "zone.tsig": "secrets/transfer.key",
}


def example() -> str:
    """The text of ``config.example.toml``."""
    world, own = _by_kind()
    parts = [_INTRO, _OWN, "", *_tables(own), _WORLD, "", *_tables(world)]
    return "\n".join(parts).rstrip() + "\n"


def reference() -> str:
    """The text of ``docs/settings.md``."""
    world, own = _by_kind()
    lines = [
        "# Settings",
        "",
        "Flags come before the environment (`POINTSMAN_SECTION__KEY`; lists and tables as JSON), the environment before "
        'the file, the file before the defaults. Times are seconds or texts with a unit (`"250ms"`, `"30m"`); paths '
        "are relative to the file. `pointsman check` names file, line and key of whatever is wrong. "
        "`config.example.toml` is the same as a file.",
    ]
    for path, repeated, model in _models((*own, *world)):
        header = f"[[{path}]]" if repeated else f"[{path}]"
        lines += ["", f"## `{header}`", (model.__doc__ or "").strip(), "", "| key | default | |", "|---|---|---|"]
        for name, field in model.model_fields.items():
            if _is_table(f"{path}.{name}", field):
                continue
            default = "required" if field.is_required() else f"`{_toml(_default(field))}`"
            default = "" if _is_empty(field) else default
            lines.append(f"| `{name}` | {default} | {_description(field)} |")
    return "\n".join(lines) + "\n"


_Field = tuple[str, FieldInfo]


def _by_kind() -> tuple[tuple[_Field, ...], tuple[_Field, ...]]:
    """The lists of the watched world, and the sections of pointsman itself."""
    fields = Settings.model_fields.items()
    return tuple(f for f in fields if _repeated(f[1])), tuple(f for f in fields if not _repeated(f[1]))


def _models(fields: tuple[_Field, ...], prefix: str = "") -> Iterator[tuple[str, bool, type[Section]]]:
    """Every table under ``fields``, outer ones first: its path, whether there can be several, its model."""
    for name, field in fields:
        if inner := _inner(field):
            yield f"{prefix}{name}", _repeated(field), inner
            yield from _models(tuple(inner.model_fields.items()), f"{prefix}{name}.")


def _tables(fields: tuple[_Field, ...]) -> Iterator[str]:
    """Tables of which there is one are live with their defaults; those that come in numbers are templates."""
    for path, repeated, model in _models(fields):
        if path in _EXAMPLES:
            continue
        template = repeated or path.split(".")[0] not in {name for name, f in fields if not _repeated(f)}
        yield f"# {(model.__doc__ or '').strip()}"
        yield ("#" if template else "") + (f"[[{path}]]" if repeated else f"[{path}]")
        for name, field in model.model_fields.items():
            yield from _key(f"{path}.{name}", field, template)
        yield ""


def _key(path: str, field: FieldInfo, template: bool) -> Iterator[str]:
    if _is_table(path, field):
        return
    yield f"# {_description(field)}"
    inner = _inner(field)
    for name, part in inner.model_fields.items() if inner else ():
        optional = "" if part.is_required() else f" (default {_toml(_default(part))})"
        yield f"#   {name}: {part.description}{optional}"
    unset = field.is_required() or _is_empty(field)
    value = _EXAMPLES[path] if unset else _default(field)
    yield f"{'#' if template or unset else ''}{path.rsplit('.', 1)[-1]} = {_toml(value)}"


def _description(field: FieldInfo) -> str:
    """The field's own words, and its choices where they do not tell them."""
    text = field.description or ""
    untold = [choice for choice in choices(field) if choice not in text]
    return f"{text}; choices: {', '.join(choices(field))}" if untold else text


def _is_table(path: str, field: FieldInfo) -> bool:
    """Whether a field gets a header of its own; some are short enough to be written in their table."""
    return _inner(field) is not None and path not in _EXAMPLES


def _default(field: FieldInfo) -> Any:
    return field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default


def _is_empty(field: FieldInfo) -> bool:
    return _default(field) in ("", None, (), {})


def _repeated(field: FieldInfo) -> bool:
    return isinstance(field.default, tuple)


def _inner(field: FieldInfo) -> type[Section] | None:
    """The model of the table, or tables, that a field holds."""
    for each in (field.annotation, *get_args(field.annotation)):
        if isinstance(each, type) and issubclass(each, Section):
            return each
    return None


def _toml(value: object) -> str:
    if isinstance(value, dict):
        keys = [key if re.fullmatch(r"[\w-]+", key, re.ASCII) else _toml(key) for key in value]
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in zip(keys, value.values(), strict=True)) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(reference() if sys.argv[1:] == ["reference"] else example())
