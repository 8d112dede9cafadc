"""Follow registrations: refund the cancelled, end the freed, find the unpaid.

What a cancelled registration gets back was decided when it was cancelled and travels with the change: the event's
rules of the moment at which the change is read say nothing about it.
"""

from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind
from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_observability import context_from_traceparent, get_logger, schema

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.refund import due_on_cancellation
from ticketcap_payment.domain.states import CHARGED, UNPAID, PaymentState, RefundReason
from ticketcap_payment.registration_client import Change
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.refunds import owe
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, payments, refunds
from ticketcap_payment.store.directory import Directory
from ticketcap_payment.store.feeds import Feed
from ticketcap_payment.store.transactions import school_transaction

_PAGE: Final = 200
_PAGES: Final = 20
"""Pages of one turn; the rest has the next turn."""
_STATUSES: Final = ("CANCELLED", "CONFIRMED")

_log = get_logger(__name__)


class RegistrationChanges:
    """Reads on from where it stopped. A change may be applied twice: the second time it finds nothing to do."""

    def __init__(self, saga: Saga, feed: Feed, directory: Directory) -> None:
        self._saga = saga
        self._directory = directory
        self._feed = feed

    async def follow(self) -> None:
        """Apply what has happened since the last time."""
        for _ in range(_PAGES):
            before = await self._feed.position()
            changes, after = await self._saga.registration.changes(before, _STATUSES, _PAGE)
            if not changes:
                self._saga.metrics.feed_read()
                return
            # Most registrations of a free event never had a payment: one look-up spares each of them a transaction.
            paying = await self._directory.with_payments([change.registration_id for change in changes])
            for change in changes:
                await self._apply(change, has_payments=change.registration_id in paying)
            await self._feed.move(before, after)

    async def _apply(self, change: Change, *, has_payments: bool) -> None:
        cause = context_from_traceparent(change.traceparent)
        links = [Link(trace.get_current_span(cause).get_span_context())] if cause else []
        with self._saga.tracer.start_as_current_span(
            schema.REGISTRATION_CHANGED,
            kind=SpanKind.CONSUMER,
            links=links,
            attributes={schema.SCHOOL_SLUG: change.school, schema.STATUS: change.status},
            record_exception=False,
            set_status_on_exception=False,
        ):
            if change.status == "CANCELLED":
                await self._cancelled(change)
            elif change.price_agorot:
                await self._confirmed(change)
            elif has_payments:
                await self._freed(change)
            await self._saga.steps.reached(Step.CHANGE_APPLIED)

    async def _cancelled(self, change: Change) -> None:
        async with school_transaction(self._saga.engine, change.school) as connection:
            for payment in await payments.lock_all(connection, change.registration_id):
                if payment.state in UNPAID:
                    await payments.save(connection, payment.expired("registration_cancelled"))
                if payment.state is PaymentState.CAPTURED:
                    await self._give_back(connection, payment, change)

    async def _give_back(self, connection: AsyncConnection, payment: Payment, change: Change) -> None:
        """Owe what the cancellation gives back, once: a change that is read again finds money left after a part."""
        known = await refunds.of_payment(connection, payment.id)
        due = due_on_cancellation(left_agorot=payment.left_agorot, refund_agorot=change.refund_agorot)
        if not due or any(refund.reason is RefundReason.CANCELLED for refund in known):
            return
        await owe(
            connection,
            payment,
            due,
            reason=RefundReason.CANCELLED,
            charge_id=payment.yaadpay_id,
            now=self._saga.now(),
        )

    async def _freed(self, change: Change) -> None:
        """End the pages of a registration that was confirmed free; a card that comes back is not charged."""
        async with school_transaction(self._saga.engine, change.school) as connection:
            for payment in await payments.lock_all(connection, change.registration_id):
                if payment.state in UNPAID:
                    await payments.save(connection, payment.expired("free"))

    async def _confirmed(self, change: Change) -> None:
        """A seat of a paid event is confirmed by us alone, after the capture is committed."""
        async with school_transaction(self._saga.engine, change.school) as connection:
            known = await payments.lock_all(connection, change.registration_id)
            if any(payment.state in CHARGED for payment in known):
                return
            raised = await escalations.escalate(
                connection,
                school=change.school,
                kind=escalations.Kind.SEAT,
                subject_id=change.registration_id,
                payment_id=None,
                registration_id=change.registration_id,
                why="seat_without_payment",
            )
        if raised:
            _log.error("seat.without_payment", registration_id=str(change.registration_id))
