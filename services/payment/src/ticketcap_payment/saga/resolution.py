"""Apply a person's finding in place of a lost answer."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_chassis.errors import InvalidInput
from ticketcap_observability import get_logger

from ticketcap_payment.domain.errors import NotEscalated
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import CAPTURING, CHARGED, NOT_CHARGED, RUNNING, UNPAID, RefundReason, Verdict
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.store import escalations, outbox, payments, refunds, returns
from ticketcap_payment.store.directory import Directory, as_uuid
from ticketcap_payment.store.escalations import Escalations, Kind
from ticketcap_payment.store.outbox import Topic
from ticketcap_payment.store.payments import Role

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A person's answer. ``resend``: send a refund again, or verify a return again. ``by`` is the person's id."""

    money_moved: bool
    yaadpay_id: str
    resend: bool
    by: str

    def __str__(self) -> str:
        """Return the text that the escalation stores."""
        return f"moved={self.money_moved} yaadpay_id={self.yaadpay_id or '-'} again={self.resend}"


class Resolution:
    """Resolves escalations."""

    def __init__(self, saga: Saga, open_: Escalations, directory: Directory) -> None:
        self._saga = saga
        self._open = open_
        self._directory = directory

    async def resolve(self, kind: Kind, subject: str, finding: Finding) -> Payment | None:
        """Apply a finding and return the payment, or None for a seat without one.

        Raises NotEscalated, and InvalidInput for a finding that contradicts the stored money.
        """
        subject_id = as_uuid(subject)
        if subject_id is None:
            raise NotEscalated(kind, subject)
        school_id, payment_id = await self._find(kind, subject_id, finding)
        async with self._saga.transaction(school_id) as connection:
            # Closing comes first: of two persons who resolve at once, the second one finds no open escalation.
            if not await escalations.resolve(
                connection, school_id, kind, subject_id, by=finding.by, resolution=str(finding)
            ):
                raise NotEscalated(kind, subject)
            payment = await self._apply(connection, kind, school_id, subject_id, payment_id, finding)
        _log.info("escalation.resolved", kind=kind, subject_id=str(subject_id), who=finding.by)
        return payment

    async def _find(self, kind: Kind, subject_id: UUID, finding: Finding) -> tuple[UUID, UUID | None]:
        """Return the school's id and the payment; escalate a charge first that this service never heard of."""
        found = await self._open.find(kind, subject_id)
        if found is None and kind is Kind.PAYMENT and finding.money_moved:
            found = await self._escalate_unreported(subject_id)
        if found is None:
            raise NotEscalated(kind, str(subject_id))
        return found

    async def _escalate_unreported(self, payment_id: UUID) -> tuple[UUID, UUID] | None:
        """Escalate a charge made on the page whose return never came; a person found it in the portal."""
        key = await self._directory.payment(str(payment_id))
        async with self._saga.transaction(key.school_id) as connection:
            if (await payments.lock(connection, key)).state not in NOT_CHARGED:
                return None
            await escalations.escalate_payment(connection, key, "found_in_the_portal")
        return key.school_id, payment_id

    async def _apply(
        self,
        connection: AsyncConnection,
        kind: Kind,
        school_id: UUID,
        subject_id: UUID,
        payment_id: UUID | None,
        finding: Finding,
    ) -> Payment | None:
        if payment_id is None:
            # A seat without a payment: the registration service has the person's correction.
            return None
        payment = await payments.lock(connection, (await payments.get(connection, school_id, payment_id)).key)
        match kind:
            case Kind.REFUND:
                return await self._apply_to_refund(connection, payment, subject_id, finding)
            case Kind.RETURN:
                return await self._apply_to_return(connection, payment, subject_id, finding)
            case _:
                return await self._apply_to_payment(connection, payment, finding)

    async def _apply_to_return(
        self, connection: AsyncConnection, payment: Payment, return_id: UUID, finding: Finding
    ) -> Payment:
        if finding.money_moved and not finding.resend:
            raise InvalidInput.of("again", "must be true: money that came with a return counts when it is verified")
        verdict = Verdict.PENDING if finding.resend else Verdict.FORGED
        await returns.record_verdict(connection, payment.school_id, return_id, verdict, self._saga.now())
        if finding.resend:
            await outbox.put(connection, payment, Topic.VERIFY, return_id)
        return payment

    async def _apply_to_payment(self, connection: AsyncConnection, payment: Payment, finding: Finding) -> Payment:
        if payment.state in CHARGED:
            # The escalation was about its seat, which the outbox keeps trying to confirm.
            return payment
        if not finding.money_moved:
            if payment.state not in CAPTURING:
                return payment
            after = payment.failed("not_charged", payment.ccode)
            await payments.save(connection, after)
            return after
        if not finding.yaadpay_id:
            raise InvalidInput.of("yaadpay_id", "must be the number of the charge, which a refund needs")
        for other in await payments.lock_all(connection, payment.school_id, payment.registration_id):
            if other.id != payment.id and other.state in UNPAID:
                await payments.save(connection, other.expired("superseded"))
            elif other.id != payment.id and other.state in RUNNING:
                raise InvalidInput.of("id", f"payment {other.id} has this registration's money; refund in the portal")
        after = payment.captured(finding.yaadpay_id, 0, self._saga.now())
        await payments.save(connection, after)
        await self._record(connection, after, finding, Role.CHARGE, after.amount_agorot)
        await outbox.put(connection, after, Topic.CONFIRM_SEAT, after.id)
        return after

    async def _apply_to_refund(
        self, connection: AsyncConnection, payment: Payment, refund_id: UUID, finding: Finding
    ) -> Payment:
        refund = await refunds.get(connection, payment.school_id, refund_id)
        if finding.money_moved:
            await refunds.save(connection, refund.done(finding.yaadpay_id, 0, self._saga.now()))
            if finding.yaadpay_id:
                await self._record(connection, payment, finding, Role.REFUND, refund.amount_agorot)
            if refund.reason is RefundReason.SURPLUS:
                return payment
            after = payment.refund_done(refund.amount_agorot)
            await payments.save(connection, after)
            return after
        if not finding.resend:
            raise InvalidInput.of("again", "must be true: an owed refund that did not move money must be sent")
        if not refund.charge_id and finding.yaadpay_id not in {"", payment.yaadpay_id}:
            if refund.reason is RefundReason.SURPLUS:
                await self._record(connection, payment, finding, Role.SURPLUS, payment.amount_agorot)
            else:
                payment = await self._record_charge_number(connection, payment, finding)
        await refunds.save(connection, refund.reopened(refund.charge_id or finding.yaadpay_id))
        await outbox.put(connection, payment, Topic.REFUND, refund.id)
        return payment

    async def _record_charge_number(self, connection: AsyncConnection, payment: Payment, finding: Finding) -> Payment:
        """Give the payment the number of its charge: its other refunds need it too."""
        if payment.yaadpay_id:
            raise InvalidInput.of("yaadpay_id", f"is not this payment's charge, which is {payment.yaadpay_id}")
        await self._record(connection, payment, finding, Role.CHARGE, payment.amount_agorot)
        after = payment.with_charge(finding.yaadpay_id)
        await payments.save(connection, after)
        return after

    async def _record(
        self, connection: AsyncConnection, payment: Payment, finding: Finding, role: Role, amount_agorot: int
    ) -> None:
        number, now = finding.yaadpay_id, self._saga.now()
        if not await payments.record_transaction(
            connection, payment, number, role, now=now, amount_agorot=amount_agorot
        ):
            raise InvalidInput.of("yaadpay_id", "belongs to another transaction; look it up in the portal again")
