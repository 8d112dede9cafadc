"""Process a customer's return from YaadPay: parse, match, store, verify, apply."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_observability import get_logger, schema, set_school, traceparent_of

from ticketcap_payment.domain.errors import ReturnRefused
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import NOT_CHARGED, UNPAID, PaymentState, RefundReason
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.delivery import Done, Ending, Later
from ticketcap_payment.saga.refunds import owe
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, outbox, payments, returns
from ticketcap_payment.store.directory import Directory
from ticketcap_payment.store.outbox import Delivery, Topic
from ticketcap_payment.store.payments import Role
from ticketcap_payment.store.returns import StoredReturn, Verdict
from ticketcap_payment.store.transactions import school_transaction
from ticketcap_payment.yaadpay.client import Verification
from ticketcap_payment.yaadpay.returned import Returned, ReturnUnreadable, read_return
from ticketcap_payment.yaadpay.wire import Pair

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """A return that is kept, of a payment; ``replayed`` when it was judged genuine before."""

    id: UUID
    payment: Payment
    replayed: bool


class Returns:
    """Takes returns in, and applies them when YaadPay has vouched for them."""

    def __init__(self, saga: Saga, directory: Directory, *, key: str) -> None:
        self._saga = saga
        self._directory = directory
        self._key = key
        # What was not stored of a return that is being served now: YaadPay is shown all of it the first time.
        self._whole: dict[UUID, Sequence[Pair]] = {}

    async def receive(self, raw: bytes) -> Received:
        """Compare a return with the stored intent and keep it. Raises ReturnRefused, counted; nothing is changed."""
        try:
            returned = read_return(raw)
            payment = await self._meant(returned)
            received = await self._kept(payment, returned)
        except ReturnUnreadable as error:
            raise self._refused(error.why) from None
        self._whole[received.id] = returned.pairs
        return received

    def forget(self, received: Received) -> None:
        """The request that brought this return is over."""
        self._whole.pop(received.id, None)

    async def must_be_genuine(self, received: Received) -> None:
        """Raise ReturnRefused when YaadPay has said that it did not send this return."""
        async with school_transaction(self._saga.engine, received.payment.school) as connection:
            stored = await returns.get(connection, received.id)
        if stored.verdict is Verdict.FORGED:
            raise ReturnRefused("verify", received.payment.order)

    async def _meant(self, returned: Returned) -> Payment:
        """Return the payment that a return is for, when everything that it says fits what was agreed."""
        key = await self._directory.by_order(returned.order)
        if key is None:
            raise ReturnUnreadable("order")
        set_school(key.school)
        async with school_transaction(self._saga.engine, key.school) as connection:
            payment = await payments.get(connection, key.id)
        self._must_fit(returned, payment)
        return payment

    def _must_fit(self, returned: Returned, payment: Payment) -> None:
        masof = self._saga.yaadpay.masof
        if payment.masof != masof or not returned.terminals <= {masof}:
            raise ReturnUnreadable("terminal")
        if returned.amount_agorot != payment.amount_agorot:
            raise ReturnUnreadable("amount")
        if not returned.currencies <= {payment.currency}:
            raise ReturnUnreadable("currency")
        if (self._saga.check_sign or not returned.is_complete) and not returned.is_signed_with(self._key):
            raise ReturnUnreadable("sign")

    async def _kept(self, payment: Payment, returned: Returned) -> Received:
        async with school_transaction(self._saga.engine, payment.school) as connection:
            locked = await payments.lock(connection, payment)
            stored = await returns.keep(connection, locked, returned.storable, self._saga.now())
            if stored.verdict is Verdict.PENDING:
                await outbox.put(connection, locked, Topic.VERIFY, stored.id, traceparent_of())
        if stored.verdict is Verdict.FORGED:
            raise ReturnUnreadable("verify")
        await self._saga.steps.reached(Step.RETURN_STORED)
        return Received(stored.id, locked, replayed=stored.verdict is Verdict.GENUINE)

    def _refused(self, why: str) -> ReturnRefused:
        self._saga.metrics.return_refused(why)
        _log.warning("payment.return_refused", reason=why)
        return ReturnRefused(why)

    # Delivered by the outbox

    async def verify(self, delivery: Delivery) -> Ending:
        """Ask YaadPay about a stored return, and apply what it says."""
        async with school_transaction(self._saga.engine, delivery.key.school) as connection:
            stored = await returns.get(connection, delivery.subject_id)
        if stored.verdict is not Verdict.PENDING:
            return Done()
        returned = read_return(stored.message.encode())
        match await self._verification(stored, returned):
            case Verification.UNKNOWN:
                return await self._unverified(delivery, stored)
            case Verification.FORGED:
                await self._judged_forged(delivery, stored)
            case Verification.GENUINE:
                await self._saga.steps.reached(Step.RETURN_VERIFIED)
                await self._apply(delivery, stored, returned)
        return Done()

    async def _verification(self, stored: StoredReturn, returned: Returned) -> Verification:
        # YaadPay does not vouch for a decline that lacks a field (200). Its Sign alone is enough: it moves no money,
        # and the page can still be paid on.
        if not returned.is_complete or (returned.is_postponed and not self._saga.verify_postponed):
            return Verification.GENUINE if returned.is_signed_with(self._key) else Verification.FORGED
        return await self._saga.yaadpay.verify(self._whole.get(stored.id, returned.pairs))

    async def _unverified(self, delivery: Delivery, stored: StoredReturn) -> Ending:
        if delivery.waiting_seconds < self._saga.give_up_seconds:
            return Later("unverified")
        await self._to_a_person(delivery, stored, "yaadpay_does_not_verify")
        return Done()

    async def _judged_forged(self, delivery: Delivery, stored: StoredReturn) -> None:
        self._saga.metrics.return_refused("verify")
        _log.error("payment.return_not_verified", payment_id=str(stored.payment_id), return_id=str(stored.id))
        async with school_transaction(self._saga.engine, delivery.key.school) as connection:
            await returns.judge(connection, stored.id, Verdict.FORGED, self._saga.now())
        # It fits what was agreed and, where that is checked, is signed with our key: a forgery, or our own credentials
        # are wrong.
        await self._to_a_person(delivery, stored, "fits_but_not_verified")

    async def _to_a_person(self, delivery: Delivery, stored: StoredReturn, why: str) -> None:
        async with school_transaction(self._saga.engine, delivery.key.school) as connection:
            await escalations.escalate(
                connection,
                school=delivery.key.school,
                kind=escalations.Kind.RETURN,
                subject_id=stored.id,
                payment_id=stored.payment_id,
                registration_id=delivery.key.registration_id,
                why=why,
            )

    async def _apply(self, delivery: Delivery, stored: StoredReturn, returned: Returned) -> None:
        async with school_transaction(self._saga.engine, delivery.key.school) as connection:
            everything = await payments.lock_all(connection, delivery.key.registration_id)
            payment = next(one for one in everything if one.id == stored.payment_id)
            others = [one for one in everything if one.id != payment.id]
            await returns.judge(connection, stored.id, Verdict.GENUINE, self._saga.now())
            await escalations.resolve(
                connection, escalations.Kind.RETURN, stored.id, who="yaadpay", resolution="verified after all"
            )
            after = await self._applied(connection, payment, others, returned)
        self._count(payment, after)
        await self._saga.steps.reached(Step.PAYMENT_AUTHORISED)
        span = trace.get_current_span()
        span.set_attribute(schema.PAYMENT_CCODE, returned.ccode)
        span.set_attribute(schema.PAYMENT_STATE, after.state)

    def _count(self, before: Payment, after: Payment) -> None:
        if after.state is before.state:
            return
        if after.state is PaymentState.CAPTURED:
            self._saga.metrics.completed(after.amount_agorot, after.currency)
        if after.state is PaymentState.FAILED:
            self._saga.metrics.failed(after.failure)

    async def _applied(
        self, connection: AsyncConnection, payment: Payment, others: Sequence[Payment], returned: Returned
    ) -> Payment:
        if not (returned.is_charged or returned.is_postponed):
            return await self._no_money(connection, payment, returned)
        taken = any(other.state not in NOT_CHARGED for other in others)
        if taken or payment.state not in NOT_CHARGED:
            return await self._surplus(connection, payment, returned)
        if not await self._numbered(connection, payment, returned, _role(returned)):
            return payment
        for other in others:
            if other.state in UNPAID:
                await payments.save(connection, other.expired("superseded"))
        return await self._paid(connection, payment, returned)

    async def _paid(self, connection: AsyncConnection, payment: Payment, returned: Returned) -> Payment:
        now = self._saga.now()
        if returned.is_charged:
            after, next_topic = payment.captured(returned.transaction, returned.ccode, now), Topic.CONFIRM_SEAT
        else:
            after, next_topic = payment.authorised(returned.transaction, returned.ccode, now), Topic.CAPTURE
        await payments.save(connection, after)
        await outbox.put(connection, after, next_topic, after.id, traceparent_of())
        return after

    async def _surplus(self, connection: AsyncConnection, payment: Payment, returned: Returned) -> Payment:
        """Somebody paid twice. A postponed card is left alone: it costs nobody anything. A charge is given back."""
        if not await self._numbered(connection, payment, returned, Role.SURPLUS):
            return payment
        _log.warning("payment.surplus", payment_id=str(payment.id), yaadpay_id=returned.transaction)
        if returned.is_charged:
            await owe(
                connection,
                payment,
                returned.amount_agorot,
                reason=RefundReason.SURPLUS,
                charge_id=returned.transaction,
                now=self._saga.now(),
            )
        return payment

    async def _no_money(self, connection: AsyncConnection, payment: Payment, returned: Returned) -> Payment:
        if returned.is_unknown and not self._saga.postpone:
            # Charged on the page or not: YaadPay itself does not say.
            await escalations.escalate_payment(connection, payment, "return_does_not_know")
            return payment
        if not await self._numbered(connection, payment, returned, Role.DECLINED) or payment.state not in UNPAID:
            return payment
        after = payment.failed("declined", returned.ccode)
        await payments.save(connection, after)
        return after

    async def _numbered(self, connection: AsyncConnection, payment: Payment, returned: Returned, role: Role) -> bool:
        """Keep the transaction's number; False when it came before. A decline may have none, or 0."""
        if role is Role.DECLINED and not int(returned.transaction or 0):
            return True
        return await payments.number(
            connection,
            payment,
            returned.transaction,
            role,
            ccode=returned.ccode,
            amount_agorot=returned.amount_agorot,
            now=self._saga.now(),
        )


def _role(returned: Returned) -> Role:
    return Role.CHARGE if returned.is_charged else Role.AUTHORISATION
