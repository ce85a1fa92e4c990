"""Alerts: what each format says, and that a failing receiver delays nobody and loses nothing in silence."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.alerts import alerts as module
from core.alerts.alerts import Alerts
from core.alerts.message import Format, message, wanted
from core.alerts.receivers import Undelivered
from core.clock import Clock
from core.model import Event, EventName
from core.settings import Alerts as Settings

ERASED = Event(
    EventName.ADDRESS_ERASED,
    1_800_000_000.25,
    "tokyo",
    "svc1.net.",
    "internal_anomaly",
    "tokyo-1: <gone>",
    serial=7,
    id=3,
)
RESTORED = Event(EventName.ADDRESS_RESTORED, 1_800_000_060.0, "tokyo", "svc1.net.", "10 % of answers", id=9)


def posted(event: Event, form: Format, secret: str = "") -> Any:
    return json.loads(message(event, form, "prod", secret).body)


def test_the_plain_form_is_the_event_with_its_time_in_words() -> None:
    body = posted(ERASED, "json")
    assert (body["name"], body["cluster"], body["serial"], body["id"]) == ("address_erased", "tokyo", 7, 3)
    assert body["time"].startswith("2027-01-15")
    assert body["summary"] == "address_erased tokyo svc1.net.: internal_anomaly; tokyo-1: <gone> (prod)"


def test_the_signature_is_an_hmac_over_the_time_and_the_body() -> None:
    sent = message(ERASED, "json", "prod", "s3cret")
    at, digest = (part.partition("=")[2] for part in sent.headers["X-Pointsman-Signature"].split(","))
    assert digest == hmac.new(b"s3cret", at.encode() + b"." + sent.body, "sha256").hexdigest()
    assert "X-Pointsman-Signature" not in message(ERASED, "json", "prod", "").headers


def test_slack_gets_a_text_in_which_nothing_is_markup() -> None:
    assert "&lt;gone&gt;" in posted(ERASED, "slack")["text"]


def test_pagerduty_is_told_of_the_end_with_the_key_of_the_beginning() -> None:
    begun, ended = posted(ERASED, "pagerduty", "key"), posted(RESTORED, "pagerduty", "key")
    assert (begun["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert begun["dedup_key"] == ended["dedup_key"]
    assert begun["routing_key"] == "key"
    assert begun["payload"]["severity"] == "warning"
    other = posted(Event(EventName.ADDRESS_ERASED, 1.0, "osaka", "svc1.net."), "pagerduty")
    assert other["dedup_key"] != begun["dedup_key"]


def test_alertmanager_gets_the_same_labels_at_the_beginning_and_at_the_end() -> None:
    (begun,), (ended,) = posted(ERASED, "alertmanager"), posted(RESTORED, "alertmanager")
    assert begun["labels"] == ended["labels"]
    assert begun["labels"]["alertname"] == "address_erased"
    assert begun["endsAt"] > begun["startsAt"]
    assert "startsAt" not in ended
    assert message(ERASED, "alertmanager", "prod", "token").headers["Authorization"] == "Bearer token"


def test_the_end_of_a_chosen_event_goes_where_alerts_end_and_nowhere_else() -> None:
    chosen = frozenset({"address_erased"})
    assert [wanted(RESTORED, chosen, form) for form in ("pagerduty", "alertmanager", "json", "slack")] == [
        True, True, False, False,
    ]  # fmt: skip
    saved = Event(EventName.RECOVERED, 1.0, cause="store")
    assert wanted(saved, frozenset({"store_degraded"}), "pagerduty")
    assert not wanted(Event(EventName.RECOVERED, 1.0, cause="routes"), frozenset({"store_degraded"}), "pagerduty")


class Scripted:
    """Does what its script says at each delivery: an error to raise, "hang", or else takes it."""

    at_once = 1

    def __init__(self, name: str, *script: object) -> None:
        self.name = name
        self.settings: Hashable = name
        self.script = list(script)
        self.tries = 0
        self.taken: list[int] = []

    def wants(self, event: Event) -> bool:
        return True

    async def deliver(self, event: Event) -> None:
        self.tries += 1
        does = self.script.pop(0) if self.script else None
        if isinstance(does, Exception):
            raise does
        if does == "hang":
            await asyncio.Event().wait()
        self.taken.append(event.id)

    async def close(self) -> None: ...


def event(number: int) -> Event:
    return Event(EventName.FAIL_OPEN, Clock().now(), id=number)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(*receivers: Scripted, **settings: Any) -> AsyncIterator[Alerts]:
    found = Alerts(receivers, Settings(**settings), Clock(), lambda: 1.0)
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF", 0.001)


async def test_an_event_is_repeated_until_it_is_taken_and_the_order_is_kept() -> None:
    receiver = Scripted("a", Undelivered("HTTP 503"), OSError("refused"), TimeoutError(), ZeroDivisionError())
    async with running(receiver) as alerts:
        for number in (1, 2, 3):
            alerts.take(event(number))
        await until(lambda: receiver.taken == [1, 2, 3])
        assert alerts.trouble == ()
    assert receiver.tries == 7


async def test_a_receiver_that_hangs_delays_no_other_and_takes_no_more_than_its_queue() -> None:
    stuck, quick = Scripted("stuck", "hang"), Scripted("quick")
    async with running(stuck, quick, queue=2) as alerts:
        alerts.take(event(1))
        await until(lambda: stuck.tries == 1)
        for number in range(2, 7):
            alerts.take(event(number))
            await until(lambda: quick.taken[-1:] == [number])  # noqa: B023 - it is awaited here
        assert quick.taken == [1, 2, 3, 4, 5, 6]
        (trouble,) = alerts.trouble
    assert "stuck" in trouble
    assert "2 wait, 3 dropped" in trouble


async def test_what_is_refused_for_good_is_dropped_and_told_and_the_next_goes_on() -> None:
    receiver = Scripted("a", Undelivered("HTTP 400", final=True), "hang")
    async with running(receiver) as alerts:
        alerts.take(event(1))
        alerts.take(event(2))
        await until(lambda: receiver.tries == 2)
        assert alerts.trouble == ("alerts: a does not take them: HTTP 400; 0 wait, 1 dropped",)


async def test_what_is_too_old_is_given_up() -> None:
    receiver = Scripted("a", *[Undelivered("HTTP 500")] * 50)
    async with running(receiver, give_up=0.5) as alerts:
        alerts.take(event(1))
        await until(lambda: "1 dropped" in "".join(alerts.trouble))
    assert receiver.taken == []
    assert receiver.tries > 1


async def test_other_settings_replace_the_receivers() -> None:
    old, new = Scripted("old", "hang"), Scripted("new")
    async with running(old) as alerts:
        alerts.take(event(1))
        await until(lambda: old.tries == 1)
        alerts.replace([new], Settings())
        alerts.take(event(2))
        await until(lambda: new.taken == [2])


async def test_what_waits_for_a_receiver_outlives_other_settings_that_leave_it_alone() -> None:
    old, new = Scripted("same", "hang"), Scripted("same")
    async with running(old) as alerts:
        for number in (1, 2):
            alerts.take(event(number))
        await until(lambda: old.tries == 1)
        alerts.replace([Scripted("another"), new], Settings())
        alerts.take(event(3))
        await until(lambda: new.taken == [1, 2, 3])
