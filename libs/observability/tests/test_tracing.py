"""The tracer: decided once, plain when it is kept, and as OpenTelemetry's interface says."""

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, TraceState
from ticketcap_observability import InMemoryTelemetry, Telemetry
from ticketcap_observability.tracing import QuickTracer


@pytest.fixture
def telemetry() -> InMemoryTelemetry:
    """Return telemetry that keeps every trace that begins here."""
    return Telemetry.in_memory()


def below(flags: int) -> Context:
    """Return the context of a caller elsewhere."""
    state = TraceState([("vendor", "x")])
    parent = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(flags), trace_state=state)
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def only(telemetry: InMemoryTelemetry) -> ReadableSpan:
    [span] = telemetry.spans
    return span


@pytest.mark.parametrize(("flags", "kept"), [(0, False), (1, True), (2, False), (3, True)])
def test_whoever_has_a_parent_follows_it(telemetry: InMemoryTelemetry, flags: int, kept: bool) -> None:
    """The trace, the decision and the state are its parent's; the id is its own."""
    span = telemetry.tracer.start_span("work", below(flags))
    ids = span.get_span_context()
    assert (ids.trace_id, ids.trace_flags, ids.trace_state.get("vendor")) == (5, flags, "x")
    assert ids.span_id not in {0, 6}
    assert not ids.is_remote
    assert span.is_recording() is kept
    span.end()
    assert len(telemetry.spans) == kept


def test_a_trace_that_begins_here_is_decided_by_the_share() -> None:
    """And says that its id is random, so others may decide by it too."""
    tracer = Telemetry.in_memory(sampling_ratio=0.5).tracer
    assert isinstance(tracer, QuickTracer)
    spans = [tracer.start_span("work", Context()) for _ in range(1000)]
    assert 350 < sum(span.is_recording() for span in spans) < 650
    assert all(span.get_span_context().trace_flags & TraceFlags.RANDOM_TRACE_ID for span in spans)


def test_nothing_is_noted_after_the_end(telemetry: InMemoryTelemetry) -> None:
    """What is sent is read by another thread; a second end is none."""
    span = telemetry.tracer.start_span("work", attributes={"a": 1}, start_time=10)
    span.end(20)
    span.end(30)
    span.set_attribute("b", 2)
    span.add_event("late")
    span.add_link(SpanContext(1, 2, is_remote=False))
    span.set_status(StatusCode.ERROR)
    span.update_name("other")
    ended = only(telemetry)
    assert (ended.name, ended.start_time, ended.end_time, dict(ended.attributes or {})) == ("work", 10, 20, {"a": 1})
    assert (len(ended.events), len(ended.links)) == (0, 0)
    assert ended.status.is_unset


def test_a_list_is_noted_as_it_was(telemetry: InMemoryTelemetry) -> None:
    """It may change before it is sent."""
    names = ["a"]
    span = telemetry.tracer.start_span("work", attributes={"names": names})
    names.append("b")
    span.end()
    assert dict(only(telemetry).attributes or {}) == {"names": ("a",)}


def test_an_exception_is_told_without_its_message(telemetry: InMemoryTelemetry) -> None:
    """On the span of a ``with``, by default, and the exception goes on."""
    with pytest.raises(ValueError, match="dana"), telemetry.tracer.start_as_current_span("work"):
        raise ValueError("dana@x.co.il")
    span = only(telemetry)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert [event.name for event in span.events] == ["exception"]
    assert "dana" not in str(span.events[0].attributes)


def test_a_with_that_tells_nothing_and_ends_nothing(telemetry: InMemoryTelemetry) -> None:
    """As its arguments say; the span before is the current one again."""

    def work() -> None:
        assert trace.get_current_span().is_recording()
        raise ValueError("x")

    current = telemetry.tracer.start_as_current_span(
        "work", record_exception=False, set_status_on_exception=False, end_on_exit=False
    )
    with pytest.raises(ValueError, match="x"), current as span:
        work()
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert span.is_recording()
    span.end()
    assert only(telemetry).status.is_unset
    assert not only(telemetry).events


def test_ok_is_final(telemetry: InMemoryTelemetry) -> None:
    """And unset is no answer."""
    span = telemetry.tracer.start_span("work")
    for status in (StatusCode.ERROR, StatusCode.UNSET):
        span.set_status(Status(status))
    assert isinstance(span, ReadableSpan)
    assert span.status.status_code is StatusCode.ERROR
    span.set_status(StatusCode.OK)
    span.set_status(StatusCode.ERROR, "late")
    assert span.status.is_ok


def test_a_span_is_bounded(telemetry: InMemoryTelemetry) -> None:
    """What is left out is counted; a batch keeps its links to all that it serves."""
    span = telemetry.tracer.start_span("work")
    for number in range(2000):
        span.set_attribute(f"a{number}", number)
        span.add_event("e")
        span.add_link(SpanContext(1, number + 1, is_remote=False))
    span.set_attribute("a0", "again")
    span.end()
    ended = only(telemetry)
    assert (len(ended.attributes or {}), len(ended.events), len(ended.links)) == (128, 128, 1024)
    assert (ended.dropped_attributes, ended.dropped_events, ended.dropped_links) == (1872, 1872, 976)
    assert (ended.attributes or {})["a0"] == "again"
