"""Requeue stuck payments and expire abandoned ones.

Normally all unfinished work has its row in the outbox, and this job finds none. It covers faults that no rule foresaw.
"""

from typing import Final

from ticketcap_observability import get_logger

from ticketcap_payment.domain.payment import PaymentKey
from ticketcap_payment.domain.states import UNPAID
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.store import outbox, payments
from ticketcap_payment.store.backlog import Backlog, StuckWork
from ticketcap_payment.store.outbox import Outbox

_RETENTION_SECONDS: Final = 7 * 86_400.0
"""The age at which done rows of the outbox are deleted."""

_log = get_logger(__name__)


class Reconciler:
    """Looks after unfinished work. A payment that is unpaid for PAGE_SECONDS counts as abandoned."""

    def __init__(self, saga: Saga, backlog: Backlog, outbox_: Outbox) -> None:
        self._saga = saga
        self._backlog = backlog
        self._outbox = outbox_

    async def reconcile(self) -> None:
        """Requeue stuck work and expire abandoned payments once."""
        for work in await self._backlog.stuck():
            await self._requeue(work)
        for key in await self._backlog.abandoned(self._saga.settings.page_seconds):
            await self._expire(key)

    async def measure(self) -> None:
        """Report the backlog to the gauges."""
        self._saga.telemetry.backlog(
            await self._backlog.unsettled(), await self._backlog.escalated(), await self._outbox.lag_seconds()
        )

    async def clean(self) -> None:
        """Delete aged rows of the outbox."""
        while await self._outbox.delete_aged(_RETENTION_SECONDS):
            pass

    async def _requeue(self, work: StuckWork) -> None:
        with self._saga.telemetry.requeue(work.key, work.topic):
            _log.warning("reconciler.stuck", payment_id=str(work.key.id), topic=work.topic)
            async with self._saga.transaction(work.key.school_id) as connection:
                payment = await payments.get(connection, work.key.school_id, work.key.id)
                # A no-op if a request has written the row since: one row per topic and subject is open at most.
                await outbox.put(connection, payment, work.topic, work.subject_id)

    async def _expire(self, key: PaymentKey) -> None:
        async with self._saga.transaction(key.school_id) as connection:
            payment = await payments.lock(connection, key)
            # The customer may have paid between the query and the lock.
            if payment.state in UNPAID:
                # In immediate mode a customer may be charged and not return; then YaadPay reports nothing.
                await payments.save(connection, payment.expired("not_paid" if self._saga.postpone else "not_returned"))
