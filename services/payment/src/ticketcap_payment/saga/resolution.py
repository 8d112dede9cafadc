"""What a person found in YaadPay's portal, put where the lost answer would have gone."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_chassis.errors import InvalidInput
from ticketcap_observability import get_logger, traceparent_of

from ticketcap_payment.domain.errors import NotEscalated
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import CAPTURING, CHARGED, NOT_CHARGED, RUNNING, UNPAID, RefundReason
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.store import escalations, outbox, payments, refunds, returns
from ticketcap_payment.store.directory import Directory
from ticketcap_payment.store.escalations import Escalations, Kind
from ticketcap_payment.store.outbox import Topic
from ticketcap_payment.store.payments import Role
from ticketcap_payment.store.returns import Verdict
from ticketcap_payment.store.transactions import school_transaction

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Whether money moved, under which number, and whether a refund that did not is to be sent again."""

    moved: bool
    yaadpay_id: str
    again: bool
    who: str


class Resolution:
    """Ends what waits for a person."""

    def __init__(self, saga: Saga, waiting: Escalations, directory: Directory) -> None:
        self._saga = saga
        self._waiting = waiting
        self._directory = directory

    async def resolve(self, kind: Kind, subject_id: UUID, finding: Finding) -> Payment | None:
        """Apply what was found and return the payment, None where there is none.

        Raises NotEscalated, and InvalidInput for what does not fit.
        """
        school, payment_id = await self._found(kind, subject_id, finding)
        async with school_transaction(self._saga.engine, school) as connection:
            if not await escalations.resolve(connection, kind, subject_id, who=finding.who, resolution=_told(finding)):
                raise NotEscalated(kind, str(subject_id))
            payment = await self._applied(connection, kind, subject_id, payment_id, finding)
        _log.info("escalation.resolved", kind=kind, subject_id=str(subject_id), who=finding.who)
        return payment

    async def _found(self, kind: Kind, subject_id: UUID, finding: Finding) -> tuple[str, UUID | None]:
        """Return the school and the payment of what waits; of money that nobody knew of, too, which is kept as well."""
        found = await self._waiting.school_of(kind, subject_id)
        if found is None and kind is Kind.PAYMENT and finding.moved:
            found = await self._unheard_of(subject_id)
        if found is None:
            raise NotEscalated(kind, str(subject_id))
        return found

    async def _unheard_of(self, payment_id: UUID) -> tuple[str, UUID | None] | None:
        """Charged on the page, and the customer's browser never came back: a person saw it in the portal."""
        key = await self._directory.payment(str(payment_id))
        async with school_transaction(self._saga.engine, key.school) as connection:
            payment = await payments.lock(connection, await payments.get(connection, payment_id))
            if payment.state not in NOT_CHARGED:
                return None
            await escalations.escalate_payment(connection, payment, "found_in_the_portal")
        return key.school, payment_id

    async def _applied(
        self, connection: AsyncConnection, kind: Kind, subject_id: UUID, payment_id: UUID | None, finding: Finding
    ) -> Payment | None:
        if payment_id is None:
            # A seat that nobody paid for: what the person did about it, the registration service knows.
            return None
        payment = await payments.lock(connection, await payments.get(connection, payment_id))
        match kind:
            case Kind.REFUND:
                return await self._refund(connection, payment, subject_id, finding)
            case Kind.RETURN:
                return await self._return(connection, payment, subject_id, finding)
            case _:
                return await self._payment(connection, payment, finding)

    async def _return(
        self, connection: AsyncConnection, payment: Payment, return_id: UUID, finding: Finding
    ) -> Payment:
        if finding.moved and not finding.again:
            raise InvalidInput.of("again", "must be true: money that came with a return counts when it is verified")
        if finding.again:
            await returns.judge(connection, return_id, Verdict.PENDING, self._saga.now())
            await outbox.put(connection, payment, Topic.VERIFY, return_id, traceparent_of())
        else:
            await returns.judge(connection, return_id, Verdict.FORGED, self._saga.now())
        return payment

    async def _payment(self, connection: AsyncConnection, payment: Payment, finding: Finding) -> Payment:
        if payment.state in CHARGED:
            # Its seat could not be confirmed: that goes on being tried.
            return payment
        if not finding.moved:
            if payment.state not in CAPTURING:
                return payment
            after = payment.failed("not_charged", payment.ccode)
            await payments.save(connection, after)
            return after
        if not finding.yaadpay_id:
            raise InvalidInput.of("yaadpay_id", "must be the number of the charge, which a refund needs")
        for other in await payments.lock_all(connection, payment.registration_id):
            if other.id != payment.id and other.state in UNPAID:
                await payments.save(connection, other.expired("superseded"))
            elif other.id != payment.id and other.state in RUNNING:
                raise InvalidInput.of("id", f"payment {other.id} has this registration's money; refund in the portal")
        after = payment.captured(finding.yaadpay_id, 0, self._saga.now())
        await payments.save(connection, after)
        await self._number(connection, after, finding.yaadpay_id, Role.CHARGE, after.amount_agorot)
        await outbox.put(connection, after, Topic.CONFIRM_SEAT, after.id, traceparent_of())
        return after

    async def _refund(
        self, connection: AsyncConnection, payment: Payment, refund_id: UUID, finding: Finding
    ) -> Payment:
        refund = await refunds.get(connection, refund_id)
        if finding.moved:
            await refunds.save(connection, refund.done(finding.yaadpay_id, 0, self._saga.now()))
            if finding.yaadpay_id:
                await self._number(connection, payment, finding.yaadpay_id, Role.REFUND, refund.amount_agorot)
            return await self._given_back(connection, payment, refund.reason, refund.amount_agorot)
        if not finding.again:
            raise InvalidInput.of("again", "must be true: what is owed and was not given back has to be sent")
        if not refund.charge_id and finding.yaadpay_id not in {"", payment.yaadpay_id}:
            role = Role.SURPLUS if refund.reason is RefundReason.SURPLUS else Role.CHARGE
            await self._number(connection, payment, finding.yaadpay_id, role, payment.amount_agorot)
        charge_id = refund.charge_id or finding.yaadpay_id
        await refunds.save(connection, refund.again(charge_id))
        await outbox.put(connection, payment, Topic.REFUND, refund.id, traceparent_of())
        return payment

    async def _given_back(
        self, connection: AsyncConnection, payment: Payment, reason: RefundReason, amount_agorot: int
    ) -> Payment:
        if reason is RefundReason.SURPLUS:
            return payment
        after = payment.refund_done(amount_agorot)
        await payments.save(connection, after)
        return after

    async def _number(
        self, connection: AsyncConnection, payment: Payment, yaadpay_id: str, role: Role, amount_agorot: int
    ) -> None:
        now = self._saga.now()
        if not await payments.number(
            connection, payment, yaadpay_id, role, ccode=0, amount_agorot=amount_agorot, now=now
        ):
            raise InvalidInput.of("yaadpay_id", "is another transaction's already; look again")


def _told(finding: Finding) -> str:
    return f"moved={finding.moved} yaadpay_id={finding.yaadpay_id or '-'} again={finding.again}"
