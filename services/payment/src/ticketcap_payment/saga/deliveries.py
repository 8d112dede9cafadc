"""Takes the outbox on: what is due for a registration, in order, each delivery under a span linked to its cause."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer
from ticketcap_chassis import deadlines
from ticketcap_chassis.concurrency.fair_semaphore import FairSemaphore
from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import context_from_traceparent, get_logger, schema, sentry, set_school

from ticketcap_payment.saga.delivery import Done, Ending, Later, pause_after
from ticketcap_payment.store.outbox import Delivery, Outbox, Topic

Deliver = Callable[[Delivery], Awaitable[Ending]]

_AT_ONCE: Final = 48
_OF_EVENT: Final = 16
"""Of those, of one event: each may wait for that event's seats at the registration service."""
_DUE: Final = 200
_STEPS: Final = 20
"""Deliveries that one turn takes on for one registration; what is left has the next turn."""
_HUNG_SECONDS: Final = 300.0
"""Longer than all waits of a delivery together may take, those for YaadPay included."""

_log = get_logger(__name__)


class Deliveries:
    """Delivers at least once. ``deliver`` says who does what; a delivery that takes longer than ``seconds`` hangs."""

    def __init__(
        self, outbox: Outbox, tracer: Tracer, deliver: Mapping[Topic, Deliver], *, seconds: float = _HUNG_SECONDS
    ) -> None:
        self._outbox = outbox
        self._tracer = tracer
        self._deliver = deliver
        self._seconds = seconds
        self._slots = FairSemaphore(_AT_ONCE, per_key=_OF_EVENT)
        self._under_way: dict[UUID, asyncio.Task[None]] = {}
        self._closed = False

    def start(self, registration_id: UUID, event_id: UUID) -> "asyncio.Task[None]":
        """Take on what is due for a registration of an event. The task goes on when its caller leaves."""
        task = self._under_way.get(registration_id)
        if task is None:
            # Whoever asked may leave, or have little time: the work has its own.
            task = asyncio.create_task(self._drive(registration_id, event_id), context=deadlines.without())
            self._under_way[registration_id] = task
            task.add_done_callback(lambda _: self._under_way.pop(registration_id, None))
        return task

    async def start_due(self) -> None:
        """Take on whatever is due and nobody is at. Does not wait for it."""
        if not self._closed:
            for registration_id, event_id in await self._outbox.due(_DUE, of_event=_OF_EVENT):
                self.start(registration_id, event_id)

    async def close(self, seconds: float) -> None:
        """Let what is under way finish within ``seconds``; what does not is delivered again by whoever comes next."""
        self._closed = True
        tasks = list(self._under_way.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _drive(self, registration_id: UUID, event_id: UUID) -> None:
        async with self._slots.slot(event_id):
            for _ in range(_STEPS):
                if self._closed:
                    return
                try:
                    delivery = await self._outbox.lease(registration_id)
                except ServiceError as error:
                    _log.warning("outbox.not_leased", reason=error.reason)
                    return
                if delivery is None or not await self._one(delivery):
                    return

    async def _one(self, delivery: Delivery) -> bool:
        """Deliver one row; True when the next one may follow at once."""
        with sentry.scope(f"outbox {delivery.topic}"), self._span(delivery):
            set_school(delivery.key.school)
            ending = await self._ended(delivery)
            # Not closed, not given back: its lease ends by itself.
            with contextlib.suppress(ServiceError):
                if isinstance(ending, Done):
                    await self._outbox.done(delivery)
                    return True
                pause = pause_after(delivery.tries)
                await self._outbox.postpone(delivery, pause)
                _log.info("outbox.later", topic=delivery.topic, reason=ending.why, tries=delivery.tries, seconds=pause)
            return False

    async def _ended(self, delivery: Delivery) -> Ending:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._deliver[delivery.topic](delivery)
        except TimeoutError:
            _log.warning("outbox.not_delivered", topic=delivery.topic, reason="HUNG")
            return Later("hung")
        except ServiceError as error:
            _log.warning("outbox.not_delivered", topic=delivery.topic, reason=error.reason)
            return Later(error.reason)
        except Exception as error:  # noqa: BLE001 - one row's failure never ends the work on the others
            _log.error("outbox.unexpected_error", topic=delivery.topic, exc_info=error)
            span = trace.get_current_span()
            span.record_exception(error)
            span.set_status(StatusCode.ERROR)
            sentry.report(error)
            return Later("unexpected_error")

    def _span(self, delivery: Delivery) -> contextlib.AbstractContextManager[Span]:
        """A child of the request that waits for it, or a trace of its own; linked to what caused it."""
        cause = context_from_traceparent(delivery.traceparent)
        links = [Link(trace.get_current_span(cause).get_span_context())] if cause else []
        return self._tracer.start_as_current_span(
            schema.OUTBOX_DELIVER,
            kind=SpanKind.CONSUMER,
            links=links,
            attributes={schema.OUTBOX_TOPIC: delivery.topic, schema.PAYMENT_ID: str(delivery.key.id)},
            record_exception=False,
            set_status_on_exception=False,
        )
