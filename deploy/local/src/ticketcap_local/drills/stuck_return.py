"""A return that hangs: paid at YaadPay, and nobody can say that it was."""

import asyncio
import contextlib
from typing import Any, LiteralString

from ticketcap_local.drills.database import PAYMENT, insist
from ticketcap_local.drills.families import Opened, OwnEvent, come_back, pay, payment_state
from ticketcap_local.drills.ground import Ground
from ticketcap_local.drills.repeated import until
from ticketcap_local.drills.yaadpay import YaadPayFault


class StuckReturn:
    """A return that YaadPay does not vouch for, as VERIFY fails: the payment waits.

    ``aged_hours`` makes its row of the outbox that much older, and keeps it from being tried meanwhile: nobody waits an
    hour for a drill.
    """

    def __init__(self, event: OwnEvent, *, aged_hours: int = 0) -> None:
        self._event = event
        self._aged_hours = aged_hours
        self._failing = YaadPayFault("VERIFY", "http_500")
        self._opened: Opened | None = None

    async def begin(self, ground: Ground) -> None:
        """Pay and come back, to a gateway that can't say yet how it ended."""
        await self._failing.begin(ground)
        back = asyncio.create_task(self._back(ground))
        try:
            await until(lambda: self._is_waiting(ground), "no return waits in the outbox")
        finally:
            back.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
                await back
        if self._aged_hours:
            await self._age(ground, self._aged_hours)

    async def _back(self, ground: Ground) -> None:
        self._opened = await self._event.open_payment(ground)
        await come_back(ground, await pay(ground, self._opened))

    async def _is_waiting(self, ground: Ground) -> bool:
        return bool(self._opened) and await self._touch(ground, "UPDATE outbox SET tries = tries") > 0

    async def _age(self, ground: Ground, hours: int) -> None:
        await until(lambda: self._is_aged(ground, hours), "the return in the outbox is never left alone")

    async def _is_aged(self, ground: Ground, hours: int) -> bool:
        """Make it older between two tries: whoever is at it would give up on what has waited for hours."""
        statement: LiteralString = """UPDATE outbox SET created_at = created_at - make_interval(hours => %s),
            due_at = statement_timestamp() + interval '1 day'"""
        return await self._touch(ground, statement, hours, more=" AND leased_until IS NULL") > 0

    async def _touch(self, ground: Ground, update: LiteralString, *values: Any, more: LiteralString = "") -> int:
        where: LiteralString = " WHERE topic = 'return.verify' AND done_at IS NULL AND payment_id = %s"
        if self._opened is None:
            return 0
        return await insist(ground, PAYMENT, update + where + more, (*values, self._opened.payment_id))

    async def end(self, ground: Ground) -> None:
        """Make it as young as it is, have it tried at once, and wait until the payment is captured."""
        await self._failing.end(ground)
        if self._opened is None:
            return
        await self._touch(
            ground,
            """UPDATE outbox SET created_at = created_at + make_interval(hours => %s),
               due_at = statement_timestamp()""",
            self._aged_hours,
        )
        await until(lambda: self._is_captured(ground), f"payment {self._opened.payment_id} is not captured")

    async def _is_captured(self, ground: Ground) -> bool:
        return self._opened is not None and await payment_state(ground, self._opened) == "CAPTURED"
