"""Follow registrations: refund the cancelled, end the freed, find the unpaid.

The refund of a cancelled registration was decided when it was cancelled, and travels with the change. The event's
rules at the time of reading do not matter.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_observability import get_logger

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.refund import due_on_cancellation
from ticketcap_payment.domain.states import CHARGED, UNPAID, PaymentState, RefundReason
from ticketcap_payment.registration_client import Change
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.refunds import owe
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, payments, refunds
from ticketcap_payment.store.directory import Directory

_PAGE: Final = 200
_PAGES: Final = 20
"""The pages of one turn; the next turn reads the rest."""

_log = get_logger(__name__)


class RegistrationChanges:
    """Applies the change feed. Applying a change twice is a no-op the second time.

    Two replicas may apply the same changes while the job moves from one to the other.
    """

    def __init__(self, saga: Saga, directory: Directory) -> None:
        self._saga = saga
        self._directory = directory
        self._cursor = ""
        """The id after which the next turn reads; empty at the start of a round over all unacknowledged changes."""
        self._round_failed = False

    async def follow(self) -> None:
        """Apply the unacknowledged changes, a bounded number of them; raise the first error of those that failed."""
        errors: list[Exception] = []
        for _ in range(_PAGES):
            starts_round = not self._cursor
            changes, self._cursor = await self._saga.registration.changes(self._cursor, _PAGE)
            # A page counts as failed until it is acknowledged. An exception leaves the mark for the rest of the round.
            failed_before = self._round_failed and not starts_round
            self._round_failed = True
            page_errors = await self._apply_all(changes)
            self._round_failed = failed_before or bool(page_errors)
            errors += page_errors
            if not self._cursor:
                break
        if errors:
            raise errors[0]
        if not self._cursor and not self._round_failed:
            self._saga.telemetry.feed_read()

    async def _apply_all(self, changes: Sequence[Change]) -> list[Exception]:
        """Apply a page and acknowledge what was applied; return the errors of the rest.

        A change that fails holds up the later ones of its registration, and no other. All of them are read again.
        """
        if not changes:
            return []
        # Most registrations of a free event never had a payment: one look-up saves each of them a transaction.
        paying = await self._directory.with_payments([(change.school_id, change.registration_id) for change in changes])
        failed: dict[UUID, Exception] = {}
        applied: list[str] = []
        for change in changes:
            if change.registration_id in failed:
                continue
            try:
                await self._apply(change, has_payments=change.registration_id in paying)
            except Exception as error:  # noqa: BLE001 - returned
                _log.warning("change.failed", registration_id=str(change.registration_id), reason=type(error).__name__)
                failed[change.registration_id] = error
            else:
                applied.append(change.id)
        # After they were applied: a process that dies before this applies them again.
        if applied:
            await self._saga.registration.acknowledge(applied)
        return list(failed.values())

    async def _apply(self, change: Change, *, has_payments: bool) -> None:
        with self._saga.telemetry.change(
            change.school_slug,
            change.school_id,
            change.status,
            change.traceparent,
            synthetic=change.school_synthetic,
        ):
            if change.status == "CANCELLED":
                await self._cancelled(change)
            elif change.price_agorot:
                await self._confirmed(change)
            elif has_payments:
                await self._freed(change)
            await self._saga.steps.reached(Step.CHANGE_APPLIED)

    async def _cancelled(self, change: Change) -> None:
        async with self._saga.transaction(change.school_id) as connection:
            for payment in await payments.lock_all(connection, change.school_id, change.registration_id):
                if payment.state in UNPAID:
                    await payments.save(connection, payment.expired("registration_cancelled"))
                if payment.state is PaymentState.CAPTURED:
                    await self._refund(connection, payment, change)

    async def _refund(self, connection: AsyncConnection, payment: Payment, change: Change) -> None:
        """Owe the refund of a cancellation once: a repeated change finds money left after a partial refund."""
        due = due_on_cancellation(refundable_agorot=payment.refundable_agorot, refund_agorot=change.refund_agorot)
        existing = await refunds.of_payment(connection, payment.school_id, payment.id)
        if due and not any(refund.reason is RefundReason.CANCELLED for refund in existing):
            await owe(self._saga, connection, payment, due, RefundReason.CANCELLED)

    async def _freed(self, change: Change) -> None:
        """Expire the pages of a registration that was confirmed free; a card on such a page is not charged."""
        async with self._saga.transaction(change.school_id) as connection:
            for payment in await payments.lock_all(connection, change.school_id, change.registration_id):
                if payment.state in UNPAID:
                    await payments.save(connection, payment.expired("free"))

    async def _confirmed(self, change: Change) -> None:
        """Escalate a confirmed seat of a paid event without a capture: only this service confirms such a seat."""
        async with self._saga.transaction(change.school_id) as connection:
            existing = await payments.lock_all(connection, change.school_id, change.registration_id)
            if any(payment.state in CHARGED for payment in existing):
                return
            escalated = await escalations.escalate_seat(
                connection, change.registration_id, change.school_id, change.school_slug, "seat_without_payment"
            )
        if escalated:
            _log.error("seat.without_payment", registration_id=str(change.registration_id))
