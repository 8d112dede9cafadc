"""Owe refunds, then send them.

A refund is owed in the transaction that makes it due, and each sending is stored before it leaves. Cancelling a charge
(CancelTrans) is safe to repeat. A refund (zikoyAPI) is not: a lost answer is escalated, and the refund is never sent
again without a person.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_chassis.tagged_ids import tagged_uuid7
from ticketcap_observability import get_logger

from ticketcap_payment.domain.errors import IdempotencyKeyReused
from ticketcap_payment.domain.payment import Payment, PaymentKey
from ticketcap_payment.domain.refund import CancelRule, Method, Refund
from ticketcap_payment.domain.states import OPEN_REFUNDS, RefundReason, RefundState
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.delivery import DeliveryResult, Done, Retry
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, outbox, payments, refunds
from ticketcap_payment.store.escalations import Kind
from ticketcap_payment.store.outbox import Delivery, Topic
from ticketcap_payment.store.payments import Role
from ticketcap_payment.telemetry import describe_amount
from ticketcap_payment.yaadpay.ccodes import CANCELLED
from ticketcap_payment.yaadpay.response import Outcome, YaadPayResponse

_ANSWER_PENDING: Final = frozenset({RefundState.SENT, RefundState.UNKNOWN})

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """An organiser's request. ``amount_agorot`` None: the whole refundable rest."""

    amount_agorot: int | None
    idempotency_key: str

    @property
    def fingerprint(self) -> str:
        """The text that differs for another body with the same key."""
        return str(self.amount_agorot)


@dataclass(frozen=True, slots=True)
class RequestedRefund:
    """A refund and its payment's event; ``replayed`` when an earlier request with the same key made it."""

    refund: Refund
    event_id: UUID
    replayed: bool


async def owe(
    saga: Saga,
    connection: AsyncConnection,
    payment: Payment,
    amount_agorot: int,
    reason: RefundReason,
    *,
    charge_id: str | None = None,
    request: RefundRequest | None = None,
) -> Refund:
    """Owe a refund of a locked payment; it is sent after the commit. Raises NotCaptured and RefundTooLarge.

    The refunded charge is the payment's own unless ``charge_id`` names another.
    """
    if reason is not RefundReason.SURPLUS:
        payment = payment.refund_requested(amount_agorot)
        await payments.save(connection, payment)
    refund_id = tagged_uuid7(payment.school_id)
    refund = Refund(
        id=refund_id,
        school_slug=payment.school_slug,
        school_id=payment.school_id,
        payment_id=payment.id,
        registration_id=payment.registration_id,
        charge_id=payment.yaadpay_id if charge_id is None else charge_id,
        amount_agorot=amount_agorot,
        currency=payment.currency,
        reason=reason,
        idempotency_key=request.idempotency_key if request else f"{reason} {refund_id}",
        fingerprint=request.fingerprint if request else "",
        created_at=saga.now(),
    )
    await refunds.add(connection, refund)
    await outbox.put(connection, payment, Topic.REFUND, refund.id)
    return refund


class Refunds:
    """Requests and sends refunds."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga
        settings = saga.settings
        self._rule = CancelRule(cutoff=settings.yaadpay_cancel_cutoff, preferred=settings.refund_by_cancelling)

    async def request(self, key: PaymentKey, request: RefundRequest) -> RequestedRefund:
        """Owe a refund on an organiser's request. Raises NotCaptured, RefundTooLarge, IdempotencyKeyReused."""
        async with self._saga.transaction(key.school_id) as connection:
            payment = await payments.lock(connection, key)
            existing = await refunds.of_payment(connection, key.school_id, key.id)
            same = next((refund for refund in existing if refund.idempotency_key == request.idempotency_key), None)
            if same is not None and same.fingerprint != request.fingerprint:
                raise IdempotencyKeyReused
            if same is not None:
                return RequestedRefund(same, payment.event_id, replayed=True)
            amount = payment.refundable_agorot if request.amount_agorot is None else request.amount_agorot
            refund = await owe(self._saga, connection, payment, amount, RefundReason.ORGANISER, request=request)
        await self._saga.steps.reached(Step.REFUND_STORED)
        return RequestedRefund(refund, payment.event_id, replayed=False)

    # Delivered by the outbox

    async def send(self, delivery: Delivery) -> DeliveryResult:
        """Try once to send an owed refund."""
        with self._saga.telemetry.refund(delivery.key):
            snapshot = await payments.snapshot(self._saga.engine, delivery.key)
            payment, refund = snapshot.payment, next(one for one in snapshot.refunds if one.id == delivery.subject_id)
            describe_amount(refund.amount_agorot)
            if refund.state not in OPEN_REFUNDS:
                return Done()
            if refund.state is RefundState.SENT and refund.method is Method.REFUND:
                # The worker that sent it died before it stored an answer: money may have moved.
                return await self._escalate(payment, refund, refund.unknown(None), "refund_interrupted")
            charge_id = refund.charge_id
            if not charge_id and refund.reason is not RefundReason.SURPLUS:
                # The charge's number may have come after the refund was owed. A surplus charge is another one.
                charge_id = payment.yaadpay_id
            if not charge_id:
                return await self._escalate(payment, refund, refund, "charge_number_not_known")
            return await self._send(payment, refund, charge_id)

    def _method(self, payment: Payment, refund: Refund) -> Method:
        if refund.method is not None:
            return refund.method
        surplus = refund.reason is RefundReason.SURPLUS
        return self._rule.method_of(
            refund,
            charged_agorot=payment.amount_agorot,
            charged_at=(None if surplus else payment.captured_at) or refund.created_at,
            now=self._saga.now(),
        )

    async def _send(self, payment: Payment, refund: Refund, charge_id: str) -> DeliveryResult:
        sent = refund.sent(self._method(payment, refund))
        # SENT is committed before the call. A process that dies after this leaves the proof that money may have moved.
        if not await self._replace(payment, refund, sent):
            return Retry("changed")
        await self._saga.steps.reached(Step.REFUND_INTENDED)
        if sent.method is Method.CANCEL:
            response = await self._saga.yaadpay.cancel(charge_id)
        else:
            response = await self._saga.yaadpay.refund(charge_id, refund.amount_agorot)
        await self._saga.steps.reached(Step.REFUND_ANSWERED)
        match response.outcome:
            case Outcome.DONE:
                await self._record_done(payment, sent, response)
                return Done()
            case Outcome.NOT_SENT:
                await self._replace(payment, sent, sent.not_sent())
                return Retry("not_sent")
            case Outcome.REFUSED:
                return await self._refused(payment, sent, response)
            case Outcome.UNKNOWN:
                return await self._unknown(payment, sent, response)

    async def _replace(self, payment: Payment, before: Refund, after: Refund) -> bool:
        """Write ``after``, unless another worker or a person has changed the refund since ``before``."""
        async with self._saga.transaction(payment.school_id) as connection:
            await payments.lock_all(connection, payment.school_id, payment.registration_id)
            if await refunds.get(connection, payment.school_id, before.id) != before:
                return False
            await refunds.save(connection, after)
            return True

    async def _record_done(self, payment: Payment, sent: Refund, response: YaadPayResponse) -> None:
        now = self._saga.now()
        async with self._saga.transaction(payment.school_id) as connection:
            current = await payments.lock(connection, payment.key)
            refund = await refunds.get(connection, payment.school_id, sent.id)
            if refund.state not in _ANSWER_PENDING:
                # A person has resolved it meanwhile, and the payment counts the refund already.
                return
            await refunds.save(connection, refund.done(response.id, response.ccode or 0, now))
            if refund.reason is not RefundReason.SURPLUS:
                await payments.save(connection, current.refund_done(refund.amount_agorot))
            if response.id:
                amount = refund.amount_agorot
                await payments.record_transaction(
                    connection, current, response.id, Role.REFUND, now=now, amount_agorot=amount
                )
            resolution = "the answer came after all"
            await escalations.resolve(
                connection, payment.school_id, Kind.REFUND, refund.id, by="yaadpay", resolution=resolution
            )
        await self._saga.steps.reached(Step.REFUND_RECORDED)

    async def _refused(self, payment: Payment, sent: Refund, response: YaadPayResponse) -> DeliveryResult:
        if sent.method is Method.REFUND:
            return await self._escalate(payment, sent, sent.refused(response.ccode), "refund_refused")
        if sent.tries > 1 or response.ccode == CANCELLED:
            # An earlier cancellation with a lost answer, or a person in the portal, may have undone the charge.
            # A refund would return the money a second time.
            return await self._escalate(payment, sent, sent.unknown(response.ccode), "undoing_not_known")
        await self._replace(payment, sent, sent.not_cancellable())
        return Retry("transmitted")

    async def _unknown(self, payment: Payment, sent: Refund, response: YaadPayResponse) -> DeliveryResult:
        if sent.method is Method.CANCEL and sent.tries < self._saga.settings.money_tries:
            return Retry("undoing_not_known")
        return await self._escalate(payment, sent, sent.unknown(response.ccode), "refund_not_known")

    async def _escalate(self, payment: Payment, before: Refund, after: Refund, why: str) -> DeliveryResult:
        async with self._saga.transaction(payment.school_id) as connection:
            await payments.lock_all(connection, payment.school_id, payment.registration_id)
            if (await refunds.get(connection, payment.school_id, before.id)).state is RefundState.DONE:
                return Done()
            await refunds.save(connection, after)
            await escalations.escalate(connection, Kind.REFUND, before.id, payment.key, why)
        _log.error("refund.escalated", refund_id=str(before.id), payment_id=str(payment.id), reason=why)
        return Done()
