"""Deliver the outbox's due rows, in order per registration.

In one process a registration has at most one delivering task; across processes the lease of its oldest row decides.
A task belongs to no request: requests start it and wait for it, and their end never cancels it.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import UUID

from ticketcap_chassis import deadlines
from ticketcap_chassis.concurrency.fair_semaphore import FairSemaphore
from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import get_logger

from ticketcap_payment.saga.delivery import DeliveryResult, Done, Retry, pause_after
from ticketcap_payment.store.outbox import Delivery, DueWork, Outbox, Topic
from ticketcap_payment.telemetry import PaymentTelemetry, report_bug

Handlers = Mapping[Topic, Callable[[Delivery], Awaitable[DeliveryResult]]]

_CONCURRENT: Final = 48
_OF_EVENT: Final = 16
"""The share of one event: its deliveries may all wait for that event's seats at the registration service."""
_DUE: Final = 200
_ROWS_PER_TASK: Final = 20
"""Rows that one task delivers; the next task delivers the rest."""
_HUNG_SECONDS: Final = 300.0
"""Longer than all waits of one delivery together, those for YaadPay included."""
_WAIT_SECONDS: Final = 8.0
"""The time that a request waits for its deliveries; they continue after it."""
_SLACK_SECONDS: Final = 0.5
"""The part of the caller's time that is left for reading and sending the answer."""
_LOOK_SECONDS: Final = 0.05

_log = get_logger(__name__)


class Deliveries:
    """Delivers each row at least once, by the handler of its topic.

    A delivery that takes longer than ``seconds`` counts as hung and is retried.
    """

    def __init__(
        self, outbox: Outbox, telemetry: PaymentTelemetry, handlers: Handlers, *, seconds: float = _HUNG_SECONDS
    ) -> None:
        self._outbox = outbox
        self._telemetry = telemetry
        self._handlers = handlers
        self._seconds = seconds
        self._slots = FairSemaphore(_CONCURRENT, per_key=_OF_EVENT)
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._closed = False

    def start(self, work: DueWork, handlers: Handlers | None = None) -> "asyncio.Task[None]":
        """Start delivering a registration's due rows, or return the running task. ``handlers`` replace the usual ones.

        A task that runs already keeps its own handlers.
        """
        # No await between the look-up and the entry: two callers can't both start a task. A finished task stays until
        # its callback has run; a caller that gets it waits for nothing and calls again.
        task = self._tasks.get(work.registration_id)
        if task is None:
            # The task outlives its caller, so it must not inherit the caller's deadline.
            turn = self._deliver_all(work, {**self._handlers, **(handlers or {})})
            task = asyncio.create_task(turn, name=f"deliver {work.registration_id}", context=deadlines.without())
            self._tasks[work.registration_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(work.registration_id, None))
        return task

    async def start_due(self) -> None:
        """Start every due delivery that no worker holds; return immediately."""
        if not self._closed:
            for work in await self._outbox.due(_DUE, of_event=_OF_EVENT):
                self.start(work)

    async def finish(self, work: DueWork, handlers: Handlers | None = None) -> None:
        """Deliver a registration's rows until none is due or under way, or until the caller's time is nearly over."""
        until = time.monotonic() + deadlines.bounded(_WAIT_SECONDS) - _SLACK_SECONDS
        while (left := until - time.monotonic()) > 0:
            # ``wait``, not ``await task``: a cancelled caller must not cancel the task.
            await asyncio.wait([self.start(work, handlers)], timeout=left)
            if not await self._is_busy(work):
                return
            # Another process holds the lease, or a row became due meanwhile.
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self, seconds: float) -> None:
        """Let running deliveries finish within ``seconds``, then cancel the rest; another process repeats those."""
        self._closed = True
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            # Its row stays leased until the lease ends: a call to YaadPay may be under way.
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _is_busy(self, work: DueWork) -> bool:
        try:
            return await self._outbox.is_busy(work.school_id, work.registration_id)
        except ServiceError:
            return True

    async def _deliver_all(self, work: DueWork, handlers: Handlers) -> None:
        async with self._slots.slot(work.event_id):
            for _ in range(_ROWS_PER_TASK):
                if self._closed:
                    return
                try:
                    delivery = await self._outbox.lease(work.school_id, work.registration_id)
                except ServiceError as error:
                    _log.warning("outbox.not_leased", reason=error.reason)
                    return
                # A row that must be retried blocks the registration's later rows: the order is a promise.
                if delivery is None or not await self._deliver(delivery, handlers):
                    return

    async def _deliver(self, delivery: Delivery, handlers: Handlers) -> bool:
        """Deliver one row; return True when the next one may follow."""
        with self._telemetry.delivery(delivery.key, delivery.topic, delivery.traceparent):
            result = await self._handle(delivery, handlers)
            # If the database fails here the row is neither closed nor given back: its lease ends by itself, and the
            # repeated delivery finds its work done.
            with contextlib.suppress(ServiceError):
                if isinstance(result, Done):
                    await self._outbox.done(delivery)
                    return True
                pause = pause_after(delivery.tries)
                await self._outbox.postpone(delivery, pause)
                reason, tries = result.reason, delivery.tries
                _log.info("outbox.later", topic=delivery.topic, reason=reason, tries=tries, seconds=pause)
            return False

    async def _handle(self, delivery: Delivery, handlers: Handlers) -> DeliveryResult:
        try:
            async with asyncio.timeout(self._seconds):
                return await handlers[delivery.topic](delivery)
        except TimeoutError:
            _log.warning("outbox.not_delivered", topic=delivery.topic, reason="HUNG")
            return Retry("hung")
        except ServiceError as error:
            _log.warning("outbox.not_delivered", topic=delivery.topic, reason=error.reason)
            return Retry(error.reason)
        except Exception as error:  # noqa: BLE001 - one row's failure must not end the task
            _log.error("outbox.unexpected_error", topic=delivery.topic, exc_info=error)
            report_bug(error)
            return Retry("unexpected_error")
