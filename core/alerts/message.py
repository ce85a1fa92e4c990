"""An event as the JSON that each kind of receiver reads. Pure.

PagerDuty Events API v2 and Alertmanager API v2 know alerts that begin and end: an event that ends another (``ENDS``) carries
the key of the one that it ends, and so closes it there.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from core.model import Event, EventName
from core.text import utc

Format = Literal["json", "slack", "pagerduty", "alertmanager"]
ENDS: Mapping[EventName, EventName] = {
    EventName.FAIL_OPEN_ENDED: EventName.FAIL_OPEN,
    EventName.SUSPECT_SELF_ENDED: EventName.SUSPECT_SELF,
    EventName.ADDRESS_RESTORED: EventName.ADDRESS_ERASED,
    EventName.THAWED: EventName.FROZEN,
    EventName.OVERRIDE_ENDED: EventName.OVERRIDE_SET,
    EventName.OVERRIDE_EXPIRED: EventName.OVERRIDE_SET,
    EventName.PEERS_BACK: EventName.PEERS_LOST,
}
"""Which event ends which; ``recovered`` ends ``store_degraded`` where its cause is the store."""
LASTS, PASSES = 86400.0, 300.0
"""Seconds after which Alertmanager takes an alert for over when nothing has ended it: one that has an end, one that has none."""
_CRITICAL = frozenset({EventName.FAIL_OPEN, EventName.SUSPECT_SELF, EventName.STORE_DEGRADED})
_LONGEST_SUMMARY, _LONGEST_KEY = 1024, 255  # of PagerDuty


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted: ``path`` is appended to the receiver's URL."""

    body: bytes
    headers: Mapping[str, str]
    path: str = ""


def begins(event: Event) -> EventName:
    """The name of what it is about: its own, or that of the event which it ends."""
    if event.name is EventName.RECOVERED and event.cause == "store":
        return EventName.STORE_DEGRADED
    return ENDS.get(event.name, event.name)


def wanted(event: Event, events: frozenset[str], form: Format) -> bool:
    """Whether a receiver of these events gets it: also the end of one, where alerts have an end."""
    return event.name in events or (form in ("pagerduty", "alertmanager") and begins(event) in events)


def plain(event: Event, installation: str) -> dict[str, Any]:
    """The event as in the API, with the time in words, one line about it, and who says so."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return {**fields, "time": utc(event.at), "installation": installation, "summary": summary(event, installation)}


def summary(event: Event, installation: str) -> str:
    """``address_erased tokyo svc1.net.: internal_anomaly; tokyo-1: … (shop)``."""
    shadow = "(shadow) " if event.shadow else ""
    about = " ".join(part for part in (event.name, event.cluster, event.app) if part)
    why = "; ".join(part for part in (event.cause, event.evidence, event.who and f"by {event.who}") if part)
    return f"{shadow}{about}{': ' if why else ''}{why} ({installation})"


def message(event: Event, form: Format, installation: str, secret: str) -> Message:
    """The request for one receiver; ``secret`` signs it, or is the routing key, or the bearer token."""
    headers = {"Content-Type": "application/json"}
    match form:
        case "json":
            body = _json(plain(event, installation))
            if secret:
                headers["X-Pointsman-Signature"] = signature(body, secret, event.at)
            return Message(body, headers | {"X-Pointsman-Event": f"{event.id}"})
        case "slack":
            return Message(_json({"text": summary(event, installation).translate(_SLACK)}), headers)
        case "pagerduty":
            return Message(_json(_pagerduty(event, installation, secret)), headers)
        case "alertmanager":
            bearer = {"Authorization": f"Bearer {secret}"} if secret else {}
            return Message(_json([_alert(event, installation)]), headers | bearer, "/api/v2/alerts")


def signature(body: bytes, secret: str, at: float) -> str:
    """``t=SECONDS,v1=HEX``: HMAC-SHA256 over ``SECONDS.BODY``. ``at`` is the event's time, the same at each repetition."""
    seconds = f"{at:.0f}"
    digest = hmac.digest(secret.encode(), f"{seconds}.".encode() + body, "sha256").hex()
    return f"t={seconds},v1={digest}"


_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _severity(name: EventName) -> str:
    return "critical" if name in _CRITICAL else "warning"


def _pagerduty(event: Event, installation: str, routing_key: str) -> dict[str, Any]:
    name = begins(event)
    key = f"pointsman/{installation}/{name}/{event.cluster}/{event.app}"
    return {
        "routing_key": routing_key,
        "event_action": "trigger" if name is event.name else "resolve",
        "dedup_key": key[:_LONGEST_KEY],
        "payload": {
            "summary": summary(event, installation)[:_LONGEST_SUMMARY],
            "source": installation,
            "severity": _severity(name),
            "timestamp": utc(event.at),
            "component": event.cluster,
            "group": event.app,
            "class": name,
            "custom_details": plain(event, installation),
        },
    }


def _alert(event: Event, installation: str) -> dict[str, Any]:
    """Its labels are its identity, so they are the same at the beginning and at the end."""
    name = begins(event)
    labels = {
        "alertname": name,
        "severity": _severity(name),
        "installation": installation,
        "cluster": event.cluster,
        "app": event.app,
    }
    alert = {
        "labels": {label: value for label, value in labels.items() if value},
        "annotations": {"summary": summary(event, installation), "evidence": event.evidence},
    }
    if name is not event.name:
        return alert | {"endsAt": utc(event.at)}
    ends = event.at + (LASTS if name in ENDS.values() or name is EventName.STORE_DEGRADED else PASSES)
    return alert | {"startsAt": utc(event.at), "endsAt": utc(ends)}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
