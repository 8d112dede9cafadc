"""From a hold to a page at YaadPay: the intent is stored first, with an Order of its own."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_observability import get_logger, schema, set_school, traceparent_of
from uuid_utils.compat import uuid7

from ticketcap_payment.domain.errors import (
    IdempotencyInFlight,
    IdempotencyKeyReused,
    PaymentOpening,
    PaymentRunning,
    TooManyPayments,
    YaadPayAway,
)
from ticketcap_payment.domain.intent import Hold
from ticketcap_payment.domain.order import new_order
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import NOT_CHARGED, RUNNING, UNPAID, PaymentState
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.steps import Step
from ticketcap_payment.store import payments
from ticketcap_payment.store.transactions import school_transaction
from ticketcap_payment.yaadpay.client import Page, YaadPayError

_ATTEMPTS: Final = 50
_FAILED_ATTEMPTS: Final = 500
"""A try whose page never opened is no attempt to pay; it only must not fill the table."""
_SIGNING: Final = timedelta(seconds=30)
"""How long the page of a new payment may take; after it whoever asks gets it made."""
_PAGE_LIFE: Final = timedelta(minutes=20)
"""YaadPay's own: after it a page says that it is over."""
_TITLE_LENGTH: Final = 60
_PAGE_AWAY: Final = "page_unavailable"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a customer asked for. ``language`` is HEB or ENG."""

    language: str
    idempotency_key: str

    def fingerprint(self, registration_id: UUID) -> str:
        """Return what tells this body from another one with the same key."""
        return hashlib.sha256(f"{registration_id} {self.language}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Opened:
    """A payment whose page is ready, and whether an earlier request with its key opened it."""

    payment: Payment
    replayed: bool


class Creation:
    """Opens payments."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga

    async def open(self, hold: Hold, wish: Wish) -> Opened:
        """Open a payment for a hold, or find the one that this key opened.

        Raises FreeEvent, HoldOver, NothingToPay, PaymentRunning, PaymentOpening, the IdempotencyKey errors,
        TooManyPayments and YaadPayAway.
        """
        with self._saga.tracer.start_as_current_span(
            schema.PAYMENT_CREATE, record_exception=False, set_status_on_exception=False
        ) as span:
            set_school(hold.school)
            opened = await self._stored(hold, wish)
            span.set_attribute(schema.PAYMENT_ID, str(opened.payment.id))
            span.set_attribute(schema.PAYMENT_AMOUNT, opened.payment.amount_agorot)
            await self._saga.steps.reached(Step.PAYMENT_STORED)
            if opened.payment.redirect_url:
                return opened
            return Opened(await self._with_page(opened.payment, hold), opened.replayed)

    async def _stored(self, hold: Hold, wish: Wish) -> Opened:
        async with school_transaction(self._saga.engine, hold.school) as connection:
            return await self._found_or_made(connection, hold, wish)

    async def _found_or_made(self, connection: AsyncConnection, hold: Hold, wish: Wish) -> Opened:
        known = await payments.lock_all(connection, hold.registration_id)
        same = next((payment for payment in known if payment.idempotency_key == wish.idempotency_key), None)
        if same is not None:
            return self._replayed(same, hold, wish)
        running = next((payment for payment in known if payment.state in RUNNING), None)
        if running is not None and running.state not in UNPAID:
            raise _running(running)
        payment = self._new(hold, wish)
        if running is not None:
            await self._give_way(connection, running)
        opened = sum(1 for payment in known if payment.redirect_url)
        if opened >= _ATTEMPTS or len(known) - opened >= _FAILED_ATTEMPTS:
            raise TooManyPayments(hold.registration_id, _ATTEMPTS)
        await payments.add(connection, payment)
        return Opened(payment, replayed=False)

    def _replayed(self, same: Payment, hold: Hold, wish: Wish) -> Opened:
        if same.fingerprint != wish.fingerprint(same.registration_id):
            raise IdempotencyKeyReused
        if same.state is PaymentState.CREATED and self._is_being_signed(same):
            raise IdempotencyInFlight
        if same.state not in NOT_CHARGED or not (same.redirect_url or same.state is PaymentState.CREATED):
            # It is paid, or being charged, or ended without a page: there is none to be sent to any more.
            raise _running(same)
        if not same.redirect_url:
            hold.amount_to_pay(self._saga.now())
        return Opened(same, replayed=bool(same.redirect_url))

    async def _give_way(self, connection: AsyncConnection, running: Payment) -> None:
        """Let a payment end whose page can't be paid on; raise PaymentRunning or PaymentOpening for every other one."""
        if running.state is PaymentState.REDIRECTED and running.created_at > self._saga.now() - _PAGE_LIFE:
            raise _running(running)
        if self._is_being_signed(running):
            raise PaymentOpening(running.registration_id)
        is_open = running.state is PaymentState.REDIRECTED
        await payments.save(connection, running.expired() if is_open else running.failed(_PAGE_AWAY))

    def _is_being_signed(self, payment: Payment) -> bool:
        return (
            payment.state is PaymentState.CREATED
            and not payment.failure
            and payment.created_at > self._saga.now() - _SIGNING
        )

    def _new(self, hold: Hold, wish: Wish) -> Payment:
        now = self._saga.now()
        return Payment(
            id=uuid7(),
            school=hold.school,
            registration_id=hold.registration_id,
            event_id=hold.event_id,
            order=new_order(),
            masof=self._saga.yaadpay.masof,
            amount_agorot=hold.amount_to_pay(now),
            currency=hold.currency,
            language=wish.language,
            idempotency_key=wish.idempotency_key,
            fingerprint=wish.fingerprint(hold.registration_id),
            created_at=now,
            traceparent=traceparent_of(),
        )

    async def _with_page(self, payment: Payment, hold: Hold) -> Payment:
        try:
            url = await self._saga.yaadpay.sign(_page(payment, hold, postpone=self._saga.postpone))
        except YaadPayError as error:
            _log.error("payment.page_unavailable", payment_id=str(payment.id), reason=str(error))
            self._saga.metrics.failed(_PAGE_AWAY)
            await self._not_opened(payment)
            raise YaadPayAway(payment.id) from error
        await self._saga.steps.reached(Step.PAGE_SIGNED)
        opened = payment.redirected(url)
        async with school_transaction(self._saga.engine, payment.school) as connection:
            if not await payments.redirect(connection, opened):
                raise _running(await payments.get(connection, payment.id))
        self._saga.metrics.created()
        trace.get_current_span().set_attribute(schema.PAYMENT_STATE, opened.state)
        return opened

    async def _not_opened(self, payment: Payment) -> None:
        """Let the next request make the page at once."""
        async with school_transaction(self._saga.engine, payment.school) as connection:
            current = await payments.lock(connection, payment)
            if current.state is PaymentState.CREATED:
                await payments.save(connection, current.without_page(_PAGE_AWAY))


def _running(payment: Payment) -> PaymentRunning:
    """Return what to say of a payment that is there already, with its page while that may be paid on."""
    url = payment.redirect_url if payment.state is PaymentState.REDIRECTED else ""
    return PaymentRunning(payment.registration_id, payment.id, payment.state, url)


def _page(payment: Payment, hold: Hold, *, postpone: bool) -> Page:
    return Page(
        order=payment.order,
        amount_agorot=payment.amount_agorot,
        currency=payment.currency,
        # Whole at the end, whatever the title's length: the portal finds a payment by it.
        info=f"{hold.title[:_TITLE_LENGTH]} {payment.order}",
        client_name=hold.name,
        language=payment.language,
        postpone=postpone,
    )
