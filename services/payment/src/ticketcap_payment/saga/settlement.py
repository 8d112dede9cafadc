"""Settle a return, a refund or an escalation within the caller's time.

Each call writes its work to the outbox and waits for the deliveries. When the caller's time ends first, the call
returns the current state and the deliveries continue.
"""

from dataclasses import dataclass
from functools import partial

from ticketcap_payment.domain.payment import Payment, PaymentKey
from ticketcap_payment.domain.refund import Refund
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.deliveries import Deliveries
from ticketcap_payment.saga.refunds import RefundRequest, Refunds
from ticketcap_payment.saga.resolution import Finding, Resolution
from ticketcap_payment.saga.returns import Returns
from ticketcap_payment.store import payments
from ticketcap_payment.store.escalations import Kind
from ticketcap_payment.store.outbox import DueWork, Topic
from ticketcap_payment.store.payments import PaymentSnapshot
from ticketcap_payment.telemetry import describe_outcome, describe_return


@dataclass(frozen=True, slots=True)
class SettledReturn:
    """The payment after a return; ``replayed`` when the same return was verified before."""

    payment: Payment
    replayed: bool


@dataclass(frozen=True, slots=True)
class SettledRefund:
    """A refund and its payment; ``replayed`` when an earlier request with the same key made the refund."""

    refund: Refund
    snapshot: PaymentSnapshot
    replayed: bool


class Settlement:
    """Runs the calls that wait for deliveries."""

    def __init__(
        self, saga: Saga, returns: Returns, refunds: Refunds, resolution: Resolution, deliveries: Deliveries
    ) -> None:
        self._saga = saga
        self._returns = returns
        self._refunds = refunds
        self._resolution = resolution
        self._deliveries = deliveries

    async def settle_return(self, query: bytes) -> SettledReturn:
        """Process a customer's return: store, verify, charge, confirm the seat. Raises ReturnRefused."""
        with self._saga.telemetry.return_():
            received = await self._returns.receive(query)
            payment = received.payment
            describe_return(payment)
            # This request alone has the unsigned and the card fields, which are not stored. Another worker may verify
            # the stored fields first; Sign covers those.
            verify = {Topic.VERIFY: partial(self._returns.verify, received=received)}
            await self._deliveries.finish(_work_of(payment), verify)
            await self._returns.must_be_genuine(received)
            after = await payments.read(self._saga.engine, payment.key)
            describe_outcome(after.state)
            return SettledReturn(after, received.replayed)

    async def refund(self, key: PaymentKey, request: RefundRequest) -> SettledRefund:
        """Refund a payment. Raises NotCaptured, RefundTooLarge, IdempotencyKeyReused."""
        requested = await self._refunds.request(key, request)
        await self._deliveries.finish(DueWork(key.school_id, key.registration_id, requested.event_id))
        snapshot = await payments.snapshot(self._saga.engine, key)
        refund = next(refund for refund in snapshot.refunds if refund.id == requested.refund.id)
        return SettledRefund(refund, snapshot, requested.replayed)

    async def resolve(self, kind: Kind, subject: str, finding: Finding) -> PaymentSnapshot | None:
        """Apply a person's finding; return the payment, or None for a seat. Raises NotEscalated, InvalidInput."""
        payment = await self._resolution.resolve(kind, subject, finding)
        if payment is None:
            return None
        await self._deliveries.finish(_work_of(payment))
        return await payments.snapshot(self._saga.engine, payment.key)


def _work_of(payment: Payment) -> DueWork:
    return DueWork(payment.school_id, payment.registration_id, payment.event_id)
