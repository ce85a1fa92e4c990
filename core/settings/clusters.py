"""Settings of the watched world: zones, apps, clusters with their routers, nodes, machines and databases."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from core.settings.base import (
    Address,
    DomainName,
    HostPort,
    Name,
    PathRole,
    Peer,
    Percent,
    PositiveSeconds,
    Regex,
    Seconds,
    Section,
    Ssh,
    confirm_target,
    is_address,
    status_ranges,
)

Policy = Literal["all", "failover", "weighted"]
ConfirmKind = Literal["http", "https", "tcp", "icmp", "dns"]
Runtime = Literal["crio", "containerd", "docker", "podman"]
DatabaseKind = Literal["postgresql", "mysql", "redis", "command"]
Weight = Annotated[int, Field(ge=0, le=10000)]


def _pod_pattern(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/([\w.-]+\*?|\*)", value, re.ASCII):
        raise ValueError('not "namespace/name": write both, with at most one *, at the end')
    return value


def _pod_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", value, re.ASCII):
        raise ValueError('not "namespace/name"')
    return value


def _place(value: str) -> str:
    if not re.fullmatch(r"([\w.-]+/)?[\w.:-]+", value, re.ASCII):
        raise ValueError('not a name: write letters, digits, ".", "_", ":" and "-"')
    return value


def _exit_code(value: object) -> object:
    return None if value == "any" else value


def _json_path(value: str) -> str:
    if value and not re.fullmatch(r"[^=]+=.*", value):
        raise ValueError('not path=value: write "status.phase=Ready"')
    return value


def _connections(value: object) -> object:
    """A number of connections, or a share of the server's own limit as text."""
    if isinstance(value, str):
        if re.fullmatch(r"[1-9][0-9]{0,8}", value):
            return int(value)
        if re.fullmatch(r"([1-9][0-9]?|100)%", value):
            return value
    elif type(value) is int and value > 0:
        return value
    raise ValueError('write a number of connections from 1 up, or a share of the server\'s own ("90%")')


Place = Annotated[str, AfterValidator(_place)]


class Zone(Section):
    """A zone this server is authoritative for. A domain of an app that lies in no zone gets one of its own."""

    name: DomainName = Field(description="the zone's name")
    file: Annotated[str, PathRole.FILE] = Field(
        "", description="static records, an RFC 1035 zone file, relative to this file; empty: none"
    )
    primary: DomainName | None = Field(None, description="MNAME of the SOA; default ns1.<zone>")
    contact: DomainName | None = Field(None, description="RNAME of the SOA; default hostmaster.<zone>")
    nameservers: tuple[DomainName, ...] = Field((), description="NS records; default the primary")
    ttl: int = Field(300, ge=0, le=2**31 - 1, description="TTL of SOA and NS, in seconds")
    negative_ttl: int = Field(
        5, ge=0, le=86400, description="how long resolvers may keep NXDOMAIN and NODATA, in seconds"
    )
    transfer_to: tuple[Peer, ...] = Field(
        (), description="secondaries that are notified and may transfer, ADDRESS or ADDRESS:PORT"
    )
    tsig: Annotated[str, PathRole.PRIVATE] = Field(
        "", description="file that holds the TSIG key of the transfers, algorithm:name:base64 (RFC 8945)"
    )
    dnssec: Annotated[tuple[str, ...], PathRole.PRIVATE] = Field(
        (),
        description="files with the keys that sign the zone, the first signs (pointsman dnssec keygen); none: not signed",
    )


class PodRule(Section):
    """Which pods count, and how many of them a cluster must have."""

    match: Annotated[str, AfterValidator(_pod_pattern)] = Field(
        description='"namespace/name", with * at the end for a prefix'
    )
    at_least: int = Field(1, ge=0, description="pods that must be running in a cluster; fewer is an anomaly")
    weight: int = Field(
        100,
        ge=0,
        le=256,
        description="the set value of each one's weight at the router, which ramps are shares of (S18)",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"match": value} if isinstance(value, str) else value


class App(Section):
    """A domain name and the clusters that serve it."""

    domain: DomainName = Field(description="the domain name clients ask for")
    clusters: tuple[Name, ...] = Field(min_length=1, description="the clusters that serve it, in order of preference")
    policy: Policy = Field(
        "all", description="all: every serving cluster; failover: the first that serves; weighted: by weights"
    )
    weights: dict[str, Weight] = Field({}, description="cluster = weight, for policy weighted; 0 means never")
    ttl: int | None = Field(None, ge=0, le=86400, description="seconds a resolver may keep an answer; default dns.ttl")
    min_healthy: Percent = Field(
        100, description="share of the app's pods that must be well; below it the cluster is abnormal for this app"
    )
    when_all_down: Literal["serve-all", "keep-last"] = Field(
        "serve-all", description="what is answered when every cluster is abnormal (S27)"
    )
    endpoint: str = Field(
        "",
        description="HOST:PORT where a router reaches one of its pods; {name}, {namespace} and {node} stand for the pod's",
    )
    pods: tuple[PodRule, ...] = Field(
        (), description='which containers count: "namespace/name", "namespace/prefix*", or a table as below'
    )

    @property
    def pod_rules(self) -> tuple[PodRule, ...]:
        return self.pods


class Router(Section):
    """The cluster's ingress, where its weights can be set and where it can be stopped (S16, S18)."""

    kind: Literal["none", "haproxy", "gateway-api"] = Field(
        "none", description="none: weights and stops are decided, shown and not sent"
    )
    address: str = Field(
        "", description="haproxy: HOST:PORT or socket path of the runtime API; gateway-api: URL of the API server"
    )
    credentials: Annotated[str, PathRole.PRIVATE] = Field("", description="gateway-api: kubeconfig or token file")
    backends: dict[DomainName, Place] = Field(
        {},
        description="app = its backend (haproxy) or [namespace/]HTTPRoute (gateway-api); default: the domain name without the last dot, for a route with - for each dot",
    )
    pods: dict[Annotated[str, AfterValidator(_pod_name)], HostPort] = Field(
        {}, description='"namespace/name" = HOST:PORT where the router reaches a pod; default by app.endpoint'
    )
    frontends: tuple[Place, ...] = Field(
        (), description="haproxy: the frontends that a stop closes, so that new connections are refused"
    )
    gateway: Place | Literal[""] = Field(
        "", description="gateway-api: [namespace/]Gateway that rendered routes belong to"
    )
    stop: Literal["never", "by-hand", "automatic"] = Field(
        "by-hand", description="when the router is closed (S16): when a person erases the cluster, or at every erase"
    )
    detach: Literal["weight", "drain", "maintenance"] = Field(
        "weight",
        description="haproxy: the state that a pod of weight 0 gets beside it: none; drain, in which a weight that an agent-check raises brings nothing new; maintenance, which alone moves the clients that cookies or stick tables keep there",
    )
    in_flight: Seconds = Field(
        10.0, description="haproxy: seconds that requests in flight at a stop may still take until they are cut"
    )


class Confirm(Section):
    """The confirmation message to the cluster's router (S11), sent to its address, never to a name that is steered."""

    kind: ConfirmKind = Field("http", description="what is sent")
    target: str = Field(
        "",
        validate_default=True,
        description="http(s): [HOST[:PORT]]/path; tcp, dns: [HOST]:PORT; icmp: HOST; host default: the cluster's first address",
    )
    host: str = Field(
        "", description="http(s): Host header and SNI; dns: the name that is asked; default the first app's domain"
    )
    interval: PositiveSeconds = Field(0.08, description="seconds from one message to the next")
    timeout: PositiveSeconds = Field(0.4, description="seconds without an answer until a message counts as unanswered")
    fall: int = Field(
        1, ge=1, description="bad answers, or unanswered messages, in a row until the cluster is abnormal"
    )
    rise: int = Field(2, ge=1, description="good answers in a row until it is well")
    expect: str = Field(
        "200-399",
        description="http(s): status codes as ranges (200-399,418); dns: an address in the answer; others: unused",
    )
    verify: bool = Field(
        True, description="https: verify the certificate for the host; false only for a router without one"
    )

    @field_validator("target")
    @classmethod
    def _target_fits_the_kind(cls, value: str, info: ValidationInfo) -> str:
        confirm_target(info.data.get("kind", "http"), value)
        return value

    @field_validator("expect")
    @classmethod
    def _expect_fits_the_kind(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("kind")
        if kind in ("http", "https"):
            status_ranges(value)
        elif kind == "dns" and not is_address(value):
            raise ValueError("not an address: for kind dns write the one that the answer must hold")
        return value


class CustomCheck(Section):
    """A command of your own, run like the six; it can also take the place of one (kind)."""

    name: Name = Field(description="its name on the screen")
    command: str = Field(description="shell command, run on the node")
    kind: Literal["command", "routes", "vswitch", "runtime"] = Field(
        "command", description="the check it stands for; another kind replaces the built-in one"
    )
    events: str = Field("", description="shell command that runs on: each line of it makes the command be run at once")
    contains: str = Field("", description="well when the output contains this")
    matches: Regex = Field("", description="well when a line matches this regular expression")
    json_path: Annotated[str, AfterValidator(_json_path)] = Field(
        "", description='well when the JSON output has this value: "status.phase=Ready"'
    )
    min_lines: int = Field(0, ge=0, description="well when the output has at least so many lines that are not empty")
    exit_code: Annotated[int | None, BeforeValidator(_exit_code)] = Field(
        0, description='the exit code of a well check; "any": it does not count'
    )


class Node(Section):
    """A worker node (S1)."""

    name: Name = Field(description="its name on the screen")
    ssh: Ssh = Field("", description="[user@]host[:port]; the user's default is ssh.user")
    local: bool = Field(False, description="run the checks on this machine, without SSH")
    runtime: Runtime = Field("containerd", description="container runtime")
    checks: tuple[Literal["containers", "routes", "vswitch", "runtime"], ...] | None = Field(
        None, description="which of the kinds are checked here; default detection.checks"
    )
    routes: tuple[Literal["iptables", "nftables"], ...] = Field(
        ("nftables",), description="which routing tables hold this node's destination routes (S5)"
    )
    routes_require: tuple[str, ...] = Field((), description="addresses or chains that must appear in them")
    command: tuple[CustomCheck, ...] = Field((), description="commands of your own")


class Machine(Section):
    """A physical machine that runs nodes as virtual machines (S8)."""

    name: Name = Field(description="its name on the screen")
    ssh: Ssh = Field("", description="[user@]host[:port]")
    local: bool = Field(False, description="run virsh on this machine, without SSH")
    uri: str = Field("qemu:///system", description="libvirt connection URI")
    domains: dict[str, str] = Field(
        {}, description='node = "libvirt domain": the virtual machines that are this cluster\'s nodes'
    )


class Database(Section):
    """A database outside the cluster that its containers use (S9)."""

    name: Name = Field(description="its name on the screen")
    kind: DatabaseKind = Field(description="how it is asked")
    dsn: SecretStr = Field(
        SecretStr(""),
        description="postgresql://, mysql://, redis:// URL; better dsn_file, so that no password stands here",
    )
    dsn_file: Annotated[str, PathRole.PRIVATE] = Field("", description="file that holds the dsn, relative to this file")
    command: str = Field(
        "",
        description="kind command: shell command on this machine; exit code 0 is well; a number on its first line counts as connections",
    )
    interval: PositiveSeconds = Field(0.25, description="seconds from one question to the next")
    timeout: PositiveSeconds = Field(1.0, description="seconds without an answer until it counts as silent")
    max_connections: Annotated[int | str, BeforeValidator(_connections)] = Field(
        "90%", description='limit: a number, or a share of the server\'s own ("90%")'
    )


class Cluster(Section):
    """A container cluster (S1)."""

    name: Name = Field(description="its name everywhere")
    addresses: tuple[Address, ...] = Field((), description="addresses of its router: what DNS answers")
    hostname: DomainName | None = Field(
        None,
        description="instead of addresses, the router's name: answered as a CNAME, by apps that answer one cluster",
    )
    weight: Weight = Field(100, description="weight for policy weighted; 0 means never (S35)")
    tags: tuple[str, ...] = Field((), description="words to filter by")
    router: Router = Field(Router(), description="its ingress")
    confirm: Confirm | None = Field(
        None, description="the confirmation message; without it the cluster has no external check"
    )
    node: tuple[Node, ...] = Field((), description="its worker nodes")
    machine: tuple[Machine, ...] = Field((), description="the physical machines under them")
    database: tuple[Database, ...] = Field((), description="databases its containers use")

    @property
    def places(self) -> tuple[str, ...]:
        """What stands for it in answers: its addresses, or its host name."""
        return (self.hostname,) if self.hostname else self.addresses


__all__ = [
    "App",
    "Cluster",
    "Confirm",
    "CustomCheck",
    "Database",
    "Machine",
    "Node",
    "PodRule",
    "Router",
    "Zone",
]
