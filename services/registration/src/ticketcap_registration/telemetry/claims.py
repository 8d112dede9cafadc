"""Trace and measure claims and cancellations."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, Tracer
from ticketcap_chassis.errors import Busy, DeadlineExceeded, InternalError, ServiceError, Unavailable
from ticketcap_observability import (
    Telemetry,
    context_from_traceparent,
    schema,
    school_attributes,
    sentry,
    set_school,
)

from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.domain.ledger import ClaimAnswer, Decision

_SERVICE_FAULTS: Final = (Busy, DeadlineExceeded, InternalError, Unavailable)
"""Errors that a claim fails with; every other ServiceError is a rule's refusal."""


class ClaimTelemetry:
    """Makes the spans ``registration.create`` and ``registration.cancel``."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._tracer = telemetry.tracer
        self._duration = telemetry.histogram(schema.REGISTRATION_DURATION)

    @contextmanager
    def claim(self, school_slug: str, spots: int, traceparent: str = "") -> Iterator["ObservedClaim"]:
        """Observe the code inside as one claim, as a child of ``traceparent`` or of the current span."""
        with (
            sentry.scope(schema.CREATE),
            self._tracer.start_as_current_span(
                schema.CREATE,
                context=context_from_traceparent(traceparent) if traceparent else None,
                attributes={schema.SPOTS: spots},
            ) as span,
        ):
            set_school(school_slug)
            observed, began = ObservedClaim(self._tracer, span, spots), time.perf_counter()
            try:
                yield observed
            except BaseException as error:
                observed.outcome = _outcome_of(error)
                raise
            finally:
                self._duration.record(time.perf_counter() - began, outcome=observed.outcome)

    @contextmanager
    def cancellation(self, event: EventKey) -> Iterator[None]:
        """Observe the code inside as one cancellation."""
        with self._tracer.start_as_current_span(
            schema.CANCEL,
            attributes={
                schema.EVENT_ID: str(event.id),
                **school_attributes(event.school.slug, event.school.id, event.school.synthetic),
            },
        ):
            yield


class ObservedClaim:
    """One claim's span. ``outcome`` is the label of its duration."""

    __slots__ = ("_span", "_spots", "_tracer", "outcome")

    def __init__(self, tracer: Tracer, span: Span, spots: int) -> None:
        self._tracer = tracer
        self._span = span
        self._spots = spots
        self.outcome = "failed"

    def event_found(self, event: EventKey) -> None:
        """Name the event whose capacity is checked next."""
        self._span.set_attribute(schema.EVENT_ID, str(event.id))
        set_school(event.school.slug, event.school.id, event.school.synthetic)
        sentry.set_event(str(event.id))
        sentry.breadcrumb("registration", "capacity check", event_id=str(event.id), spots_requested=self._spots)

    @contextmanager
    def transaction(self) -> Iterator[Span]:
        """Trace the claim's wait for its batch."""
        with self._tracer.start_as_current_span(schema.TRANSACTION) as span:
            yield span

    def committed(self, answer: ClaimAnswer, decision: Decision, batch: SpanContext, *, replayed: bool) -> None:
        """Link the current span to the batch; draw the batch's decision, made once for all, into this claim's trace."""
        waiting = trace.get_current_span()
        waiting.add_link(batch)
        waiting.set_attribute(schema.STATUS, answer.status)
        self.outcome = "replayed" if replayed else answer.status.lower()
        self._span.set_attribute(schema.STATUS, answer.status)
        self._span.set_attribute(schema.CONFIRMATION_CODE, answer.confirmation_code)
        if not self._span.is_recording():
            return
        before = decision.ledger.before
        self._tracer.start_span(
            schema.CAPACITY_CHECK,
            context=trace.set_span_in_context(self._span),
            start_time=decision.began,
            attributes={
                schema.CAPACITY: before.capacity,
                schema.SPOTS_RESERVED: before.reserved,
                schema.SPOTS_AVAILABLE: before.available,
            },
        ).end(decision.ended)


def _outcome_of(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, ServiceError) and not isinstance(error, _SERVICE_FAULTS):
        return "refused"
    return "failed"
