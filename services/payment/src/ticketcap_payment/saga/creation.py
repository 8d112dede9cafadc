"""Open a payment: store the intent, then have YaadPay sign a page."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_chassis.tagged_ids import tagged_uuid7
from ticketcap_observability import get_logger

from ticketcap_payment.domain.errors import (
    IdempotencyInFlight,
    IdempotencyKeyReused,
    PageUnavailable,
    PaymentOpening,
    PaymentRunning,
    TooManyPayments,
)
from ticketcap_payment.domain.hold import Hold
from ticketcap_payment.domain.order import new_order
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import NOT_CHARGED, RUNNING, UNPAID, PaymentState
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.steps import Step
from ticketcap_payment.store import payments
from ticketcap_payment.telemetry import current_traceparent, describe_payment, describe_school
from ticketcap_payment.yaadpay.client import Page, YaadPayError

_ATTEMPTS: Final = 50
_FAILED_ATTEMPTS: Final = 500
"""A payment whose page never opened does not count as an attempt; this limit only bounds the table."""
_SIGNING: Final = timedelta(seconds=30)
"""The time for signing a new payment's page; after it, the next request signs the page."""
_PAGE_LIFE: Final = timedelta(minutes=20)
"""YaadPay's own limit; an older page only says that it has expired."""
_TITLE_LENGTH: Final = 60
_PAGE_UNAVAILABLE: Final = "page_unavailable"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequest:
    """A customer's request to pay. ``language`` is HEB or ENG."""

    language: str
    idempotency_key: str

    def fingerprint(self, registration_id: UUID) -> str:
        """Return the digest that differs for another body with the same key."""
        return hashlib.sha256(f"{registration_id} {self.language}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OpenPayment:
    """A payment with its page; ``replayed`` when an earlier request with the same key opened it."""

    payment: Payment
    replayed: bool


class Creation:
    """Opens payments."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga

    async def open(self, hold: Hold, request: PaymentRequest) -> OpenPayment:
        """Open a payment for a hold, or find the one that this key opened.

        Raises FreeEvent, HoldExpired, NotAHold, PaymentRunning, PaymentOpening, IdempotencyKeyReused,
        IdempotencyInFlight, TooManyPayments and PageUnavailable.
        """
        with self._saga.telemetry.creation():
            describe_school(hold.school_slug, hold.school_id, hold.school_synthetic)
            await self._saga.schools.store(hold.school_id, hold.school_slug, synthetic=hold.school_synthetic)
            async with self._saga.transaction(hold.school_id) as connection:
                opened = await self._find_or_add(connection, hold, request)
            describe_payment(opened.payment)
            await self._saga.steps.reached(Step.PAYMENT_STORED)
            if opened.payment.redirect_url:
                return opened
            return OpenPayment(await self._open_page(opened.payment, hold), opened.replayed)

    async def _find_or_add(self, connection: AsyncConnection, hold: Hold, request: PaymentRequest) -> OpenPayment:
        # The lock makes the checks and the insert one step: concurrent requests can't both find no running payment.
        existing = await payments.lock_all(connection, hold.school_id, hold.registration_id)
        same = next((payment for payment in existing if payment.idempotency_key == request.idempotency_key), None)
        if same is not None:
            return self._replay(same, hold, request)
        running = next((payment for payment in existing if payment.state in RUNNING), None)
        if running is not None and running.state not in UNPAID:
            raise _running(running)
        payment = self._new(hold, request)
        if running is not None:
            await self._end_stale(connection, running)
        pages = sum(1 for payment in existing if payment.redirect_url)
        if pages >= _ATTEMPTS or len(existing) - pages >= _FAILED_ATTEMPTS:
            raise TooManyPayments(hold.registration_id, _ATTEMPTS)
        await payments.add(connection, payment)
        return OpenPayment(payment, replayed=False)

    def _replay(self, same: Payment, hold: Hold, request: PaymentRequest) -> OpenPayment:
        if same.fingerprint != request.fingerprint(same.registration_id):
            raise IdempotencyKeyReused
        if same.state is PaymentState.CREATED and self._is_being_signed(same):
            raise IdempotencyInFlight
        if same.state not in NOT_CHARGED or not (same.redirect_url or same.state is PaymentState.CREATED):
            # It is paid, or being charged, or it ended without a page: there is no page to send the customer to.
            raise _running(same)
        if not same.redirect_url:
            # Its page is still to be signed, so the hold must still be payable.
            hold.amount_to_pay(self._saga.now())
        return OpenPayment(same, replayed=bool(same.redirect_url))

    async def _end_stale(self, connection: AsyncConnection, running: Payment) -> None:
        """End a payment whose page can no longer be paid on; raise PaymentRunning or PaymentOpening for any other."""
        if running.state is PaymentState.REDIRECTED and running.created_at > self._saga.now() - _PAGE_LIFE:
            raise _running(running)
        if self._is_being_signed(running):
            raise PaymentOpening(running.registration_id)
        has_page = running.state is PaymentState.REDIRECTED
        await payments.save(connection, running.expired() if has_page else running.failed(_PAGE_UNAVAILABLE))

    def _is_being_signed(self, payment: Payment) -> bool:
        is_new = payment.created_at > self._saga.now() - _SIGNING
        return payment.state is PaymentState.CREATED and not payment.failure and is_new

    def _new(self, hold: Hold, request: PaymentRequest) -> Payment:
        now = self._saga.now()
        return Payment(
            id=tagged_uuid7(hold.school_id),
            school_slug=hold.school_slug,
            school_id=hold.school_id,
            school_synthetic=hold.school_synthetic,
            registration_id=hold.registration_id,
            event_id=hold.event_id,
            order=new_order(hold.school_id),
            masof=self._saga.yaadpay.masof,
            amount_agorot=hold.amount_to_pay(now),
            currency=hold.currency,
            language=request.language,
            idempotency_key=request.idempotency_key,
            fingerprint=request.fingerprint(hold.registration_id),
            created_at=now,
            traceparent=current_traceparent(),
        )

    async def _open_page(self, payment: Payment, hold: Hold) -> Payment:
        try:
            url = await self._saga.yaadpay.sign(_page(payment, hold, postpone=self._saga.postpone))
        except YaadPayError as error:
            _log.error("payment.page_unavailable", payment_id=str(payment.id), reason=str(error))
            self._saga.telemetry.failed(_PAGE_UNAVAILABLE)
            await self._release(payment)
            raise PageUnavailable(payment.id) from error
        await self._saga.steps.reached(Step.PAGE_SIGNED)
        opened = payment.redirected(url)
        async with self._saga.transaction(payment.school_id) as connection:
            # Another request may have ended this payment, or stored a page of its own, while YaadPay signed this one.
            if not await payments.redirect(connection, opened):
                raise _running(await payments.get(connection, payment.school_id, payment.id))
        self._saga.telemetry.page_opened(opened)
        return opened

    async def _release(self, payment: Payment) -> None:
        """Let the next request sign the page without waiting."""
        async with self._saga.transaction(payment.school_id) as connection:
            current = await payments.lock(connection, payment.key)
            if current.state is PaymentState.CREATED:
                await payments.save(connection, current.page_failed(_PAGE_UNAVAILABLE))


def _running(payment: Payment) -> PaymentRunning:
    """Return the error about an existing payment, with its page while the page can be paid on."""
    url = payment.redirect_url if payment.state is PaymentState.REDIRECTED else ""
    return PaymentRunning(payment.registration_id, payment.id, payment.state, url)


def _page(payment: Payment, hold: Hold, *, postpone: bool) -> Page:
    return Page(
        order=payment.order,
        amount_agorot=payment.amount_agorot,
        currency=payment.currency,
        # The Order comes last and whole, however long the title is: the portal searches by it.
        info=f"{hold.title[:_TITLE_LENGTH]} {payment.order}",
        client_name=hold.name,
        language=payment.language,
        postpone=postpone,
    )
