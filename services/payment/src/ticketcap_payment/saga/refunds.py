"""Money on its way back: owed in the transaction that makes it due, then sent, each sending intended first.

Undoing a charge (CancelTrans) is harmless to ask for twice; a refund (zikoyAPI) is not, so that a lost answer to it
goes to a person and never to YaadPay again.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_observability import get_logger, schema, traceparent_of
from uuid_utils.compat import uuid7

from ticketcap_payment.domain.errors import IdempotencyKeyReused
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.refund import CancelRule, Method, Refund
from ticketcap_payment.domain.states import OPEN_REFUNDS, RefundReason, RefundState
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.delivery import Done, Ending, Later
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, outbox, payments, refunds
from ticketcap_payment.store.directory import PaymentKey
from ticketcap_payment.store.outbox import Delivery, Topic
from ticketcap_payment.store.payments import Role
from ticketcap_payment.store.transactions import school_transaction
from ticketcap_payment.yaadpay.answer import Answer, Outcome
from ticketcap_payment.yaadpay.ccodes import CANCELLED

_AWAITED = frozenset({RefundState.SENT, RefundState.UNKNOWN})

_log = get_logger(__name__)


async def owe(
    connection: AsyncConnection,
    payment: Payment,
    amount_agorot: int,
    *,
    reason: RefundReason,
    charge_id: str,
    now: datetime,
    idempotency_key: str = "",
    fingerprint: str = "",
) -> Refund:
    """Owe money of a locked payment, and have it sent after the commit. Raises NotCaptured and RefundTooLarge."""
    if reason is not RefundReason.SURPLUS:
        payment = payment.refund_requested(amount_agorot)
        await payments.save(connection, payment)
    refund_id = uuid7()
    refund = Refund(
        id=refund_id,
        school=payment.school,
        payment_id=payment.id,
        registration_id=payment.registration_id,
        charge_id=charge_id,
        amount_agorot=amount_agorot,
        currency=payment.currency,
        reason=reason,
        idempotency_key=idempotency_key or f"{reason} {refund_id}",
        fingerprint=fingerprint,
        created_at=now,
    )
    await refunds.add(connection, refund)
    await outbox.put(connection, payment, Topic.REFUND, refund.id, traceparent_of())
    return refund


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """An organiser's wish. ``amount_agorot`` None: everything that is left."""

    amount_agorot: int | None
    idempotency_key: str

    @property
    def fingerprint(self) -> str:
        """What tells this body from another one with the same key."""
        return str(self.amount_agorot)


@dataclass(frozen=True, slots=True)
class Asked:
    """A refund, its payment's event, and whether an earlier request with its key asked for it."""

    refund: Refund
    event_id: UUID
    replayed: bool


class Refunds:
    """Gives money back."""

    def __init__(self, saga: Saga, rule: CancelRule) -> None:
        self._saga = saga
        self._rule = rule

    async def ask(self, key: PaymentKey, ask: Ask) -> Asked:
        """Owe what an organiser wants to give back. Raises NotCaptured, RefundTooLarge, IdempotencyKeyReused."""
        async with school_transaction(self._saga.engine, key.school) as connection:
            payment = next(one for one in await payments.lock_all(connection, key.registration_id) if one.id == key.id)
            known = await refunds.of_payment(connection, key.id)
            same = next((refund for refund in known if refund.idempotency_key == ask.idempotency_key), None)
            if same is not None and same.fingerprint != ask.fingerprint:
                raise IdempotencyKeyReused
            if same is not None:
                return Asked(same, payment.event_id, replayed=True)
            refund = await owe(
                connection,
                payment,
                payment.left_agorot if ask.amount_agorot is None else ask.amount_agorot,
                reason=RefundReason.ORGANISER,
                charge_id=payment.yaadpay_id,
                now=self._saga.now(),
                idempotency_key=ask.idempotency_key,
                fingerprint=ask.fingerprint,
            )
        await self._saga.steps.reached(Step.REFUND_STORED)
        return Asked(refund, payment.event_id, replayed=False)

    # Delivered by the outbox

    async def send(self, delivery: Delivery) -> Ending:
        """Take an owed refund one step on."""
        with self._saga.tracer.start_as_current_span(
            schema.PAYMENT_REFUND,
            attributes={schema.PAYMENT_ID: str(delivery.key.id), schema.SCHOOL_SLUG: delivery.key.school},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            payment, refund = await self._current(delivery.key, delivery.subject_id)
            span.set_attribute(schema.PAYMENT_AMOUNT, refund.amount_agorot)
            if refund.state not in OPEN_REFUNDS:
                return Done()
            if refund.state is RefundState.SENT and refund.method is Method.REFUND:
                # Whoever sent it was killed before the answer: money may have moved.
                return await self._give_up(refund, refund.unknown(None), "refund_interrupted")
            charge_id = refund.charge_id
            if not charge_id and refund.reason is not RefundReason.SURPLUS:
                # Its number may have come after the refund was owed; a surplus charge is never the payment's own.
                charge_id = payment.yaadpay_id
            if not charge_id:
                return await self._give_up(refund, refund, "charge_number_not_known")
            return await self._send(payment, refund, charge_id)

    async def _current(self, key: PaymentKey, refund_id: UUID) -> tuple[Payment, Refund]:
        async with school_transaction(self._saga.engine, key.school) as connection:
            return await payments.get(connection, key.id), await refunds.get(connection, refund_id)

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

    async def _send(self, payment: Payment, refund: Refund, charge_id: str) -> Ending:
        sent = refund.sent(self._method(payment, refund))
        if not await self._saved(payment, refund, sent):
            return Later("changed")
        await self._saga.steps.reached(Step.REFUND_INTENDED)
        if sent.method is Method.CANCEL:
            answer = await self._saga.yaadpay.cancel(charge_id)
        else:
            answer = await self._saga.yaadpay.refund(charge_id, refund.amount_agorot)
        await self._saga.steps.reached(Step.REFUND_ANSWERED)
        return await self._answered(payment, sent, answer)

    async def _saved(self, payment: Payment, before: Refund, after: Refund) -> bool:
        """Write ``after`` unless somebody else has changed it since ``before``."""
        async with school_transaction(self._saga.engine, payment.school) as connection:
            await payments.lock_all(connection, payment.registration_id)
            if await refunds.get(connection, before.id) != before:
                return False
            await refunds.save(connection, after)
            return True

    async def _answered(self, payment: Payment, sent: Refund, answer: Answer) -> Ending:
        match answer.outcome:
            case Outcome.DONE:
                await self._done(payment, sent, answer)
                return Done()
            case Outcome.NOT_SENT:
                await self._saved(payment, sent, sent.not_sent())
                return Later("not_sent")
            case Outcome.REFUSED:
                return await self._refused(payment, sent, answer)
            case Outcome.UNKNOWN:
                return await self._unknown(sent, answer)

    async def _done(self, payment: Payment, sent: Refund, answer: Answer) -> None:
        now = self._saga.now()
        async with school_transaction(self._saga.engine, payment.school) as connection:
            everything = await payments.lock_all(connection, payment.registration_id)
            current = next(one for one in everything if one.id == payment.id)
            refund = await refunds.get(connection, sent.id)
            if refund.state not in _AWAITED:
                return
            await refunds.save(connection, refund.done(answer.id, answer.ccode or 0, now))
            await self._book(connection, current, refund, answer.id, now)
            await escalations.resolve(
                connection, escalations.Kind.REFUND, refund.id, who="yaadpay", resolution="the answer came after all"
            )
        await self._saga.steps.reached(Step.REFUND_RECORDED)

    async def _book(
        self, connection: AsyncConnection, payment: Payment, refund: Refund, yaadpay_id: str, now: datetime
    ) -> None:
        if refund.reason is not RefundReason.SURPLUS:
            await payments.save(connection, payment.refund_done(refund.amount_agorot))
        if yaadpay_id:
            await payments.number(
                connection,
                payment,
                yaadpay_id,
                Role.REFUND,
                ccode=0,
                amount_agorot=refund.amount_agorot,
                now=now,
            )

    async def _refused(self, payment: Payment, sent: Refund, answer: Answer) -> Ending:
        if sent.method is Method.REFUND:
            return await self._give_up(sent, sent.refused(answer.ccode), "refund_refused")
        if sent.tries > 1 or answer.ccode == CANCELLED:
            # The one before, whose answer was lost, or somebody in the portal may have undone it: a refund would be a
            # second one.
            return await self._give_up(sent, sent.unknown(answer.ccode), "undoing_not_known")
        await self._saved(payment, sent, sent.not_undone())
        return Later("transmitted")

    async def _unknown(self, sent: Refund, answer: Answer) -> Ending:
        if sent.method is Method.CANCEL and sent.tries < self._saga.money_tries:
            return Later("undoing_not_known")
        return await self._give_up(sent, sent.unknown(answer.ccode), "refund_not_known")

    async def _give_up(self, before: Refund, after: Refund, why: str) -> Ending:
        """Hand a refund to a person."""
        async with school_transaction(self._saga.engine, before.school) as connection:
            await payments.lock_all(connection, before.registration_id)
            if (await refunds.get(connection, before.id)).state is RefundState.DONE:
                return Done()
            await refunds.save(connection, after)
            await escalations.escalate(
                connection,
                school=before.school,
                kind=escalations.Kind.REFUND,
                subject_id=before.id,
                payment_id=before.payment_id,
                registration_id=before.registration_id,
                why=why,
            )
        _log.error("refund.escalated", refund_id=str(before.id), payment_id=str(before.payment_id), reason=why)
        return Done()
