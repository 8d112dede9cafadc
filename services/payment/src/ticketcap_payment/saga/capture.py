"""From a card that YaadPay has to money: the seat is made sure of, then the charge is asked for, once it is intended.

A charge whose answer was lost is asked for again: a postponed transaction can't be charged twice (250).
"""

from collections.abc import Sequence
from typing import Final

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import get_logger, schema, traceparent_of

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import CAPTURING, CHARGED, RUNNING, PaymentState, RefundReason, SeatState
from ticketcap_payment.registration_client import NothingOwed, SeatGone
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.delivery import Done, Ending, Later
from ticketcap_payment.saga.refunds import owe
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, outbox, payments
from ticketcap_payment.store.outbox import Delivery, Topic
from ticketcap_payment.store.payments import Role
from ticketcap_payment.store.transactions import school_transaction
from ticketcap_payment.yaadpay.answer import Answer, Outcome
from ticketcap_payment.yaadpay.ccodes import NOT_FOUND_OR_DONE, CCodeClass

_FAILURES: Final = {
    CCodeClass.DECLINED: "declined",
    CCodeClass.RETRYABLE: "declined",
    CCodeClass.CONFIG: "terminal",
    CCodeClass.STATE: "withdrawn",
}
_OF_THE_CARD: Final = frozenset({CCodeClass.DECLINED, CCodeClass.RETRYABLE})

_log = get_logger(__name__)


class Capture:
    """Charges what is authorised."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga

    async def capture(self, delivery: Delivery) -> Ending:
        """Take an authorised payment, or one whose charge is not known, one step on."""
        with self._saga.tracer.start_as_current_span(
            schema.PAYMENT_CAPTURE,
            attributes={schema.PAYMENT_ID: str(delivery.key.id), schema.SCHOOL_SLUG: delivery.key.school},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            payment = await self._current(delivery)
            span.set_attribute(schema.PAYMENT_AMOUNT, payment.amount_agorot)
            if payment.state not in CAPTURING:
                return Done()
            ending = await self._with_seat(delivery, payment)
            span.set_attribute(schema.PAYMENT_STATE, (await self._current(delivery)).state)
            return ending

    async def _current(self, delivery: Delivery) -> Payment:
        async with school_transaction(self._saga.engine, delivery.key.school) as connection:
            return await payments.get(connection, delivery.key.id)

    async def _with_seat(self, delivery: Delivery, payment: Payment) -> Ending:
        try:
            await self._saga.registration.secure(payment.registration_id, self._saga.secure_seconds)
        except SeatGone as error:
            if await self._not_charged(payment, "seat_gone", SeatState.GONE):
                self._saga.metrics.failed("seat_gone")
                _log.warning("payment.seat_gone", payment_id=str(payment.id), reason=error.why)
                return Done()
            # A charge was asked for before: only asking again tells whether it was made, and must be given back.
        except NothingOwed:
            # No failure that an alert should count: the place is confirmed.
            if await self._not_charged(payment, "free", SeatState.CONFIRMED):
                return Done()
            # The same; `seats` gives back what was charged.
        except ServiceError as error:
            return await self._later(delivery, payment, f"seat:{error.reason}", asked=payment.capture_tries)
        await self._saga.steps.reached(Step.SEAT_SECURED)
        return await self._charge(delivery, payment)

    async def _not_charged(self, payment: Payment, why: str, seat: SeatState) -> bool:
        """Leave the card alone: an uncommitted transaction costs nothing. Return False when it may be committed."""
        async with school_transaction(self._saga.engine, payment.school) as connection:
            current = await payments.lock(connection, payment)
            if current.state not in CAPTURING or current.capture_tries:
                return False
            await payments.save(connection, current.failed(why, current.ccode).seat_is(seat))
            await self._needs_nobody(connection, payment, f"not charged: {why}")
        return True

    async def _charge(self, delivery: Delivery, payment: Payment) -> Ending:
        async with school_transaction(self._saga.engine, payment.school) as connection:
            current = await payments.lock(connection, payment)
            if current.state not in CAPTURING:
                return Done()
            intended = current.capture_sent()
            await payments.save(connection, intended)
        await self._saga.steps.reached(Step.CAPTURE_INTENDED)
        answer = await self._saga.yaadpay.commit(intended.yaadpay_id)
        await self._saga.steps.reached(Step.CAPTURE_ANSWERED)
        if answer.ccode is not None:
            trace.get_current_span().set_attribute(schema.PAYMENT_CCODE, answer.ccode)
        return await self._record(delivery, intended, answer)

    async def _record(self, delivery: Delivery, intended: Payment, answer: Answer) -> Ending:
        async with school_transaction(self._saga.engine, intended.school) as connection:
            everything = await payments.lock_all(connection, intended.registration_id)
            current = next(one for one in everything if one.id == intended.id)
            if current.state not in CAPTURING or current.yaadpay_id != intended.yaadpay_id:
                if answer.outcome is Outcome.DONE:
                    await self._charged_too_late(connection, everything, current, answer)
                return Done()
            if answer.outcome is Outcome.NOT_SENT:
                await payments.save(connection, current.capture_not_sent())
            elif self._is_charged(current, answer):
                await self._captured(connection, current, answer)
            elif _is_refused(current, answer):
                await payments.save(connection, current.failed(_failure(answer), answer.ccode))
                await self._needs_nobody(connection, current, "refused")
            else:
                await payments.save(connection, current.unknown(answer.ccode))
        return await self._after(delivery, current, answer)

    async def _after(self, delivery: Delivery, before: Payment, answer: Answer) -> Ending:
        """Go on from what was recorded about ``before``."""
        if self._is_charged(before, answer):
            self._saga.metrics.completed(before.amount_agorot, before.currency)
            self._processed(before, "captured")
            await self._saga.steps.reached(Step.PAYMENT_CAPTURED)
            return Done()
        if _is_refused(before, answer):
            self._tell_refusal(before, answer)
            return Done()
        if answer.ccode == NOT_FOUND_OR_DONE:
            # Nobody but us commits, and this was our first: then somebody did, or YaadPay has lost it.
            await self._to_a_person(before, "committed_by_another")
            return Done()
        asked = before.capture_tries - (answer.outcome is Outcome.NOT_SENT)
        return await self._later(delivery, before, f"charge:{answer.outcome}", asked=asked)

    async def _later(self, delivery: Delivery, payment: Payment, why: str, *, asked: int) -> Ending:
        """Try again; ``asked`` is how often a charge was asked for whose outcome may count."""
        given_up = delivery.waiting_seconds >= self._saga.give_up_seconds
        if asked and (given_up or asked >= self._saga.money_tries):
            await self._to_a_person(payment, "charge_not_known")
            return Done()
        if given_up:
            # Nothing is charged: a person knows, and it goes on by itself when what is away has come back.
            await self._to_a_person(payment, "not_charged_yet")
        return Later(why)

    def _is_charged(self, payment: Payment, answer: Answer) -> bool:
        asked_before = payment.capture_tries > 1
        repeated = answer.ccode == NOT_FOUND_OR_DONE and asked_before and self._saga.committed_means_charged
        return answer.outcome is Outcome.DONE or repeated

    async def _captured(self, connection: AsyncConnection, current: Payment, answer: Answer) -> None:
        after = current.captured(answer.id, answer.ccode or 0, self._saga.now())
        await payments.save(connection, after)
        await self._number(connection, after, answer, Role.CHARGE)
        await self._needs_nobody(connection, after, "charged")
        await outbox.put(connection, after, Topic.CONFIRM_SEAT, after.id, traceparent_of())

    async def _charged_too_late(
        self, connection: AsyncConnection, everything: Sequence[Payment], current: Payment, answer: Answer
    ) -> None:
        """Somebody else has learnt an outcome meanwhile; that money was taken may be news all the same."""
        if current.state in CHARGED and (not current.yaadpay_id or answer.id in {"", current.yaadpay_id}):
            await payments.save(connection, current.numbered(answer.id))
            await self._number(connection, current, answer, Role.CHARGE)
        elif current.state not in CHARGED and not any(one.state in RUNNING for one in everything):
            # It counted as refused, and the customer has opened no other payment since.
            await self._captured(connection, current, answer)
        else:
            await self._surplus(connection, current, answer)

    async def _surplus(self, connection: AsyncConnection, current: Payment, answer: Answer) -> None:
        _log.warning("payment.surplus", payment_id=str(current.id), yaadpay_id=answer.id)
        await self._number(connection, current, answer, Role.SURPLUS)
        await owe(
            connection,
            current,
            current.amount_agorot,
            reason=RefundReason.SURPLUS,
            charge_id=answer.id,
            now=self._saga.now(),
        )

    async def _number(self, connection: AsyncConnection, payment: Payment, answer: Answer, role: Role) -> None:
        if answer.id:
            amount, now = payment.amount_agorot, self._saga.now()
            await payments.number(connection, payment, answer.id, role, ccode=0, amount_agorot=amount, now=now)

    async def _needs_nobody(self, connection: AsyncConnection, payment: Payment, resolution: str) -> None:
        """Take back what was handed to a person, if it was: it has come to an end by itself."""
        await escalations.resolve(
            connection, escalations.Kind.PAYMENT, payment.id, who="yaadpay", resolution=resolution
        )

    def _tell_refusal(self, payment: Payment, answer: Answer) -> None:
        why = _failure(answer)
        self._saga.metrics.failed(why)
        self._processed(payment, "failed")
        if why != "declined":
            _log.error("payment.capture_refused", payment_id=str(payment.id), ccode=answer.ccode)

    def _processed(self, payment: Payment, outcome: str) -> None:
        if payment.authorised_at is not None:
            self._saga.metrics.processed((self._saga.now() - payment.authorised_at).total_seconds(), outcome)

    async def _to_a_person(self, payment: Payment, why: str) -> None:
        async with school_transaction(self._saga.engine, payment.school) as connection:
            current = await payments.lock(connection, payment)
            if current.state is PaymentState.AUTHORISED and current.capture_tries:
                await payments.save(connection, current.unknown(current.ccode))
            await escalations.escalate_payment(connection, payment, why)
        _log.error("payment.escalated", payment_id=str(payment.id), reason=why)


def _failure(answer: Answer) -> str:
    return _FAILURES.get(answer.ccode_class, "refused")


def _is_refused(payment: Payment, answer: Answer) -> bool:
    """Whether it certainly made no charge, now or before; 250 alone does not say that."""
    if answer.outcome is not Outcome.REFUSED or answer.ccode == NOT_FOUND_OR_DONE:
        return False
    # Asked again, only a refused card tells that the charge was still to be made: who is not let in (902), or is told
    # of a duplicate (425), learns nothing of the time before.
    return payment.capture_tries <= 1 or answer.ccode_class in _OF_THE_CARD
