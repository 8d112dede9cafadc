"""Confirm the seat of a captured payment, or give the money back."""

from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import get_logger

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import CHARGED, RefundReason, SeatState
from ticketcap_payment.registration_client import NothingOwed, SeatGone
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.delivery import Done, Ending, Later
from ticketcap_payment.saga.refunds import owe
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, payments
from ticketcap_payment.store.outbox import Delivery
from ticketcap_payment.store.transactions import school_transaction

_SETTLED = frozenset({SeatState.CONFIRMED, SeatState.GONE})

_log = get_logger(__name__)


class Seats:
    """Confirms what is paid."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga

    async def confirm(self, delivery: Delivery) -> Ending:
        """Tell the registration service that a payment is captured, or give the money back."""
        async with school_transaction(self._saga.engine, delivery.key.school) as connection:
            payment = await payments.get(connection, delivery.key.id)
        if payment.state not in CHARGED or payment.seat in _SETTLED:
            return Done()
        back: RefundReason | None = None
        seat = SeatState.CONFIRMED
        try:
            await self._saga.registration.confirm(payment.registration_id, self._saga.secure_seconds)
        except SeatGone as error:
            _log.warning("payment.seat_gone", payment_id=str(payment.id), reason=error.why)
            seat, back = SeatState.GONE, RefundReason.SEAT_GONE
        except NothingOwed:
            # The event became free between the charge and this moment: the place stays, the money does not.
            back = RefundReason.FREE
        except ServiceError as error:
            return await self._later(delivery, payment, error.reason)
        await self._saga.steps.reached(Step.SEAT_ANSWERED)
        await self._record(payment, seat, back)
        return Done()

    async def _record(self, payment: Payment, seat: SeatState, back: RefundReason | None) -> None:
        """Keep what is known of the seat, and owe all that is left when there is a reason to give it ``back``."""
        async with school_transaction(self._saga.engine, payment.school) as connection:
            current = await payments.lock(connection, payment)
            if current.seat in _SETTLED:
                return
            current = current.seat_is(seat)
            await payments.save(connection, current)
            await escalations.resolve(
                connection, escalations.Kind.PAYMENT, payment.id, who="registration", resolution=f"seat {seat}"
            )
            if back is not None and current.left_agorot:
                await owe(
                    connection,
                    current,
                    current.left_agorot,
                    reason=back,
                    charge_id=current.yaadpay_id,
                    now=self._saga.now(),
                )
        await self._saga.steps.reached(Step.SEAT_RECORDED)

    async def _later(self, delivery: Delivery, payment: Payment, reason: str) -> Ending:
        """The registration service comes back some day: a person is told, and it goes on being tried."""
        if delivery.waiting_seconds >= self._saga.give_up_seconds:
            async with school_transaction(self._saga.engine, payment.school) as connection:
                await escalations.escalate_payment(connection, payment, "seat_not_confirmed")
        return Later(f"seat:{reason}")
