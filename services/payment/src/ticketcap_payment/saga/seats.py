"""Confirm the seat of a captured payment, or refund it."""

from typing import Final

from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import get_logger

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import CHARGED, RefundReason, SeatState
from ticketcap_payment.registration_client import NothingOwed, SeatGone
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.delivery import DeliveryResult, Done, Retry
from ticketcap_payment.saga.refunds import owe
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, payments
from ticketcap_payment.store.escalations import Kind
from ticketcap_payment.store.outbox import Delivery

_FINAL: Final = frozenset({SeatState.CONFIRMED, SeatState.GONE})

_log = get_logger(__name__)


class Seats:
    """Confirms paid seats."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga

    async def confirm(self, delivery: Delivery) -> DeliveryResult:
        """Announce a captured payment to the registration service, which confirms the seat; refund when it can't."""
        payment = await payments.read(self._saga.engine, delivery.key)
        if payment.state not in CHARGED or payment.seat in _FINAL:
            return Done()
        seat, refund_reason = SeatState.CONFIRMED, None
        try:
            await self._saga.registration.confirm(payment.registration_id, self._saga.settings.secure_seconds)
        except SeatGone as error:
            _log.warning("payment.seat_gone", payment_id=str(payment.id), reason=error.reason)
            seat, refund_reason = SeatState.GONE, RefundReason.SEAT_GONE
        except NothingOwed:
            # The event became free between the charge and now: the seat stays, the money goes back.
            refund_reason = RefundReason.FREE
        except ServiceError as error:
            return await self._retry(delivery, error.reason)
        await self._saga.steps.reached(Step.SEAT_ANSWERED)
        await self._record(payment, seat, refund_reason)
        return Done()

    async def _record(self, payment: Payment, seat: SeatState, refund_reason: RefundReason | None) -> None:
        """Store the seat's state and, with a reason, owe the whole refundable rest in the same transaction."""
        async with self._saga.transaction(payment.school_id) as connection:
            current = await payments.lock(connection, payment.key)
            if current.seat in _FINAL:
                # Another worker delivered the same row after this worker's lease had ended: owe nothing twice.
                return
            current = current.with_seat(seat)
            await payments.save(connection, current)
            await escalations.resolve(
                connection, payment.school_id, Kind.PAYMENT, payment.id, by="registration", resolution=f"seat {seat}"
            )
            if refund_reason is not None and current.refundable_agorot:
                await owe(self._saga, connection, current, current.refundable_agorot, refund_reason)
        await self._saga.steps.reached(Step.SEAT_RECORDED)

    async def _retry(self, delivery: Delivery, reason: str) -> DeliveryResult:
        """Retry until the registration service is back; escalate when it takes too long."""
        if delivery.waiting_seconds >= self._saga.settings.give_up_seconds:
            async with self._saga.transaction(delivery.key.school_id) as connection:
                await escalations.escalate_payment(connection, delivery.key, "seat_not_confirmed")
        return Retry(f"seat:{reason}")
