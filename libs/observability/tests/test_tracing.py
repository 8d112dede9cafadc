"""Check the status that an exception gives a span."""

import asyncio
from typing import ClassVar

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode
from ticketcap_observability import InMemoryTelemetry, Telemetry


class NotFound(Exception):
    """An error that a caller caused."""

    expected: ClassVar[bool] = True


@pytest.fixture
def telemetry() -> InMemoryTelemetry:
    """Return telemetry that samples every trace."""
    return Telemetry.in_memory()


def only(telemetry: InMemoryTelemetry) -> ReadableSpan:
    [span] = telemetry.spans
    return span


def test_an_unexpected_exception_is_an_error_with_its_type(telemetry: InMemoryTelemetry) -> None:
    """Without its message, which may quote personal data, and without an event; the exception propagates."""
    with pytest.raises(ValueError, match="dana"), telemetry.tracer.start_as_current_span("work"):
        raise ValueError("dana@x.co.il")
    span = only(telemetry)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert dict(span.attributes or {}) == {"error.type": "ValueError"}
    assert span.events == ()


@pytest.mark.parametrize("error", [NotFound("x"), asyncio.CancelledError(), KeyboardInterrupt()])
def test_an_expected_exception_changes_nothing(telemetry: InMemoryTelemetry, error: BaseException) -> None:
    """A caller's mistake, a caller that left, an exit."""
    with pytest.raises(type(error)), telemetry.tracer.start_as_current_span("work"):
        raise error
    assert only(telemetry).status.is_unset
    assert not only(telemetry).attributes


def test_an_error_type_that_is_set_stays(telemetry: InMemoryTelemetry) -> None:
    """Code may know a better one, like an SQLSTATE."""
    attributes = {"error.type": "08006"}
    with pytest.raises(OSError, match="x"), telemetry.tracer.start_as_current_span("work", attributes=attributes):
        raise OSError("x")
    assert dict(only(telemetry).attributes or {}) == {"error.type": "08006"}


def test_the_arguments_of_a_with_turn_its_rules_off(telemetry: InMemoryTelemetry) -> None:
    """The span that was current before is current again."""

    def work() -> None:
        assert trace.get_current_span().is_recording()
        raise ValueError("x")

    current = telemetry.tracer.start_as_current_span("work", set_status_on_exception=False, end_on_exit=False)
    with pytest.raises(ValueError, match="x"), current as span:
        work()
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert span.is_recording()
    span.end()
    assert only(telemetry).status.is_unset


def test_a_batch_links_to_a_thousand_requests() -> None:
    """The default limit is 1024, not the SDK's 128; the variable overrides it."""
    for environ, most in ({}, 1024), ({"OTEL_SPAN_LINK_COUNT_LIMIT": "5"}, 5):
        span = Telemetry.start("t", "1", environ, set_global=False).tracer.start_span("batch")
        for number in range(2000):
            span.add_link(SpanContext(1, number + 1, is_remote=False))
        assert isinstance(span, ReadableSpan)
        assert len(span.links) == most
