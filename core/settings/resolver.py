"""Settings of the internal DNS, the process ``pointsman internal-dns`` (spec S17); nothing else of pointsman reads them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field

from core.settings.base import (
    DomainName,
    ListenAddress,
    PathRole,
    Peer,
    PositiveSeconds,
    Seconds,
    Section,
    peer_address,
)


def _network(value: str) -> str:
    return str(ip_network(value))


class Resolver(Section):
    """The internal DNS: `pointsman internal-dns`, a process of its own in or near a cluster (S17)."""

    listen: tuple[ListenAddress, ...] = Field(
        ("127.0.0.1:5354",),
        min_length=1,
        description="ADDRESS:PORT, [IPv6]:PORT; UDP and TCP; each address by name, for answers leave from the one that was asked",
    )
    domains: tuple[DomainName, ...] = Field(
        (), description="names that the external DNS is asked for, with all below them"
    )
    upstream: tuple[Annotated[Peer, Field(min_length=1)], ...] = Field(
        (), description="the external DNS, in order of preference: pointsman, its secondaries; ADDRESS or ADDRESS:PORT"
    )
    forward: tuple[Annotated[Peer, Field(min_length=1)], ...] = Field(
        (), description="resolvers that are asked for all other names; none: those are refused"
    )
    tsig: Annotated[str, PathRole.PRIVATE] = Field(
        "", description="file that holds the TSIG key of the orders, algorithm:name:base64; none: no orders are taken"
    )
    allow: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10"),
        description="networks that may ask",
    )
    ttl_max: int = Field(30, ge=1, le=86400, description="seconds that an answer is kept at most")
    serve_stale: Seconds = Field(
        86400.0,
        description="seconds that an answer is kept for when nobody behind can be asked (RFC 8767); 0: none is",
    )
    timeout: PositiveSeconds = Field(0.8, description="seconds until a server behind counts as not answering")
    entries: int = Field(10000, ge=100, description="answers that are kept")
    udp_payload: int = Field(1232, ge=512, le=4096, description="largest UDP answer, in octets")

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(map(ip_network, self.allow))

    @property
    def upstream_addresses(self) -> tuple[tuple[str, int], ...]:
        return tuple(map(peer_address, self.upstream))

    @property
    def forward_addresses(self) -> tuple[tuple[str, int], ...]:
        return tuple(map(peer_address, self.forward))
