"""Leave a return unverified: paid at YaadPay, while VERIFY fails."""

import asyncio
import contextlib
from typing import Any, LiteralString

from ticketcap_local.drills import yaadpay
from ticketcap_local.drills.database import PAYMENT, execute
from ticketcap_local.drills.event import DrillEvent, OpenPayment, come_back, pay, payment_state
from ticketcap_local.drills.repeat import until
from ticketcap_local.drills.target import EXPECTED_ERRORS, Target


async def leave_return_unverified(target: Target, event: DrillEvent, *, aged_hours: int = 0) -> None:
    """Pay and come back while VERIFY fails, so that the return waits in payment's outbox.

    ``aged_hours`` makes the outbox row that many hours older and postpones its next try: a drill does not last an hour.
    """
    stuck = _StuckReturn(target, await event.open_payment(), aged_hours)
    target.undo(stuck.release)
    await yaadpay.fault(target, "VERIFY", "http_500")
    # The request ends only when the gateway gives up; the drill needs no more than the outbox row.
    request = asyncio.create_task(stuck.come_back())
    try:
        await until(stuck.is_waiting, "no return waits in the outbox")
    finally:
        request.cancel()
        with contextlib.suppress(asyncio.CancelledError, *EXPECTED_ERRORS):
            await request
    if aged_hours:
        await until(stuck.make_older, "the return in the outbox is always leased")


class _StuckReturn:
    def __init__(self, target: Target, payment: OpenPayment, aged_hours: int) -> None:
        self._target = target
        self._payment = payment
        self._aged_hours = aged_hours

    async def come_back(self) -> None:
        await come_back(self._target, await pay(self._target, self._payment))

    async def is_waiting(self) -> bool:
        return await self._update("UPDATE outbox SET tries = tries") > 0

    async def make_older(self) -> bool:
        """Age the row between two tries: a worker would give up on a row that waited for hours."""
        statement: LiteralString = """UPDATE outbox SET created_at = created_at - make_interval(hours => %s),
            due_at = statement_timestamp() + interval '1 day'"""
        return await self._update(statement, self._aged_hours, condition=" AND leased_until IS NULL") > 0

    async def release(self) -> None:
        """Restore the row's age, make it due, and wait until the payment is captured."""
        await yaadpay.clear(self._target)
        statement: LiteralString = """UPDATE outbox SET due_at = statement_timestamp(),
            created_at = least(created_at + make_interval(hours => %s), statement_timestamp())"""
        if await self._update(statement, self._aged_hours):
            await until(self._is_captured, f"payment {self._payment.payment_id} is not captured")

    async def _is_captured(self) -> bool:
        return await payment_state(self._target, self._payment) == "CAPTURED"

    async def _update(self, update: LiteralString, *values: Any, condition: LiteralString = "") -> int:
        where: LiteralString = " WHERE topic = 'return.verify' AND done_at IS NULL AND payment_id = %s"
        return await execute(self._target, PAYMENT, update + where + condition, (*values, self._payment.payment_id))
