"""Trace and measure lane batches and their transactions."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind
from ticketcap_observability import (
    SqlTelemetry,
    Telemetry,
    get_logger,
    schema,
    school_attributes,
    sentry,
    synthetic_label,
)

from ticketcap_registration.domain.commands import Claim
from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.domain.ledger import ClaimAnswer, Decision
from ticketcap_registration.domain.states import RegistrationStatus

SpanReference = SpanContext
"""A span that another span can link to."""

_log = get_logger(__name__)


def current_span() -> SpanReference:
    """Return the span that the caller is in."""
    return trace.get_current_span().get_span_context()


def report(error: Exception) -> None:
    """Report an unexpected error to Sentry."""
    sentry.report(error)


class LaneTelemetry:
    """Counts once per batch, so a large batch costs no more than a small one."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.statements = SqlTelemetry(telemetry)
        self._telemetry = telemetry
        self._tracer = telemetry.tracer
        self._created = telemetry.counter(schema.REGISTRATION_CREATED)
        self._confirmed = telemetry.counter(schema.REGISTRATION_CONFIRMED)
        self._waitlisted = telemetry.counter(schema.REGISTRATION_WAITLISTED)
        self._promoted = telemetry.counter(schema.WAITLIST_PROMOTION)
        self._expired = telemetry.counter(schema.HOLD_EXPIRED)
        self._filled = telemetry.counter(schema.CAPACITY_REACHED)
        self._waits = telemetry.histogram(schema.WAITLIST_WAIT)
        self._size = telemetry.histogram(schema.LANE_BATCH_SIZE)
        self._queued = telemetry.histogram(schema.LANE_WAIT)
        self._transaction = telemetry.histogram(schema.DB_TRANSACTION_DURATION)
        self._commit = telemetry.histogram(schema.LANE_COMMIT)
        self._violations = telemetry.counter(schema.ISOLATION_VIOLATION)

    def observe_depths(self, depths: Callable[[], Sequence[int]]) -> None:
        """Read the number of commands that wait in each lane whenever metrics are read, in another thread."""
        self._telemetry.gauge(schema.LANE_DEPTH, lambda: [(sum(depths()), {})])
        self._telemetry.gauge(schema.LANE_ACTIVE, lambda: [(len(depths()), {})])

    @contextmanager
    def batch(self, event: EventKey, spans: Sequence[SpanReference], waited_ms: float) -> Iterator[SpanReference]:
        """Observe the code inside as one batch. ``spans`` are those of its commands; the sampled ones are linked."""
        sampled = [span for span in spans if span.is_valid and span.trace_flags.sampled]
        with self._tracer.start_as_current_span(
            schema.BATCH,
            context=trace.set_span_in_context(NonRecordingSpan(sampled[0])) if sampled else None,
            kind=SpanKind.INTERNAL,
            links=[Link(span) for span in sampled],
            attributes={
                schema.EVENT_ID: str(event.id),
                **school_attributes(event.school.slug, event.school.id, event.school.synthetic),
                schema.BATCH_SIZE: len(spans),
                schema.BATCH_WAIT_MS: waited_ms,
            },
        ) as span:
            self._size.record(len(spans))
            self._queued.record(waited_ms / 1000)
            yield span.get_span_context()

    def committed(self, event: EventKey, decision: Decision) -> None:
        """Count a committed batch's changes; draw its promotions and expired holds into its trace."""
        ledger = decision.ledger
        created = _created(decision)
        school = synthetic_label(event.school.synthetic)
        earlier_confirmed = sum(
            transition.registration.status is RegistrationStatus.CONFIRMED
            for transition in ledger.transitions.values()
            if transition.registration.id not in ledger.added
        )
        for counter, count in (
            (self._created, created.total()),
            (self._confirmed, created[RegistrationStatus.CONFIRMED] + earlier_confirmed),
            (self._waitlisted, created[RegistrationStatus.WAITLISTED]),
            (self._promoted, len(ledger.promoted)),
            (self._expired, len(ledger.expired)),
            (self._filled, int(ledger.before.available > 0 >= ledger.event.available)),
        ):
            if count:
                counter.add(count, **school)
        for registration in ledger.promoted:
            self._waits.record((ledger.now - registration.created_at).total_seconds())
        for name, count_name, registrations in (
            (schema.EXPIRE, schema.EXPIRED, ledger.expired),
            (schema.PROMOTE, schema.PROMOTED, ledger.promoted),
        ):
            if registrations:
                attributes: dict[str, str | int] = {
                    schema.EVENT_ID: str(event.id),
                    schema.SPOTS: sum(registration.spots for registration in registrations),
                    count_name: len(registrations),
                }
                self._tracer.start_span(name, start_time=decision.began, attributes=attributes).end(decision.ended)

    def poisoned(self, event: EventKey, error: Exception) -> None:
        """Log and report the error of the one command that can't be written."""
        _log.error("lane.poisoned_item", event_id=str(event.id), exc_info=error)
        with sentry.scope(schema.BATCH):
            sentry.set_school(event.school.slug, event.school.id, event.school.synthetic)
            sentry.set_event(str(event.id))
            sentry.report(error)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Measure the code inside as one transaction, if it succeeds."""
        began = time.perf_counter()
        yield
        self._transaction.record(time.perf_counter() - began, operation="seats")

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Measure the code inside as the trip that writes a batch and commits it, if it succeeds."""
        began = time.perf_counter()
        yield
        self._commit.record(time.perf_counter() - began)

    def isolation_violated(self, event: EventKey) -> None:
        """Count and log a row of another school that a lane locked."""
        self._violations.add(1, where="lane")
        _log.error("tenant.isolation.violation", where="lane", event_id=str(event.id))


def _created(decision: Decision) -> Counter[RegistrationStatus]:
    """Count the registrations that claims made, by status. A claim that repeats an earlier one made none."""
    return Counter(
        outcome.status
        for command, outcome in zip(decision.commands, decision.outcomes, strict=True)
        if isinstance(command, Claim) and isinstance(outcome, ClaimAnswer) and outcome.id == command.id
    )
