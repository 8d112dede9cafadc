"""What is written by hand says the same as what OpenTelemetry's encoder writes of the redacted spans."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from ticketcap_observability import Telemetry
from ticketcap_observability.redacted_spans import redacted
from ticketcap_observability.span_writer import SpanWriter

HERE = Resource({"service.name": "test", "service.version": "1"})
SCOPE = InstrumentationScope("ticketcap", "1")
IDS = st.integers(1, 2**64 - 1)
TRACE_IDS = st.integers(1, 2**128 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
KEYS = st.sampled_from(["event.id", "school.id", "registration.spots", "phone", "db.query.text", "מפתח"])
VALUES = st.one_of(
    TEXTS,
    st.sampled_from(["K7MNP2Q4", "050-1234567", "dana@x.co.il", "CONFIRMED"]),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False),
    st.lists(TEXTS, max_size=3).map(tuple),
)
CONTEXTS = st.builds(
    SpanContext, TRACE_IDS, IDS, is_remote=st.booleans(), trace_flags=st.just(TraceFlags(TraceFlags.SAMPLED))
)
SPANS = st.builds(
    ReadableSpan,
    name=TEXTS,
    context=CONTEXTS,
    parent=st.none() | CONTEXTS,
    resource=st.just(HERE),
    attributes=st.dictionaries(KEYS, VALUES),
    links=st.lists(st.builds(Link, CONTEXTS, st.none() | st.dictionaries(KEYS, VALUES)), max_size=3),
    kind=st.sampled_from(list(SpanKind)),
    status=st.builds(Status, st.sampled_from(list(StatusCode))) | st.just(Status(StatusCode.ERROR, "dana@x.co.il")),
    start_time=st.integers(0, 2**63),
    end_time=st.integers(0, 2**63),
    instrumentation_scope=st.just(SCOPE),
)


def parsed(written: bytes) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(written)


def assert_same(writer: SpanWriter, spans: list[ReadableSpan]) -> None:
    """Twice: what is remembered says the same again."""
    expected = encode_spans([redacted(span) for span in spans])
    assert parsed(writer.request(spans)) == expected
    assert parsed(writer.request(spans)) == expected


def a_span(**changes: Any) -> ReadableSpan:
    made = {
        "name": "work",
        "context": SpanContext(1, 2, is_remote=False),
        "resource": HERE,
        "start_time": 3,
        "end_time": 4,
        "instrumentation_scope": SCOPE,
    }
    return ReadableSpan(**{**made, **changes})


@given(st.lists(SPANS, max_size=5))
def test_any_spans(spans: list[ReadableSpan]) -> None:
    """Whatever they hold."""
    assert_same(SpanWriter(), spans)


def test_the_spans_of_a_tracer() -> None:
    """With an event, with links and with children, as they are made."""
    telemetry = Telemetry.in_memory()
    with telemetry.tracer.start_as_current_span("outer", attributes={"school.id": "herzl"}) as outer:
        with telemetry.tracer.start_as_current_span("inner", links=[Link(outer.get_span_context())]) as inner:
            inner.set_attribute("registration.spots", 2)
        outer.add_event("happened", {"phone": "050-1234567"})
    assert_same(SpanWriter(), list(telemetry.spans))


@pytest.mark.parametrize(
    "changes",
    [
        {"context": SpanContext(1, 2, is_remote=False, trace_state=TraceState([("vendor", "x")]))},
        {"attributes": {"a": 1, "b": True, "c": 1.0}},
        {"attributes": {"a": 200, "b": ("x", "y"), "c": "x" * 500}},
    ],
    ids=["state", "equal values of other types", "lists and long texts"],
)
def test_what_might_be_mixed_up(changes: dict[str, Any]) -> None:
    """Values that are equal and yet others, and what is written the long way."""
    assert_same(SpanWriter(), [a_span(), a_span(**changes)])


@pytest.mark.parametrize("value", [2**70, "\ud800"])
def test_a_value_that_can_not_be_written_costs_only_itself(value: object, caplog: pytest.LogCaptureFixture) -> None:
    """The span and the others of its batch go out."""
    request = parsed(SpanWriter().request([a_span(attributes={"bad": value, "good": "1"}), a_span()]))
    spans = request.resource_spans[0].scope_spans[0].spans
    assert [[pair.key for pair in span.attributes] for span in spans] == [["good"], []]
    assert "bad" in caplog.text


def test_nothing_that_was_hidden_is_remembered() -> None:
    """Neither in what is looked up nor in names."""
    writer = SpanWriter()
    personal = {"note": "call 050-1234567", "phone": "0501234567", "dana@x.co.il": "x", "number": 123456782}
    writer.request([a_span(name="dana@x.co.il", attributes=personal)])
    assert b"dana" not in writer.request([a_span(name="dana@x.co.il", attributes=personal)])
    kept = repr(vars(writer)["_pairs"]) + repr(vars(writer)["_names"])
    assert all(secret not in kept for secret in ("1234567", "dana", "123456782"))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that never come again do not stay."""
    monkeypatch.setattr("ticketcap_observability.span_writer._KEPT", 100)
    writer = SpanWriter()
    made: Callable[[int], ReadableSpan] = lambda n: a_span(name=f"n{n}", attributes={"code": f"c{n}"})  # noqa: E731 - short
    writer.request([made(number) for number in range(1000)])
    assert len(vars(writer)["_pairs"]) <= 100
    assert len(vars(writer)["_names"]) <= 100


def test_scopes_are_told_apart() -> None:
    """Each span stands under its own; one without is none of another's."""
    request = parsed(SpanWriter().request([a_span(name="a"), a_span(name="b", instrumentation_scope=None)]))
    found = [
        (scope.scope.name, span.name)
        for held in request.resource_spans
        for scope in held.scope_spans
        for span in scope.spans
    ]
    assert found == [("ticketcap", "a"), ("", "b")]
