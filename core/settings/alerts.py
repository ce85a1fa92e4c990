"""Settings of the alerts: who is told of which events, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from core.model import EventName
from core.settings.base import PathRole, PositiveSeconds, Section


def _event(value: str) -> str:
    if value not in set(EventName):
        raise ValueError(f"no such event; write one of {', '.join(EventName)}")
    return value


def _url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("not a URL: write https://…")
    return value


Events = Annotated[tuple[Annotated[str, AfterValidator(_event)], ...], Field(min_length=1)]
_URGENT = ("address_erased", "fail_open", "suspect_self")


class Webhook(Section):
    """One receiver of alerts over HTTP; each event is repeated until it is taken."""

    url: Annotated[str, AfterValidator(_url)] = Field(
        "", description="where events are posted; alertmanager: its address, without /api/v2/alerts"
    )
    url_file: Annotated[str, PathRole.PRIVATE] = Field(
        "", description="file that holds the URL, where it is a secret by itself (Slack)"
    )
    format: Literal["json", "slack", "pagerduty", "alertmanager"] = Field("json", description="what is posted")
    events: Events = Field(
        _URGENT,
        description="names of the events that are posted; pagerduty and alertmanager also get what ends one of them",
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="json: key of the signature, pagerduty: routing key, alertmanager: bearer token; better secret_file",
    )
    secret_file: Annotated[str, PathRole.PRIVATE] = Field("", description="file that holds it")
    timeout: PositiveSeconds = Field(5.0, description="seconds until an attempt is given up")


class Command(Section):
    """A program that is run at each event, which it reads as JSON on its standard input; exit code 0: taken."""

    run: tuple[str, ...] = Field(min_length=1, description="the program and its arguments; there is no shell")
    events: Events = Field(_URGENT, description="names of the events that it is run for")
    timeout: PositiveSeconds = Field(10.0, description="seconds until it is killed, and run again later")


class Alerts(Section):
    """Alerts."""

    queue: int = Field(1000, ge=1, description="events that may wait for one receiver; then the oldest is dropped")
    give_up: PositiveSeconds = Field(3600.0, description="seconds after which an event is not sent any more")
    webhook: tuple[Webhook, ...] = Field((), description="receivers over HTTP")
    command: tuple[Command, ...] = Field((), description="programs")
