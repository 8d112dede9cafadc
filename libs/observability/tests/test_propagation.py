"""Check trace context and baggage as headers."""

from uuid import UUID

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from ticketcap_observability import (
    Telemetry,
    context_from_traceparent,
    current_trace_id,
    link_to,
    schema,
    set_school,
    traceparent_of,
)
from ticketcap_observability._propagation import Propagator

extract, inject = Propagator().extract, Propagator().inject

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SCHOOL = UUID("0192f3c4-1111-7abc-8def-0123456789ab")
INVALID = [
    "",
    "nonsense",
    PARENT[:-3],
    PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
    PARENT.replace("b7ad6b7169203331", "0" * 16),
    "ff" + PARENT[2:],
]


def test_a_traceparent_goes_out_as_it_came_in() -> None:
    """The outbox keeps it beside a row."""
    carried = context_from_traceparent(PARENT)
    assert carried is not None
    assert traceparent_of(carried) == PARENT


@pytest.mark.parametrize("traceparent", INVALID)
def test_what_is_no_traceparent_gives_no_context(traceparent: str) -> None:
    """Not even inside a trace that came from elsewhere."""
    assert context_from_traceparent(traceparent) is None
    token = context.attach(context_from_traceparent(PARENT) or Context())
    try:
        assert context_from_traceparent(traceparent) is None
    finally:
        context.detach(token)


def test_outside_of_a_trace_there_is_nothing_to_tell() -> None:
    """No id, and an empty traceparent."""
    assert current_trace_id() is None
    assert traceparent_of() == ""


def test_baggage_and_trace_survive_the_wire() -> None:
    """Header values as bytes or text; Hebrew too; and other headers are not looked at."""
    outgoing = baggage.set_baggage(schema.SCHOOL_SLUG, "הרצל", context_from_traceparent(PARENT))
    headers = inject(outgoing)
    received = extract([(key, value.encode()) for key, value in headers.items()] + [("authorization", b"secret")])
    assert baggage.get_all(received) == {schema.SCHOOL_SLUG: "הרצל"}
    assert traceparent_of(received) == PARENT


@pytest.mark.parametrize(
    ("headers", "entries"),
    [
        (["Dana Cohen", "school.slug=herzl"], {"school.slug": "herzl"}),
        (["school.slug=herzl,050 123 4567,דנה=כהן,=x,a b=c"], {"school.slug": "herzl"}),
        (["a=1", "b=2;ttl=5"], {"a": "1", "b": "2;ttl=5"}),
        (
            [",".join(f"k{number}={number}" for number in range(200))],
            {f"k{number}": str(number) for number in range(180)},
        ),
        ([f"a={'x' * 5000}", "b=2"], {"b": "2"}),
        ([f"a{number}={'x' * 3000}" for number in range(4)], {"a0": "x" * 3000}),
    ],
)
def test_what_is_no_baggage_is_left_out_in_silence(
    headers: list[str], entries: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A warning of OpenTelemetry's would quote it, and it may be anybody's name."""
    received = extract([("baggage", each) for each in headers])
    assert baggage.get_all(received) == entries
    assert caplog.records == []


@pytest.mark.parametrize(
    ("names", "headers"),
    [(["tracecontext"], {"traceparent"}), (["baggage"], {"baggage"}), (["none"], set())],
)
def test_a_propagator_that_is_off_reads_and_writes_nothing(names: list[str], headers: set[str]) -> None:
    """``OTEL_PROPAGATORS`` names the ones that are on."""
    propagator = Propagator(names)
    outgoing = baggage.set_baggage("a", "1", context_from_traceparent(PARENT))
    assert propagator.inject(outgoing).keys() == headers
    received = propagator.extract([("traceparent", PARENT), ("baggage", "a=1")])
    assert (traceparent_of(received) == PARENT) is ("traceparent" in headers)
    assert (baggage.get_all(received) == {"a": "1"}) is ("baggage" in headers)


def test_without_headers_the_context_is_empty() -> None:
    """Even while a trace is under way."""
    with Telemetry.in_memory().tracer.start_as_current_span("work"):
        assert extract([("accept", "*/*")]) == Context()


def test_a_school_is_on_the_span_and_in_the_baggage() -> None:
    """The id on the span, the slug on both, for every service that is called from here."""
    telemetry = Telemetry.in_memory()
    before = context.get_current()
    with telemetry.tracer.start_as_current_span("work"):
        set_school("herzl", SCHOOL)
        assert inject()["baggage"] == "school.slug=herzl"
    context.attach(before)
    [span] = telemetry.spans
    assert span.attributes == {schema.SCHOOL_SLUG: "herzl", schema.SCHOOL_ID: str(SCHOOL)}


@pytest.mark.parametrize("text", ["דנה כהן", "Dana Cohen", "dana@school.co.il", "0501234567", "", "a" * 64])
def test_what_is_no_slug_names_no_school(text: str) -> None:
    """A caller may write anything where a school belongs."""
    telemetry = Telemetry.in_memory()
    with telemetry.tracer.start_as_current_span("work"):
        set_school(text)
        assert "baggage" not in inject()
    [span] = telemetry.spans
    assert not span.attributes


def test_a_link_leads_to_a_span() -> None:
    """By the span itself or by its context."""
    telemetry = Telemetry.in_memory()
    with telemetry.tracer.start_as_current_span("request") as request:
        pass
    ids = trace.get_current_span(context_from_traceparent(PARENT)).get_span_context()
    with telemetry.tracer.start_as_current_span("batch", links=[link_to(request), link_to(ids)]):
        pass
    _, batch = telemetry.spans
    assert [link.context.span_id for link in batch.links] == [request.get_span_context().span_id, ids.span_id]
