"""Send spans and log lines as any OTLP client may."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Final

import grpc
import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Value = str | int | float | Sequence[str]
_MILLISECOND: Final = 10**6


def attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    """Return attributes as OTLP holds them."""
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[_any(item) for item in value]))


def span(
    name: str = "plain",
    *,
    values: Mapping[str, Value] | None = None,
    events: Sequence[Span.Event] = (),
    status: Status | None = None,
    milliseconds: int = 10,
    trace_id: bytes | None = None,
    parent: bytes = b"",
) -> Span:
    """Return a span that ended now; a trace of its own unless ``trace_id`` is given."""
    ends = time.time_ns()
    return Span(
        trace_id=trace_id or secrets.token_bytes(16),
        span_id=secrets.token_bytes(8),
        parent_span_id=parent,
        name=name,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=ends - milliseconds * _MILLISECOND,
        end_time_unix_nano=ends,
        attributes=attributes(values or {}),
        events=events,
        status=status,
    )


def traces(
    service: str, spans: Sequence[Span], resource: Mapping[str, Value] | None = None
) -> ExportTraceServiceRequest:
    """Return a request with spans of one service."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add(resource=_resource(service, resource))
    group.scope_spans.add(spans=spans)
    return request


def logs(service: str, lines: Sequence[str], values: Mapping[str, Value]) -> ExportLogsServiceRequest:
    """Return a request with log lines of one service, each with the attributes ``values``."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add(resource=_resource(service, None)).scope_logs.add()
    for line in lines:
        group.log_records.add(time_unix_nano=time.time_ns(), body=_any(line), attributes=attributes(values))
    return request


def _resource(service: str, more: Mapping[str, Value] | None) -> Resource:
    return Resource(attributes=attributes({"service.name": service, **(more or {})}))


def post(otlp: str, request: ExportTraceServiceRequest | ExportLogsServiceRequest) -> None:
    """Send over HTTP."""
    path = "/v1/traces" if isinstance(request, ExportTraceServiceRequest) else "/v1/logs"
    headers = {"Content-Type": "application/x-protobuf"}
    sent = httpx.post(otlp + path, content=request.SerializeToString(), headers=headers, timeout=10, trust_env=False)
    sent.raise_for_status()


def call(address: str, request: ExportTraceServiceRequest) -> None:
    """Send over gRPC."""
    with grpc.insecure_channel(address) as channel:
        TraceServiceStub(channel).Export(request, timeout=10)
