"""Charge an authorised card: secure the seat, store the intent, then charge.

A charge whose answer was lost is sent again: YaadPay refuses to commit a postponed transaction twice (250).
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import get_logger

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import CAPTURING, CHARGED, RUNNING, PaymentState, RefundReason, SeatState
from ticketcap_payment.registration_client import NothingOwed, SeatGone
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.delivery import DeliveryResult, Done, Retry
from ticketcap_payment.saga.refunds import owe
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, outbox, payments
from ticketcap_payment.store.escalations import Kind
from ticketcap_payment.store.outbox import Delivery, Topic
from ticketcap_payment.store.payments import Role
from ticketcap_payment.telemetry import describe_amount, describe_outcome
from ticketcap_payment.yaadpay.ccodes import NOT_FOUND_OR_DONE, CCodeClass
from ticketcap_payment.yaadpay.response import Outcome, YaadPayResponse

_FAILURES: Final = {
    CCodeClass.DECLINED: "declined",
    CCodeClass.RETRYABLE: "declined",
    CCodeClass.CONFIG: "terminal",
    CCodeClass.STATE: "withdrawn",
}
_OF_THE_CARD: Final = frozenset({CCodeClass.DECLINED, CCodeClass.RETRYABLE})

_log = get_logger(__name__)


class Capture:
    """Charges authorised payments."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga

    async def capture(self, delivery: Delivery) -> DeliveryResult:
        """Try once to charge a payment that is authorised, or whose charge has an unknown outcome."""
        with self._saga.telemetry.capture(delivery.key):
            payment = await payments.read(self._saga.engine, delivery.key)
            describe_amount(payment.amount_agorot)
            if payment.state not in CAPTURING:
                return Done()
            result = await self._secure_and_charge(delivery, payment)
            describe_outcome((await payments.read(self._saga.engine, delivery.key)).state)
            return result

    async def _secure_and_charge(self, delivery: Delivery, payment: Payment) -> DeliveryResult:
        # The seat comes first: without it nothing is charged. The hold is lengthened beyond the charge's own time, so
        # that the seat can't expire between the charge and its confirmation.
        try:
            await self._saga.registration.secure(payment.registration_id, self._saga.settings.secure_seconds)
        except SeatGone as error:
            if await self._end_uncharged(payment, "seat_gone", SeatState.GONE):
                self._saga.telemetry.failed("seat_gone")
                _log.warning("payment.seat_gone", payment_id=str(payment.id), reason=error.reason)
                return Done()
            # A charge was sent before. Only sending it again tells whether it succeeded; then it is refunded.
        except NothingOwed:
            # Not a failure that an alert counts: the seat is confirmed.
            if await self._end_uncharged(payment, "free", SeatState.CONFIRMED):
                return Done()
            # As above; ``seats`` refunds the charge.
        except ServiceError as error:
            return await self._retry(delivery, payment, f"seat:{error.reason}", charges=payment.capture_tries)
        await self._saga.steps.reached(Step.SEAT_SECURED)
        return await self._charge(delivery, payment)

    async def _end_uncharged(self, payment: Payment, reason: str, seat: SeatState) -> bool:
        """End a payment without a charge: an uncommitted transaction costs nothing.

        Return False when a charge was sent before.
        """
        async with self._saga.transaction(payment.school_id) as connection:
            current = await payments.lock(connection, payment.key)
            if current.state not in CAPTURING or current.capture_tries:
                return False
            await payments.save(connection, current.failed(reason, current.ccode).with_seat(seat))
            await self._close_escalation(connection, payment, f"not charged: {reason}")
        return True

    async def _charge(self, delivery: Delivery, payment: Payment) -> DeliveryResult:
        # The intent is committed before the charge is sent. If the process dies in between, ``capture_tries`` says
        # that a charge may exist. No lock is held during the call.
        async with self._saga.transaction(payment.school_id) as connection:
            current = await payments.lock(connection, payment.key)
            if current.state not in CAPTURING:
                return Done()
            intent = current.capture_sent()
            await payments.save(connection, intent)
        await self._saga.steps.reached(Step.CAPTURE_INTENDED)
        response = await self._saga.yaadpay.commit(intent.yaadpay_id)
        await self._saga.steps.reached(Step.CAPTURE_ANSWERED)
        describe_outcome(ccode=response.ccode)
        return await self._record(delivery, intent, response)

    async def _record(self, delivery: Delivery, intent: Payment, response: YaadPayResponse) -> DeliveryResult:
        async with self._saga.transaction(intent.school_id) as connection:
            existing = await payments.lock_all(connection, intent.school_id, intent.registration_id)
            current = payments.one_of(existing, intent.id)
            # The lease may have ended during the call, and another worker may have charged and recorded meanwhile.
            if current.state not in CAPTURING or current.yaadpay_id != intent.yaadpay_id:
                if response.outcome is Outcome.DONE:
                    await self._record_late_charge(connection, existing, current, response)
                return Done()
            if response.outcome is Outcome.NOT_SENT:
                await payments.save(connection, current.capture_not_sent())
            elif self._is_charged(current, response):
                await self._record_charge(connection, current, response)
            elif _is_refused(current, response):
                await payments.save(connection, current.failed(_failure(response), response.ccode))
                await self._close_escalation(connection, current, "refused")
            else:
                await payments.save(connection, current.unknown(response.ccode))
        return await self._conclude(delivery, current, response)

    async def _conclude(self, delivery: Delivery, before: Payment, response: YaadPayResponse) -> DeliveryResult:
        """Count the outcome and decide whether to retry; ``before`` is the payment before the outcome."""
        if self._is_charged(before, response):
            self._saga.telemetry.captured(before, self._saga.now())
            await self._saga.steps.reached(Step.PAYMENT_CAPTURED)
            return Done()
        if _is_refused(before, response):
            self._report_refusal(before, response)
            return Done()
        if response.ccode == NOT_FOUND_OR_DONE:
            # This was our first charge, and no other program commits: either one did, or YaadPay has lost it.
            await self._escalate(before, "committed_by_another")
            return Done()
        charges = before.capture_tries - (response.outcome is Outcome.NOT_SENT)
        return await self._retry(delivery, before, f"charge:{response.outcome}", charges=charges)

    async def _retry(self, delivery: Delivery, payment: Payment, reason: str, *, charges: int) -> DeliveryResult:
        """Retry, or escalate; ``charges`` is the number of charges sent whose outcome may count."""
        is_late = delivery.waiting_seconds >= self._saga.settings.give_up_seconds
        if charges and (is_late or charges >= self._saga.settings.money_tries):
            await self._escalate(payment, "charge_not_known")
            return Done()
        if is_late:
            # Nothing is charged. A person is informed, and the retries continue until the other service is back.
            await self._escalate(payment, "not_charged_yet")
        return Retry(reason)

    def _is_charged(self, payment: Payment, response: YaadPayResponse) -> bool:
        # 250 means "already committed". It proves our charge only if this service sent one before this one.
        is_repeat = payment.capture_tries > 1 and self._saga.settings.yaadpay_committed_means_charged
        return response.outcome is Outcome.DONE or (response.ccode == NOT_FOUND_OR_DONE and is_repeat)

    async def _record_charge(self, connection: AsyncConnection, current: Payment, response: YaadPayResponse) -> None:
        after = current.captured(response.id, response.ccode or 0, self._saga.now())
        await payments.save(connection, after)
        await self._record_transaction(connection, after, response, Role.CHARGE)
        await self._close_escalation(connection, after, "charged")
        await outbox.put(connection, after, Topic.CONFIRM_SEAT, after.id)

    async def _record_late_charge(
        self, connection: AsyncConnection, existing: Sequence[Payment], current: Payment, response: YaadPayResponse
    ) -> None:
        """Record a charge after another worker recorded an outcome, which may not know that this one succeeded."""
        if current.state in CHARGED and (not current.yaadpay_id or response.id in {"", current.yaadpay_id}):
            await payments.save(connection, current.with_charge(response.id))
            await self._record_transaction(connection, current, response, Role.CHARGE)
        elif current.state not in CHARGED and not any(one.state in RUNNING for one in existing):
            # The payment was recorded as refused, and the customer has opened no other one since.
            await self._record_charge(connection, current, response)
        else:
            _log.warning("payment.surplus", payment_id=str(current.id), yaadpay_id=response.id)
            await self._record_transaction(connection, current, response, Role.SURPLUS)
            amount = current.amount_agorot
            await owe(self._saga, connection, current, amount, RefundReason.SURPLUS, charge_id=response.id)

    async def _record_transaction(
        self, connection: AsyncConnection, payment: Payment, response: YaadPayResponse, role: Role
    ) -> None:
        if response.id:
            await payments.record_transaction(connection, payment, response.id, role, now=self._saga.now())

    async def _close_escalation(self, connection: AsyncConnection, payment: Payment, resolution: str) -> None:
        """Close the payment's escalation, if it has one: the payment ended without a person."""
        await escalations.resolve(
            connection, payment.school_id, Kind.PAYMENT, payment.id, by="yaadpay", resolution=resolution
        )

    def _report_refusal(self, payment: Payment, response: YaadPayResponse) -> None:
        reason = _failure(response)
        self._saga.telemetry.capture_refused(payment, reason, self._saga.now())
        if reason != "declined":
            _log.error("payment.capture_refused", payment_id=str(payment.id), ccode=response.ccode)

    async def _escalate(self, payment: Payment, why: str) -> None:
        async with self._saga.transaction(payment.school_id) as connection:
            current = await payments.lock(connection, payment.key)
            if current.state is PaymentState.AUTHORISED and current.capture_tries:
                await payments.save(connection, current.unknown(current.ccode))
            await escalations.escalate_payment(connection, payment.key, why)
        _log.error("payment.escalated", payment_id=str(payment.id), reason=why)


def _failure(response: YaadPayResponse) -> str:
    return _FAILURES.get(response.ccode_class, "refused")


def _is_refused(payment: Payment, response: YaadPayResponse) -> bool:
    """Say whether the response proves that no charge exists; 250 alone does not."""
    if response.outcome is not Outcome.REFUSED or response.ccode == NOT_FOUND_OR_DONE:
        return False
    # After a repeated charge only a refused card proves it. A failed login (902) or a duplicate (425) says nothing
    # about the charge before.
    return payment.capture_tries <= 1 or response.ccode_class in _OF_THE_CARD
