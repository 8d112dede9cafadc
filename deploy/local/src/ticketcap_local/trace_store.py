"""Store the newest traces in memory, limited in number and size."""

import sys
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

_TRACES: Final = 5_000
_SPANS: Final = 100_000
_SPANS_PER_TRACE: Final = 1_000
_SPAN_BYTES: Final = 64 * 1024
_POLL: Final = "ticketcap.registration.v1.RegistrationService/ListChanges"
"""Payment reads registration's changes every second; its traces would fill every list of newest traces."""


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span as received, beside the fields that searches use."""

    service: str
    name: str
    content: bytes
    is_root: bool
    is_error: bool

    def as_json(self) -> dict[str, Any]:
        """Return it with hex ids and times in nanoseconds since 1970."""
        span = Span.FromString(self.content)
        return {
            "span_id": span.span_id.hex(),
            "parent_id": span.parent_span_id.hex(),
            "name": span.name,
            "service": self.service,
            "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            "start": span.start_time_unix_nano,
            "end": span.end_time_unix_nano,
            "status": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
            "error": span.status.code == Status.STATUS_CODE_ERROR,
            "attributes": _attributes(span.attributes),
            "events": [{"name": event.name, "attributes": _attributes(event.attributes)} for event in span.events],
            "links": [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in span.links],
        }


@dataclass(slots=True)
class StoredTrace:
    """The spans of a trace that have arrived."""

    trace_id: str
    spans: list[StoredSpan] = field(default_factory=list)
    left_out: int = 0
    """The number of its spans that exceeded a limit."""

    def matches(self, service: str, name: str) -> bool:
        """Return whether it has a span of ``service`` and a span whose name contains ``name``.

        Empty strings match every trace but successful polls, which only ``name`` finds.
        """
        if not name and self._is_successful_poll:
            return False
        return any(service in {"", span.service} for span in self.spans) and any(
            name in span.name for span in self.spans
        )

    @property
    def _is_successful_poll(self) -> bool:
        return any(span.is_root and span.name == _POLL for span in self.spans) and not any(
            span.is_error for span in self.spans
        )

    def as_json(self) -> dict[str, Any]:
        """Return the sink's JSON, with spans in the order of their start."""
        spans = sorted((span.as_json() for span in self.spans), key=lambda span: span["start"])
        return {"trace_id": self.trace_id, "left_out": self.left_out, "spans": spans}


class TraceStore:
    """The newest traces: at most ``traces`` of them, with at most ``spans`` spans in all."""

    def __init__(self, traces: int = _TRACES, spans: int = _SPANS, spans_per_trace: int = _SPANS_PER_TRACE) -> None:
        self._trace_limit = traces
        self._span_limit = spans
        self._spans_per_trace = spans_per_trace
        self._span_count = 0
        self._traces: OrderedDict[str, StoredTrace] = OrderedDict()

    def add(self, request: ExportTraceServiceRequest) -> None:
        """Store spans; the oldest traces are evicted."""
        for resource_spans in request.resource_spans:
            service = sys.intern(_service(resource_spans.resource))
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self._add(span, service)

    def newest(self, limit: int, *, service: str = "", name: str = "") -> list[StoredTrace]:
        """Return at most ``limit`` traces, newest first."""
        matching = (trace for trace in reversed(self._traces.values()) if trace.matches(service, name))
        return [trace for trace, _ in zip(matching, range(limit), strict=False)]

    def get(self, trace_id: str) -> StoredTrace | None:
        """Return the newest trace whose id is, or begins with, ``trace_id``."""
        begin = trace_id.lower()
        exact = self._traces.get(begin)
        if exact is not None or not begin:
            return exact
        return next((trace for key, trace in reversed(self._traces.items()) if key.startswith(begin)), None)

    def _add(self, span: Span, service: str) -> None:
        trace_id = span.trace_id.hex()
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = StoredTrace(trace_id)
        content = span.SerializeToString()
        if len(trace.spans) >= self._spans_per_trace or len(content) > _SPAN_BYTES:
            trace.left_out += 1
        else:
            is_error = span.status.code == Status.STATUS_CODE_ERROR
            stored = StoredSpan(service, sys.intern(span.name), content, not span.parent_span_id, is_error)
            trace.spans.append(stored)
            self._span_count += 1
        while len(self._traces) > self._trace_limit or self._span_count > self._span_limit:
            _, oldest = self._traces.popitem(last=False)
            self._span_count -= len(oldest.spans)


def _service(resource: Resource) -> str:
    return str(_attributes(resource.attributes).get("service.name", "unknown"))


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case "bytes_value":
            return value.bytes_value.hex()
        case kind:
            return getattr(value, kind)
