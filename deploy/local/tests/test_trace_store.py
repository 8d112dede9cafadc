"""Check which traces a search of the sink's store finds."""

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from ticketcap_local.trace_store import TraceStore

POLL = "ticketcap.registration.v1.RegistrationService/ListChanges"


def span(trace: int, name: str, *, parent: bytes = b"", error: bool = False) -> Span:
    status = Status(code=Status.STATUS_CODE_ERROR) if error else None
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=bytes([trace, len(parent)] * 4),
        parent_span_id=parent,
        name=name,
        status=status,
    )


def found(*spans: Span, name: str = "") -> list[int]:
    store = TraceStore()
    store.add(ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]))
    return [int(trace.trace_id, 16) for trace in store.newest(10, name=name)]


def test_polls_do_not_crowd_out_other_traces() -> None:
    """Payment polls every second: without this the newest traces of a quiet system are polls alone."""
    poll, below = span(2, POLL), span(2, "SELECT outbox", parent=b"12345678")
    assert found(span(1, "POST /x"), poll, below) == [1]


def test_failed_polls_and_named_polls_are_found() -> None:
    """A failed poll is news; a search by name wants exactly these."""
    failed = span(3, "SELECT outbox", parent=b"12345678", error=True)
    assert found(span(3, POLL), failed) == [3]
    assert found(span(2, POLL), name="ListChanges") == [2]
    assert found(span(4, "POST /x"), span(4, POLL, parent=b"12345678")) == [4]
