"""Settings of several instances that share what they know through etcd."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from core.settings.base import Name, PathRole, PositiveSeconds, Section, host_and_port


def _endpoint(value: str) -> str:
    scheme, _, place = value.rstrip("/").partition("://")
    if scheme not in ("http", "https"):
        raise ValueError("not an address of etcd: write https://HOST:2379")
    host_and_port(place, 2379)
    return value.rstrip("/")


def _prefix(value: str) -> str:
    if not value.startswith("/") or value != value.strip():
        raise ValueError("write a path, as in /pointsman/")
    return value.rstrip("/") + "/"


class Peers(Section):
    """Several instances at different places, which share overrides and verdicts through etcd. Each serves DNS alone when etcd is gone."""

    etcd: tuple[Annotated[str, AfterValidator(_endpoint)], ...] = Field(
        (), description="members of the etcd cluster, https://HOST:PORT; empty: this instance is alone"
    )
    name: str = Field("", description="which of the instances this one is")
    instances: tuple[Name, ...] = Field(
        (), description="the names of all instances, this one's too, in the same order everywhere"
    )
    silent_quorum: int = Field(
        2,
        ge=1,
        description="instances that must see a cluster as silent before it is erased; all that can see, where they are fewer. Of definite evidence one is enough",
    )
    alone: Literal["judge", "hold"] = Field(
        "judge",
        description="when no other instance can be heard. judge: its own silence is enough; hold: nothing is erased by silence",
    )
    lease: Annotated[PositiveSeconds, Field(ge=2, le=3600)] = Field(
        10.0, description="seconds without a sign until an instance counts no more, and etcd is gone"
    )
    timeout: PositiveSeconds = Field(1.0, description="seconds for one question, until the next member is asked")
    prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        "/pointsman/", description="where the keys lie; one for each installation"
    )
    user: str = Field("", description="user of etcd; empty: no login")
    password_file: Annotated[str, PathRole.PRIVATE] = Field("", description="file that holds the user's password")
    ca_file: Annotated[str, PathRole.FILE] = Field(
        "", description="certificates that etcd's must be signed by; empty: those of the system"
    )
    cert_file: Annotated[str, PathRole.FILE] = Field("", description="our certificate, where etcd asks for one")
    key_file: Annotated[str, PathRole.PRIVATE] = Field("", description="its private key")

    @property
    def slot(self) -> int:
        """Which place of the list is ours."""
        return self.instances.index(self.name) if self.name in self.instances else 0
