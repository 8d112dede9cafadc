"""Process a customer's return from YaadPay: parse, match, store, verify, apply."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_observability import get_logger

from ticketcap_payment.domain.errors import ReturnRefused
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import NOT_CHARGED, UNPAID, RefundReason, Verdict
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.delivery import DeliveryResult, Done, Retry
from ticketcap_payment.saga.refunds import owe
from ticketcap_payment.steps import Step
from ticketcap_payment.store import escalations, outbox, payments, returns
from ticketcap_payment.store.directory import Directory
from ticketcap_payment.store.escalations import Kind
from ticketcap_payment.store.outbox import Delivery, Topic
from ticketcap_payment.store.payments import Role
from ticketcap_payment.telemetry import describe_school
from ticketcap_payment.yaadpay.client import Verification
from ticketcap_payment.yaadpay.return_query import InvalidReturn, Return, parse_return

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReceivedReturn:
    """A stored return with all of its fields; ``replayed`` when it was verified as genuine before."""

    id: UUID
    payment: Payment
    fields: Return
    replayed: bool


class Returns:
    """Receives returns, and applies the ones that YaadPay confirms."""

    def __init__(self, saga: Saga, directory: Directory) -> None:
        self._saga = saga
        self._directory = directory
        self._key = saga.settings.yaadpay_key.get_secret_value()

    async def receive(self, query: bytes) -> ReceivedReturn:
        """Match a return with the stored intent and store it. Raises ReturnRefused, and then changes nothing."""
        try:
            fields = parse_return(query)
            payment = await self._find_payment(fields)
            self._must_match(fields, payment)
            return await self._store(payment, fields)
        except InvalidReturn as error:
            self._saga.telemetry.return_refused(error.reason)
            _log.warning("payment.return_refused", reason=error.reason)
            raise ReturnRefused(error.reason) from None

    async def must_be_genuine(self, received: ReceivedReturn) -> None:
        """Raise ReturnRefused when YaadPay denies that it sent this return."""
        async with self._saga.transaction(received.payment.school_id) as connection:
            stored = await returns.get(connection, received.payment.school_id, received.id)
        if stored.verdict is Verdict.FORGED:
            raise ReturnRefused("verify", received.payment.order)

    async def _find_payment(self, fields: Return) -> Payment:
        key = await self._directory.by_order(fields.order)
        if key is None:
            raise InvalidReturn("order")
        describe_school(key.school_slug, key.school_id, key.school_synthetic)
        return await payments.read(self._saga.engine, key)

    def _must_match(self, fields: Return, payment: Payment) -> None:
        masof = self._saga.yaadpay.masof
        if payment.masof != masof or not fields.terminals <= {masof}:
            raise InvalidReturn("terminal")
        if fields.amount_agorot != payment.amount_agorot:
            raise InvalidReturn("amount")
        if not fields.currencies <= {payment.currency}:
            raise InvalidReturn("currency")
        if (self._saga.settings.yaadpay_check_sign or not fields.is_complete) and not fields.is_signed_with(self._key):
            raise InvalidReturn("sign")

    async def _store(self, payment: Payment, fields: Return) -> ReceivedReturn:
        async with self._saga.transaction(payment.school_id) as connection:
            locked = await payments.lock(connection, payment.key)
            stored = await returns.store(connection, locked, fields.storable, self._saga.now())
            if stored.verdict is Verdict.PENDING:
                await outbox.put(connection, locked, Topic.VERIFY, stored.id)
        if stored.verdict is Verdict.FORGED:
            raise InvalidReturn("verify")
        await self._saga.steps.reached(Step.RETURN_STORED)
        return ReceivedReturn(stored.id, locked, fields, replayed=stored.verdict is Verdict.GENUINE)

    # Delivered by the outbox

    async def verify(self, delivery: Delivery, received: ReceivedReturn | None = None) -> DeliveryResult:
        """Have YaadPay verify a stored return, and apply it.

        ``received`` has the fields that are not stored, if the return is the one that the current request brought.
        """
        async with self._saga.transaction(delivery.key.school_id) as connection:
            stored = await returns.get(connection, delivery.key.school_id, delivery.subject_id)
        if stored.verdict is not Verdict.PENDING:
            return Done()
        fields = parse_return(stored.message.encode())
        whole = received.fields if received is not None and received.id == stored.id else fields
        match await self._verification(fields, whole):
            case Verification.UNKNOWN:
                return await self._retry(delivery)
            case Verification.FORGED:
                await self._record_forged(delivery)
            case Verification.GENUINE:
                await self._saga.steps.reached(Step.RETURN_VERIFIED)
                await self._apply(delivery, fields)
        return Done()

    async def _verification(self, fields: Return, whole: Return) -> Verification:
        # YaadPay does not verify a decline that lacks a field (200). Its Sign alone is enough: it moves no money, and
        # the page can still be paid on.
        if not fields.is_complete or (fields.is_postponed and not self._saga.settings.yaadpay_verify_postponed):
            return Verification.GENUINE if fields.is_signed_with(self._key) else Verification.FORGED
        return await self._saga.yaadpay.verify(whole.pairs)

    async def _retry(self, delivery: Delivery) -> DeliveryResult:
        if delivery.waiting_seconds < self._saga.settings.give_up_seconds:
            return Retry("unverified")
        async with self._saga.transaction(delivery.key.school_id) as connection:
            await self._escalate(connection, delivery, "yaadpay_does_not_verify")
        return Done()

    async def _record_forged(self, delivery: Delivery) -> None:
        self._saga.telemetry.return_refused("verify")
        payment_id, return_id = str(delivery.key.id), str(delivery.subject_id)
        _log.error("payment.return_not_verified", payment_id=payment_id, return_id=return_id)
        async with self._saga.transaction(delivery.key.school_id) as connection:
            await self._record_verdict(connection, delivery, Verdict.FORGED)
            # It matches the intent and, where Sign is checked, is signed with our key. Either it is forged by one who
            # has the key, or our own credentials are wrong.
            await self._escalate(connection, delivery, "fits_but_not_verified")

    async def _record_verdict(self, connection: AsyncConnection, delivery: Delivery, verdict: Verdict) -> None:
        school_id, return_id = delivery.key.school_id, delivery.subject_id
        await returns.record_verdict(connection, school_id, return_id, verdict, self._saga.now())

    async def _escalate(self, connection: AsyncConnection, delivery: Delivery, why: str) -> None:
        await escalations.escalate(connection, Kind.RETURN, delivery.subject_id, delivery.key, why)

    async def _apply(self, delivery: Delivery, fields: Return) -> None:
        # One transaction holds the verdict, the payment's new state and the next row of the outbox. A process that
        # dies before the commit leaves the return PENDING, and the repeated delivery verifies it once more.
        async with self._saga.transaction(delivery.key.school_id) as connection:
            existing = await payments.lock_all(connection, delivery.key.school_id, delivery.key.registration_id)
            payment = payments.one_of(existing, delivery.key.id)
            others = [other for other in existing if other.id != payment.id]
            await self._record_verdict(connection, delivery, Verdict.GENUINE)
            school_id, resolution = delivery.key.school_id, "verified after all"
            await escalations.resolve(
                connection, school_id, Kind.RETURN, delivery.subject_id, by="yaadpay", resolution=resolution
            )
            after = await self._apply_to(connection, payment, others, fields)
        self._saga.telemetry.return_applied(payment, after, fields.ccode)
        await self._saga.steps.reached(Step.PAYMENT_AUTHORISED)

    async def _apply_to(
        self, connection: AsyncConnection, payment: Payment, others: Sequence[Payment], fields: Return
    ) -> Payment:
        if not (fields.is_charged or fields.is_postponed):
            return await self._decline(connection, payment, fields)
        is_paid = any(other.state not in NOT_CHARGED for other in others)
        if is_paid or payment.state not in NOT_CHARGED:
            return await self._return_surplus(connection, payment, fields)
        if not await self._record(
            connection, payment, fields, Role.CHARGE if fields.is_charged else Role.AUTHORISATION
        ):
            return payment
        for other in others:
            if other.state in UNPAID:
                await payments.save(connection, other.expired("superseded"))
        now = self._saga.now()
        if fields.is_charged:
            after, next_topic = payment.captured(fields.transaction, fields.ccode, now), Topic.CONFIRM_SEAT
        else:
            after, next_topic = payment.authorised(fields.transaction, fields.ccode, now), Topic.CAPTURE
        await payments.save(connection, after)
        await outbox.put(connection, after, next_topic, after.id)
        return after

    async def _return_surplus(self, connection: AsyncConnection, payment: Payment, fields: Return) -> Payment:
        """Refund a second charge. A second postponed card is left alone: it is never charged."""
        if not await self._record(connection, payment, fields, Role.SURPLUS):
            return payment
        _log.warning("payment.surplus", payment_id=str(payment.id), yaadpay_id=fields.transaction)
        if fields.is_charged:
            amount, charge_id = fields.amount_agorot, fields.transaction
            await owe(self._saga, connection, payment, amount, RefundReason.SURPLUS, charge_id=charge_id)
        return payment

    async def _decline(self, connection: AsyncConnection, payment: Payment, fields: Return) -> Payment:
        if fields.is_unknown and not self._saga.postpone:
            # In this mode the page charges, and YaadPay itself does not know whether it did.
            await escalations.escalate_payment(connection, payment.key, "return_does_not_know")
            return payment
        # A decline may have no transaction number, or 0.
        has_number = bool(int(fields.transaction or 0))
        if has_number and not await self._record(connection, payment, fields, Role.DECLINED):
            return payment
        if payment.state not in UNPAID:
            return payment
        after = payment.failed("declined", fields.ccode)
        await payments.save(connection, after)
        return after

    async def _record(self, connection: AsyncConnection, payment: Payment, fields: Return, role: Role) -> bool:
        """Record the return's transaction number; return False when it is recorded already."""
        return await payments.record_transaction(
            connection,
            payment,
            fields.transaction,
            role,
            now=self._saga.now(),
            ccode=fields.ccode,
            amount_agorot=fields.amount_agorot,
        )
