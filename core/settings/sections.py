"""Settings of pointsman itself: DNS, detection, recovery, safety, SSH, store, control, console, log."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from core.settings.base import ListenAddress, PathRole, Peer, Percent, PositiveSeconds, Seconds, Section, host_and_port
from core.settings.base import Ssh as SshAddress

CheckKind = Literal["containers", "routes", "vswitch", "runtime", "machine", "database", "command"]


def _ramp(value: tuple[int, ...]) -> tuple[int, ...]:
    if list(value) != sorted(set(value)) or value[-1] != 100:
        raise ValueError("steps must ascend and end in 100, as in [10, 25, 50, 100]")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError("not an address or network: write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/48") from None


def _https(value: str) -> str:
    if value:
        scheme, _, place = value.partition("://")
        if scheme != "https":
            raise ValueError("not https://HOST:PORT: a token never goes over the network in the clear")
        host_and_port(place)
    return value


Network = Annotated[str, AfterValidator(_network)]


class RateLimit(Section):
    """Response rate limiting over UDP: what forged queries can make this server send to others."""

    per_second: int = Field(
        0,
        ge=0,
        description="answers of one kind (data; none or a referral; no such name; an error) a second to one network; 0: no limit",
    )
    slip: int = Field(
        2, ge=0, description='every so many answers over the limit an empty one says "ask over TCP"; 0: none does'
    )
    ipv4_prefix: int = Field(24, ge=1, le=32, description="bits of an IPv4 address that make a network")
    ipv6_prefix: int = Field(56, ge=1, le=128, description="bits of an IPv6 address that make a network")
    exempt: tuple[Network, ...] = Field(
        (), description="addresses and networks without a limit; clients with a good cookie have none"
    )


class DnsLimits(Section):
    """What one client can take."""

    tcp_connections: int = Field(
        500, ge=1, description="TCP connections at once; a new one over it closes the longest idle"
    )
    tcp_per_address: int = Field(50, ge=1, description="TCP connections at once from one address")
    tcp_idle: PositiveSeconds = Field(10.0, description="seconds a TCP connection may be idle (RFC 7766)")
    tcp_total: PositiveSeconds = Field(60.0, description="seconds a TCP connection may live")
    udp_payload: int = Field(
        1232, ge=512, le=4096, description="largest UDP answer, in octets; longer ones are truncated"
    )
    cache_entries: int = Field(60000, ge=100, description="built answers that are kept, about half a KiB each")


class Dns(Section):
    """The DNS server."""

    listen: tuple[ListenAddress, ...] = Field(
        ("127.0.0.1:5353",), min_length=1, description="ADDRESS:PORT, [IPv6]:PORT; UDP and TCP"
    )
    user: str = Field(
        "",
        description="user to become where pointsman is started as root, before the ports are bound; it keeps the right to bind those below 1024 and no other. Empty: stay; systemd's User= does it better",
    )
    ttl: int = Field(5, ge=0, le=86400, description="seconds a resolver may keep an app's answer")
    ttl_min: int = Field(
        1, ge=0, le=86400, description="the same while a check fails and is not believed yet (detection.fall over 1)"
    )
    nsid: str = Field("", description="server identity for those who ask (RFC 5001); empty: none")
    version: str = Field("", description="answer to version.bind; empty: refused")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="processes that answer, each on a core of its own; 1: a thread of this process answers",
    )
    limits: DnsLimits = Field(DnsLimits(), description="what one client can take")
    cookies: bool = Field(True, description="answer DNS cookies (RFC 7873)")
    cookie_secrets: Annotated[str, PathRole.PRIVATE] = Field(
        "",
        description="file with the secrets of the cookies, 32 hexadecimal digits a line, the first makes them; for servers that share an address; empty: a new secret at each start",
    )
    rate_limit: RateLimit = Field(RateLimit(), description="response rate limiting")
    proxies: tuple[Network, ...] = Field(
        (), description="addresses and networks of proxies whose PROXY protocol headers (version 2) are believed"
    )


class SilencePolicy(Section):
    """What is made of silence (S25): never definite evidence, never the last good state."""

    ticks: int = Field(3, ge=2, description="ticks without a line until a source counts as quiet")
    deadline: PositiveSeconds = Field(
        1.0, description="seconds of quiet until a source, or a check without a readable answer, is UNKNOWN"
    )
    policy: Literal["corroborate", "abnormal", "ignore"] = Field(
        "corroborate",
        description="corroborate: a cluster is abnormal when its router and at least half of its nodes are quiet, or all nodes UNKNOWN where it has no confirm; abnormal: one silent node is enough; ignore: never",
    )


class Commands(Section):
    """The commands of the checks. {sudo} is detection.sudo; others as named."""

    containers_crictl: str = Field("{sudo}crictl ps -a -o json", description="containers, for crio and containerd")
    containers_docker: str = Field(
        "{sudo}docker ps -a --no-trunc --format '{{json .}}'", description="containers, for docker"
    )
    containers_podman: str = Field("{sudo}podman ps -a --no-trunc --format json", description="containers, for podman")
    containers_containerd_events: str = Field(
        """{sudo}ctr -n k8s.io events 'topic~="^/tasks/(start|delete|paused|resumed)$"'""",
        description="events of containers, for containerd: each line makes the containers be listed; empty: none",
    )
    containers_crio_events: str = Field(
        "",
        description="the same for crio; only where CRI-O gives each event to every listener: older ones take it from the kubelet",
    )
    iptables: str = Field("{sudo}iptables-save", description="routes, for iptables")
    nftables: str = Field("{sudo}nft list ruleset", description="routes, for nftables")
    vswitch_ps: str = Field("ps -eo pid=,args=", description="the process list in which ovs-vswitchd is looked for")
    vswitch_appctl: str = Field(
        "{sudo}ovs-appctl -t ovs-vswitchd version",
        description="whether the switch answers; empty: only the process counts",
    )
    vswitch_events: str = Field(
        "{sudo}ovsdb-client monitor Open_vSwitch Open_vSwitch next_cfg,cur_cfg,bridges",
        description="events of the switch; empty: none",
    )
    runtime: str = Field(
        "systemctl show {unit} -p Id,LoadState,ActiveState,SubState,MainPID,Result",
        description="runtime daemon; {unit} is the runtime's unit",
    )
    runtime_events: str = Field(
        "{sudo}busctl monitor --match {match}",
        description="events of the runtime daemon; {match} is what systemd says of its unit on D-Bus; empty: none",
    )
    machine: str = Field("{sudo}virsh -c {uri} list --all", description="virtual machines")


class Detection(Section):
    """Detection (S4–S12)."""

    mode: Literal["internal", "confirm", "both"] = Field("both", description="who finds a cluster abnormal (S10–S12)")
    tick: PositiveSeconds = Field(0.05, description="seconds between two lines of a node's watch")
    tick_sh: PositiveSeconds = Field(1.0, description="the same on nodes that have no bash")
    poll: PositiveSeconds = Field(1.0, description="seconds between rounds on nodes that only allow single commands")
    interval: PositiveSeconds = Field(2.0, description="seconds between full checks that nothing triggered")
    timeout: PositiveSeconds = Field(2.0, description="seconds a check may take until it counts as silent")
    fall: int = Field(1, ge=1, description="failing results in a row until a check's verdict is FAIL")
    rise: int = Field(2, ge=1, description="good results in a row until it is OK again")
    checks: tuple[CheckKind, ...] = Field(
        ("containers", "routes", "vswitch", "runtime", "machine", "database", "command"),
        description="kinds that are checked",
    )
    events: bool = Field(
        True, description="listen to the tools' own event streams (nft monitor, virsh event, …) where they exist"
    )
    sudo: str = Field("sudo -n ", description='how a command gets its rights; "" where the user has them')
    silence: SilencePolicy = Field(SilencePolicy(), description="what is made of silence")
    commands: Commands = Field(Commands(), description="the commands of the checks")


class Recovery(Section):
    """Coming back (S20, S29): quick down, slow up."""

    hold: Seconds = Field(10.0, description="seconds of good results before an erased cluster returns")
    flap_window: PositiveSeconds = Field(
        600.0,
        description="each erase within this time after a return doubles the hold, that of a pod from its second on",
    )
    hold_limit: PositiveSeconds = Field(300.0, description="the hold never grows beyond this")
    ramp: Annotated[tuple[Percent, ...], AfterValidator(_ramp)] = Field(
        (10, 25, 50, 100),
        min_length=1,
        description="shares of answers, and of a pod's weight, step by step; the last must be 100",
    )
    ramp_step: Seconds = Field(10.0, description="seconds of one step")


class Safety(Section):
    """Rules against ourselves (S28, S37, S38)."""

    suspicion_share: Percent = Field(
        50,
        description="when more than this share of clusters fall silent together, suspect self: erase nothing by silence",
    )
    canaries: tuple[Annotated[Peer, Field(min_length=1)], ...] = Field(
        (),
        description="addresses that belong to no cluster, asked all the time: ADDRESS by ICMP, ADDRESS:PORT by TCP. When none answers while clusters fall silent, it is us; when one does, a silence of several clusters is theirs",
    )
    first_round: PositiveSeconds = Field(
        5.0,
        description="after a start nothing is erased until every check has answered once, or this time is over (S30)",
    )
    velocity_window: Seconds = Field(
        5.0,
        description="seconds after an erase in which a further cluster of the same app is erased only when both detectors, or definite evidence on most of its nodes, speak against it; what is held goes when they are over. 0: no such rule",
    )
    shadow: bool = Field(False, description="detect and log what would be done, and do nothing")


class Ssh(Section):
    """SSH (asyncssh)."""

    user: str = Field("pointsman", description="user on the nodes")
    keys: Annotated[tuple[str, ...], PathRole.PRIVATE] = Field(
        (), description="private key files, relative to this file; default ~/.ssh/id_ed25519 and the like"
    )
    passphrase_file: Annotated[str, PathRole.PRIVATE] = Field(
        "", description="file that holds the passphrase of the keys"
    )
    known_hosts: Annotated[str, PathRole.HOST_KEYS] = Field(
        "~/.ssh/known_hosts", description="host keys that are trusted, relative to this file"
    )
    insecure_accept_any_host_key: bool = Field(
        False, description="true: trust whoever answers. Only for a throw-away lab"
    )
    connects: int = Field(8, ge=1, description="connects under way at once, per SSH server and jump host")
    connects_total: int = Field(32, ge=1, description="connects under way at once in all")
    connect_timeout: PositiveSeconds = Field(5.0, description="seconds until a connect is given up")
    backoff: PositiveSeconds = Field(0.25, description="seconds before the first new attempt; doubles, with jitter")
    backoff_limit: PositiveSeconds = Field(15.0, description="the wait never grows beyond this")
    jump: SshAddress = Field("", description="[user@]host[:port] to go through; empty: none")


class Store(Section):
    """State and history (SQLite)."""

    directory: Annotated[str, PathRole.CREATED] = Field(
        "~/.local/state/pointsman", description="where state lives, relative to this file; created with mode 0700"
    )
    keep_events: int = Field(100000, ge=1000, description="events that are kept")
    damaged: Literal["refuse", "salvage"] = Field(
        "refuse",
        description="what a start makes of a damaged state.db: refuse; salvage: go on with what can be read of it",
    )


class Control(Section):
    """The control API."""

    socket: Annotated[str, PathRole.CREATED] = Field(
        "", description="Unix socket, mode 0600; default control.sock in store.directory"
    )
    tcp: ListenAddress = Field(
        "", description="ADDRESS:PORT to listen on as well, over TLS; needs the certificate, its key and the tokens"
    )
    tls_certificate: Annotated[str, PathRole.FILE] = Field(
        "", description="PEM file with the certificate, and those between it and its CA"
    )
    tls_key: Annotated[str, PathRole.PRIVATE] = Field("", description="PEM file with its key, without a passphrase")
    token_file: Annotated[str, PathRole.PRIVATE] = Field(
        "",
        description="file that holds the tokens, a line each: ROLE NAME TOKEN, where ROLE is read, operate or admin; a token alone is an admin's",
    )


class Remote(Section):
    """The process that commands and `attach` speak to, where it is not on this machine."""

    url: Annotated[str, AfterValidator(_https)] = Field(
        "", description="https://HOST:PORT of its control API; empty: here"
    )
    token_file: Annotated[str, PathRole.PRIVATE] = Field("", description="file that holds the token, alone")
    ca_file: Annotated[str, PathRole.FILE] = Field(
        "", description="PEM file with the CA that is trusted, or the certificate itself; empty: what the system trusts"
    )


class Console(Section):
    """The console."""

    installation: str = Field("", description="name shown in the header; default the host name")
    production: bool = Field(False, description="true: the header says PRODUCTION in red")
    read_only: bool = Field(False, description="true: no verbs")
    theme: Literal["dark", "light", "contrast", "colour-blind"] = Field("dark", description="colours")
    ascii: bool = Field(False, description="true: only ASCII glyphs")
    keys: dict[str, str] = Field({}, description='remapped keys: drain = "ctrl+d"')


class Log(Section):
    """Logs (headless: stderr; with the console: a file in store.directory)."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged")
    format: Literal["text", "json"] = Field("text", description="one line an event")
    file: Annotated[str, PathRole.CREATED] = Field(
        "", description="with the console: the file; default pointsman.log in store.directory"
    )
