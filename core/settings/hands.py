"""Settings of those who are told of decisions beside our own DNS and its secondaries: internal DNS, other people's DNS."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from core.settings.base import DomainName, Name, PathRole, Peer, PositiveSeconds, Section


def _url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("not a URL: write http://… or https://…")
    return value.rstrip("/")


class InternalDns(Section):
    """A caching DNS in or near a cluster that is told what is erased, and asked until it answers so (S17)."""

    name: Name = Field(description="its name on the screen")
    kind: Literal["pointsman", "unbound", "bind", "knot-resolver"] = Field(
        "pointsman",
        description="pointsman: signed orders to `pointsman internal-dns`; unbound: unbound-control flush; bind: rndc flushname; knot-resolver: its control sockets. One that holds the zone as a secondary (CoreDNS) belongs in zone.transfer_to",
    )
    address: Annotated[Peer, Field(min_length=1)] = Field(description="where it answers, ADDRESS or ADDRESS:PORT")
    cluster: str = Field("", description="the cluster that it belongs to; empty: none")
    domains: tuple[DomainName, ...] = Field((), description="the names that it is told of; empty: those of all apps")
    tsig: Annotated[str, PathRole.PRIVATE] = Field(
        "", description="pointsman: file that holds the TSIG key, algorithm:name:base64"
    )
    command: tuple[str, ...] = Field(
        (),
        description="unbound, bind: the program with its arguments, before flush NAME; no shell is in between (default unbound-control, rndc)",
    )
    sockets: tuple[str, ...] = Field((), description="knot-resolver: control sockets, one for each of its processes")
    timeout: PositiveSeconds = Field(3.0, description="seconds for one order")


class Provider(Section):
    """A zone in other people's DNS whose addresses are kept as they should be; it is asked until it is so."""

    name: Name = Field(description="its name on the screen")
    kind: Literal["rfc2136", "powerdns"] = Field(
        "rfc2136",
        description="rfc2136: dynamic updates with TSIG (BIND, Knot, PowerDNS, Windows DNS, …); powerdns: its HTTP API",
    )
    zone: DomainName = Field(description="the zone; the apps' domains in it are kept there")
    server: Annotated[Peer, Field(min_length=1)] = Field(description="its primary, ADDRESS or ADDRESS:PORT")
    secondaries: tuple[Annotated[Peer, Field(min_length=1)], ...] = Field(
        (), description="further servers that must answer so too"
    )
    tsig: Annotated[str, PathRole.PRIVATE] = Field(
        "", description="rfc2136: file that holds the TSIG key of the updates, algorithm:name:base64"
    )
    url: Annotated[str, AfterValidator(_url)] = Field("", description="powerdns: the API, http://HOST:8081")
    api_key_file: Annotated[str, PathRole.PRIVATE] = Field("", description="powerdns: file that holds the API key")
    owner: Name = Field(
        "pointsman", description="who we are in the TXT records that tell what is ours; one for each installation"
    )
    adopt: bool = Field(
        False, description="true: take over addresses of an app's clusters that stand there without our TXT record"
    )
    timeout: PositiveSeconds = Field(3.0, description="seconds for one question, update or call")
