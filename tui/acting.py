"""How an order of the operator is carried out: preview, dialog, order, and once more when something changed meanwhile.

Owns the list of own orders for undo. Called by the app's actions; every rule is enforced by the engine, not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from core.control.client import ControlClient
from core.errors import CommandRefused, PointsmanError
from core.model import Action, Order, OrderResult
from tui import describe
from tui.orders import Proposal, changes, inverse
from tui.screens.confirm import Confirmed, ConfirmScreen

if TYPE_CHECKING:
    from tui.app import ConsoleApp

DEADLINE = 5.0
UNDO_KEPT = 50
T = TypeVar("T")


async def within(call: Awaitable[T]) -> T:
    """The answer of the engine, or an error that says that it did not come in time."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await call
    except TimeoutError as error:
        raise PointsmanError(f"the engine did not answer within {DEADLINE:.0f} s") from error


class Acting:
    """One order at a time."""

    def __init__(self, app: ConsoleApp, client: ControlClient, who: str) -> None:
        self._app = app
        self._client = client
        self._who = who
        self._undo: list[Order] = []
        self._busy = False

    async def act(self, action: Action, targets: tuple[str, ...]) -> None:
        done = await self._carry_out(Order(action, targets, who=self._who))
        if done:
            proposal, order = done
            self._undo = [*self._undo, *inverse(order, proposal.snapshot)][-UNDO_KEPT:]

    async def undo(self) -> None:
        """A new order, with its own dialog, that reverses the last own one; the next time the one before it."""
        if not self._undo:
            self._app.toast("You have given no order here that could be undone.")
            return
        last = self._undo[-1]
        if last.until is not None and last.until <= self._app.live().now:
            last = replace(last, action=Action.RESTORE, until=None)
        if await self._carry_out(last) and self._undo:
            self._undo.pop()

    async def _carry_out(self, order: Order) -> tuple[Proposal, Order] | None:
        if self._busy:
            return None
        self._busy = True
        try:
            return await self._ask(await self._propose(order))
        except (PointsmanError, OSError) as error:
            self._app.toast(str(error), "error")
            return None
        finally:
            self._busy = False

    async def _propose(self, order: Order) -> Proposal:
        snapshot = await within(self._client.snapshot())
        preview = await within(self._client.preview(order))
        by_name = {cluster.name: cluster for cluster in snapshot.clusters}
        targets = tuple(by_name[name] for name in order.clusters if name in by_name)
        lasts = describe.duration_setting(order.until - snapshot.at) if order.until else ""
        return Proposal(replace(order, key=uuid4().hex), preview, targets, snapshot, lasts)

    async def _ask(self, proposal: Proposal) -> tuple[Proposal, Order] | None:
        while True:
            answer = await self._app.push_screen_wait(ConfirmScreen(proposal, self._app.settings.ascii))
            if answer is None:
                return None
            order = self._order(proposal, answer)
            try:
                result = await within(self._client.order(order))
            except CommandRefused as refusal:
                proposal = await self._again(proposal, order, answer, refusal)
            except (PointsmanError, OSError) as error:
                self._app.toast(f"{error}. Whether it was carried out is not known; asking again is harmless.", "error")
                proposal = replace(proposal, order=replace(proposal.order, why=answer.why), lasts=answer.lasts)
            else:
                self._done(order, result)
                return proposal, order

    def _order(self, proposal: Proposal, answer: Confirmed) -> Order:
        until = self._app.live().now + answer.seconds if answer.seconds else None
        preview = proposal.preview
        return replace(
            proposal.order, why=answer.why, until=until, expected=preview.expected, force=bool(preview.refused)
        )

    async def _again(self, old: Proposal, order: Order, answer: Confirmed, refusal: CommandRefused) -> Proposal:
        """The dialog once more: with what changed, or with the reason why it is refused as it stands."""
        new = await self._propose(replace(order, until=None, force=False, expected=()))
        new = replace(new, lasts=answer.lasts)
        if new.preview.expected != old.preview.expected:
            return replace(new, changed=changes(old, new))
        return replace(new, preview=replace(new.preview, refused=new.preview.refused or refusal.reason))

    def _done(self, order: Order, result: OrderResult) -> None:
        self._app.toast("\n".join(result.said) or f"{order.action.value}: done")
        self._app.forget_marks(frozenset(order.clusters))
