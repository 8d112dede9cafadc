"""Finds what hangs with nobody at it and has it driven on; ends what nobody paid; tells how much is unsettled.

Normally it finds nothing: each hanging thing has its delivery in the outbox. This is for what no rule foresaw.
"""

from typing import Final

from ticketcap_observability import get_logger, schema, traceparent_of

from ticketcap_payment.domain.states import UNPAID
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.store import outbox, payments
from ticketcap_payment.store.directory import PaymentKey
from ticketcap_payment.store.outbox import Outbox
from ticketcap_payment.store.transactions import school_transaction
from ticketcap_payment.store.watchkeeping import Hanging, Watchkeeping

_DONE_SECONDS: Final = 7 * 86_400.0
"""How long rows of the outbox are kept after they are done."""

_log = get_logger(__name__)


class Reconciler:
    """``page_seconds``: how long a page may be paid on, before its payment counts as given up."""

    def __init__(self, saga: Saga, watchkeeping: Watchkeeping, box: Outbox, *, page_seconds: float) -> None:
        self._saga = saga
        self._watchkeeping = watchkeeping
        self._outbox = box
        self._page_seconds = page_seconds

    async def reconcile(self) -> None:
        """Look once."""
        for hanging in await self._watchkeeping.hanging():
            await self._drive_on(hanging)
        for key in await self._watchkeeping.unpaid(self._page_seconds):
            await self._expire(key)

    async def measure(self) -> None:
        """Tell how much is unsettled."""
        self._saga.metrics.backlog(
            await self._watchkeeping.unsettled(), await self._watchkeeping.escalated(), await self._outbox.lag_seconds()
        )

    async def clean(self) -> None:
        """Delete what has aged."""
        while await self._outbox.delete_aged(_DONE_SECONDS):
            pass

    async def _drive_on(self, hanging: Hanging) -> None:
        with self._saga.tracer.start_as_current_span(
            schema.PAYMENT_RECONCILE,
            attributes={schema.PAYMENT_ID: str(hanging.key.id), schema.OUTBOX_TOPIC: hanging.topic},
            record_exception=False,
        ):
            _log.warning("reconciler.hanging", payment_id=str(hanging.key.id), topic=hanging.topic)
            async with school_transaction(self._saga.engine, hanging.key.school) as connection:
                payment = await payments.get(connection, hanging.key.id)
                await outbox.put(connection, payment, hanging.topic, hanging.subject_id, traceparent_of())

    async def _expire(self, key: PaymentKey) -> None:
        async with school_transaction(self._saga.engine, key.school) as connection:
            everything = await payments.lock_all(connection, key.registration_id)
            payment = next(one for one in everything if one.id == key.id)
            if payment.state in UNPAID:
                # Charged on the page and never come back: in that mode nobody tells us.
                why = "not_paid" if self._saga.postpone else "not_returned"
                await payments.save(connection, payment.expired(why))
