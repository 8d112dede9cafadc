"""Make the payment service's spans, metrics and Sentry scopes.

The other modules call one-line helpers of this one; only ``main`` also touches the telemetry libraries.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from ticketcap_observability import (
    Telemetry,
    context_from_traceparent,
    schema,
    school_attributes,
    sentry,
    set_error,
    set_school,
    synthetic_label,
    traceparent_of,
)

from ticketcap_payment.domain.payment import Payment, PaymentKey
from ticketcap_payment.domain.states import PaymentState

_ESCALATED: Final = ("payment", "refund", "return", "seat")
_CurrentSpan = AbstractContextManager[Span]


def current_traceparent() -> str:
    """Return the traceparent of the current span, to be stored beside work that follows later; "" without a trace."""
    return traceparent_of()


def describe_school(slug: str, school_id: UUID | None = None, synthetic: bool | None = None) -> None:
    """Put the school on the current span, into Sentry's scope and into the baggage of outgoing calls."""
    set_school(slug, school_id, synthetic)


def describe_payment(payment: Payment) -> None:
    """Put a payment's id and amount on the current span."""
    span = trace.get_current_span()
    span.set_attribute(schema.PAYMENT_ID, str(payment.id))
    span.set_attribute(schema.PAYMENT_AMOUNT, payment.amount_agorot)


def describe_return(payment: Payment) -> None:
    """Put a return's payment on the current span, linked to the request that opened it.

    The customer's browser carries no trace context back from YaadPay.
    """
    span = trace.get_current_span()
    span.set_attribute(schema.PAYMENT_ID, str(payment.id))
    for link in _links(payment.traceparent):
        span.add_link(link.context)


def describe_amount(agorot: int) -> None:
    """Put an amount in agorot on the current span."""
    trace.get_current_span().set_attribute(schema.PAYMENT_AMOUNT, agorot)


def describe_outcome(state: PaymentState | None = None, ccode: int | None = None) -> None:
    """Put a payment's state and YaadPay's CCode on the current span, as far as they are given."""
    span = trace.get_current_span()
    if state is not None:
        span.set_attribute(schema.PAYMENT_STATE, state)
    if ccode is not None:
        span.set_attribute(schema.PAYMENT_CCODE, ccode)


def report_bug(error: Exception) -> None:
    """Mark the current span as failed by an unexpected exception and report it to Sentry."""
    set_error(trace.get_current_span(), error)
    sentry.report(error)


class YaadPayCall:
    """The span and the histogram point of one call to YaadPay."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.outcome = "unknown"

    def answered(self, status: int, outcome: str) -> None:
        """Record the HTTP status, and the class of the CCode as the outcome."""
        self.outcome = outcome
        self._span.set_attribute("http.response.status_code", status)
        if status >= 400:  # noqa: PLR2004 - where HTTP's errors begin
            self.failed(str(status))

    def failed(self, error_type: str) -> None:
        """Mark the call as failed; ``error_type`` is an exception's class or an HTTP status."""
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))


class PaymentTelemetry:
    """The service's spans and instruments. A span ends with its ``with`` block; an event is counted at once.

    ``shows_backlog`` says whether this replica's gauges show the backlog, which is that of all replicas.
    """

    def __init__(self, telemetry: Telemetry, *, shows_backlog: Callable[[], bool] = lambda: True) -> None:
        self._tracer = telemetry.tracer
        self._created = telemetry.counter(schema.PAYMENT_CREATED)
        self._completed = telemetry.counter(schema.PAYMENT_COMPLETED)
        self._failed = telemetry.counter(schema.PAYMENT_FAILED)
        self._refused = telemetry.counter(schema.PAYMENT_RETURN_REFUSED)
        self._processing = telemetry.histogram(schema.PAYMENT_PROCESSING_TIME)
        self._amount = telemetry.histogram(schema.PAYMENT_AMOUNTS)
        self._yaadpay = telemetry.histogram(schema.YAADPAY_DURATION)
        self._unsettled: Mapping[tuple[str, str, bool], int] = {}
        self._escalated: Mapping[tuple[str, bool], int] = {}
        self._lag = 0.0
        self._feed_read_at = time.monotonic()
        telemetry.gauge(
            schema.PAYMENT_UNSETTLED,
            lambda: [
                (number, {"kind": kind, "age": age, **synthetic_label(synthetic)})
                for (kind, age, synthetic), number in self._unsettled.items()
                if shows_backlog()
            ],
        )
        # A kind without escalations reports 0: an alert needs to see the value fall.
        telemetry.gauge(
            schema.PAYMENT_ESCALATED,
            lambda: [
                (self._escalated.get((kind, synthetic), 0), {"kind": kind, **synthetic_label(synthetic)})
                for kind in _ESCALATED
                for synthetic in (False, True)
                if shows_backlog()
            ],
        )
        telemetry.gauge(schema.OUTBOX_LAG, lambda: [(self._lag, {})] if shows_backlog() else [])
        telemetry.gauge(schema.FEED_AGE, lambda: [(time.monotonic() - self._feed_read_at, {})])

    # Spans

    def creation(self) -> _CurrentSpan:
        """Span the opening of a payment."""
        return self._span(schema.PAYMENT_CREATE)

    def return_(self) -> _CurrentSpan:
        """Span the processing of a customer's return."""
        return self._span(schema.PAYMENT_RETURN)

    def capture(self, key: PaymentKey) -> _CurrentSpan:
        """Span one try to capture a payment."""
        return self._span(schema.PAYMENT_CAPTURE, _payment(key) | _school(key))

    def refund(self, key: PaymentKey) -> _CurrentSpan:
        """Span one try to send a refund of a payment."""
        return self._span(schema.PAYMENT_REFUND, _payment(key) | _school(key))

    def requeue(self, key: PaymentKey, topic: str) -> _CurrentSpan:
        """Span the requeuing of stuck work."""
        attributes = {**_payment(key), schema.OUTBOX_TOPIC: topic}
        return self._span(schema.PAYMENT_RECONCILE, attributes)

    def change(
        self, school_slug: str, school_id: UUID, status: str, traceparent: str, *, synthetic: bool
    ) -> _CurrentSpan:
        """Span the handling of a registration's change, linked to the request that changed it."""
        attributes = {**school_attributes(school_slug, school_id, synthetic), schema.STATUS: status}
        return self._span(schema.REGISTRATION_CHANGED, attributes, kind=SpanKind.CONSUMER, cause=traceparent)

    @contextmanager
    def delivery(self, key: PaymentKey, topic: str, traceparent: str) -> Iterator[None]:
        """Span one delivery of the outbox, linked to the request that wrote the row, in a Sentry scope of its own."""
        attributes = {**_payment(key), schema.OUTBOX_TOPIC: topic}
        with (
            sentry.scope(f"outbox {topic}"),
            self._span(schema.OUTBOX_DELIVER, attributes, kind=SpanKind.CONSUMER, cause=traceparent),
        ):
            describe_school(key.school_slug, key.school_id, key.school_synthetic)
            yield

    @contextmanager
    def yaadpay_call(self, action: str, server: Mapping[str, Any]) -> Iterator[YaadPayCall]:
        """Span and time one call to YaadPay. No parameter and no query enters the span."""
        attributes = {"http.request.method": "POST", **server}
        began = time.perf_counter()
        with self._span(schema.yaadpay_call(action), attributes, kind=SpanKind.CLIENT) as span:
            call = YaadPayCall(span)
            try:
                yield call
            finally:
                self._yaadpay.record(
                    time.perf_counter() - began, action=action, outcome=call.outcome, **synthetic_label()
                )

    def _span(
        self,
        name: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        cause: str = "",
    ) -> _CurrentSpan:
        return self._tracer.start_as_current_span(name, kind=kind, links=_links(cause), attributes=attributes)

    # Events

    def page_opened(self, payment: Payment) -> None:
        """Count a payment whose page is signed."""
        self._created.add(**synthetic_label())
        describe_outcome(payment.state)

    def failed(self, reason: str) -> None:
        """Count a payment that ended without money; ``reason`` is one of few words."""
        self._failed.add(reason=reason, **synthetic_label())

    def return_refused(self, reason: str) -> None:
        """Count a return that is not genuine; ``reason`` is one of few words."""
        self._refused.add(reason=reason, **synthetic_label())

    def return_applied(self, before: Payment, after: Payment, ccode: int) -> None:
        """Count the change of a payment that a genuine return made."""
        describe_outcome(after.state, ccode)
        if after.state is before.state:
            return
        if after.state is PaymentState.CAPTURED:
            self._money_taken(after)
        if after.state is PaymentState.FAILED:
            self.failed(after.failure)

    def captured(self, payment: Payment, now: datetime) -> None:
        """Count a successful charge, and the time since the return."""
        self._money_taken(payment)
        self._processed(payment, "captured", now)

    def capture_refused(self, payment: Payment, reason: str, now: datetime) -> None:
        """Count a refused charge, and the time since the return."""
        self.failed(reason)
        self._processed(payment, "failed", now)

    def feed_read(self) -> None:
        """Note that the change feed was read to its end."""
        self._feed_read_at = time.monotonic()

    def backlog(
        self, unsettled: Mapping[tuple[str, str, bool], int], escalated: Mapping[tuple[str, bool], int], lag: float
    ) -> None:
        """Report the open deliveries by kind and age, the escalations by kind, and the outbox's lag in seconds.

        The last part of each key says whether the school is synthetic.
        """
        self._unsettled, self._escalated, self._lag = unsettled, escalated, lag

    def _money_taken(self, payment: Payment) -> None:
        self._completed.add(**synthetic_label(payment.school_synthetic))
        if payment.currency == "ILS":
            self._amount.record(payment.amount_agorot / 100)

    def _processed(self, payment: Payment, outcome: str, now: datetime) -> None:
        label = synthetic_label(payment.school_synthetic)
        if payment.authorised_at is not None:
            self._processing.record((now - payment.authorised_at).total_seconds(), outcome=outcome, **label)


def _payment(key: PaymentKey) -> dict[str, Any]:
    return {schema.PAYMENT_ID: str(key.id)}


def _school(key: PaymentKey) -> dict[str, Any]:
    return school_attributes(key.school_slug, key.school_id, key.school_synthetic)


def _links(traceparent: str) -> list[Link]:
    cause = context_from_traceparent(traceparent)
    return [Link(trace.get_current_span(cause).get_span_context())] if cause else []
