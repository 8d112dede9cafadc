"""Check the trace sink over both protocols."""

import asyncio
import gzip
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from ticketcap_local.http_client import HttpConnection
from ticketcap_local.ports import is_free
from ticketcap_local.sink import serving
from ticketcap_local.trace_store import TraceStore
from ticketcap_testing.stack import ServiceProcess, free_port


def exported(*spans: Span, service: str = "gateway") -> traces.ExportTraceServiceRequest:
    resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value=service))])
    inside = [ScopeSpans(spans=spans)]
    return traces.ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=resource, scope_spans=inside)])


def span(trace: int, number: int = 1, name: str = "GET /x") -> Span:
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name=name,
        start_time_unix_nano=10,
        end_time_unix_nano=20,
    )


@pytest.fixture
async def ports() -> AsyncIterator[tuple[int, int]]:
    grpc_port, http_port = free_port(), free_port()
    async with serving(TraceStore(traces=3, spans=5, spans_per_trace=2), grpc_port, http_port):
        yield grpc_port, http_port


async def get(port: int, path: str) -> Any:
    connection = HttpConnection(f"http://127.0.0.1:{port}")
    try:
        return (await connection.request("GET", path)).body
    finally:
        connection.close()


async def test_spans_come_in_over_grpc_and_http(ports: tuple[int, int]) -> None:
    """Gzip or not, they are one trace."""
    grpc_port, http_port = ports
    async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        stub = traces_grpc.TraceServiceStub(channel)
        await stub.Export(exported(span(1)))
    body = gzip.compress(exported(span(1, 2), service="registration").SerializeToString())
    assert b" 200 " in await posted(http_port, body, "Content-Encoding: gzip\r\n")
    [trace] = (await get(http_port, "/api/traces"))["traces"]
    assert {found["service"] for found in trace["spans"]} == {"gateway", "registration"}


async def posted(port: int, body: bytes, headers: str = "", *, path: str = "/v1/traces") -> bytes:
    length = "" if "Content-Length" in headers else f"Content-Length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\n{length}Connection: close\r\n{headers}\r\n"
    writer.write(head.encode() + body)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def test_metrics_and_logs_are_accepted_and_dropped(ports: tuple[int, int]) -> None:
    """Over both protocols, so that exporters report no error."""
    grpc_port, http_port = ports
    async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        await metrics_grpc.MetricsServiceStub(channel).Export(metrics.ExportMetricsServiceRequest())
        await logs_grpc.LogsServiceStub(channel).Export(logs.ExportLogsServiceRequest())
    for path in ("/v1/metrics", "/v1/logs"):
        assert b" 200 " in await posted(http_port, b"", path=path)
    assert (await get(http_port, "/api/traces"))["traces"] == []


WHOLE = gzip.compress(exported(span(1)).SerializeToString())
BOMB = gzip.compress(exported(span(1, name="x" * 20_000_000)).SerializeToString())


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(b"\xff\xff nonsense", "", b" 400 ", id="nonsense"),
        pytest.param(b"not gzip", "Content-Encoding: gzip\r\n", b" 400 ", id="not gzip"),
        pytest.param(WHOLE[:-8], "Content-Encoding: gzip\r\n", b" 400 ", id="cut off"),
        pytest.param(BOMB, "Content-Encoding: gzip\r\n", b" 400 ", id="20 MB in 20 kB"),
        pytest.param(b"{}", "Content-Type: application/json\r\n", b" 415 ", id="JSON"),
        pytest.param(b"", "Content-Length: 99999999\r\n", b" 413 ", id="too large"),
        pytest.param(b"", "Content-Length: -1\r\n", b" 400 ", id="less than nothing"),
    ],
)
async def test_an_invalid_export_is_refused(ports: tuple[int, int], body: bytes, headers: str, status: bytes) -> None:
    """With a status; the next export succeeds."""
    assert status in (await posted(ports[1], body, headers)).split(b"\r\n")[0]
    assert b" 200 " in await posted(ports[1], exported(span(1)).SerializeToString())


async def test_the_newest_traces_are_kept_and_large_ones_are_cut(ports: tuple[int, int]) -> None:
    """At most three traces, five spans in all and two in each, here; the rest is counted."""
    for trace in range(1, 6):
        await posted(ports[1], exported(*(span(trace, number + 1) for number in range(trace))).SerializeToString())
    found = (await get(ports[1], "/api/traces"))["traces"]
    assert [int(trace["trace_id"], 16) for trace in found] == [5, 4]
    assert [(len(trace["spans"]), trace["left_out"]) for trace in found] == [(2, 3), (2, 2)]
    for trace in range(6, 10):
        await posted(ports[1], exported(span(trace)).SerializeToString())
    found = (await get(ports[1], "/api/traces?limit=9"))["traces"]
    assert [int(trace["trace_id"], 16) for trace in found] == [9, 8, 7]
    assert len((await get(ports[1], "/api/traces?limit=2"))["traces"]) == 2


async def test_traces_are_found_by_service_name_and_id(ports: tuple[int, int]) -> None:
    """The beginning of an id is enough; an unknown id is a 404 with an error."""
    await posted(ports[1], exported(span(1, name="registration.create"), service="registration").SerializeToString())
    await posted(ports[1], exported(span(16**31)).SerializeToString())
    by_name = (await get(ports[1], "/api/traces?name=create&service=registration"))["traces"]
    assert [int(trace["trace_id"], 16) for trace in by_name] == [1]
    assert (await get(ports[1], "/api/traces?name=create&service=gateway"))["traces"] == []
    await posted(ports[1], exported(span(1, 2, name="POST /x")).SerializeToString())
    assert len((await get(ports[1], "/api/traces?name=create&service=gateway"))["traces"]) == 1
    assert (await get(ports[1], f"/api/traces/{16**31:032x}"))["spans"][0]["name"] == "GET /x"
    assert (await get(ports[1], "/api/traces/100000"))["spans"][0]["name"] == "GET /x"
    assert await get(ports[1], "/api/traces/ff") == {"error": "no such trace"}


async def test_a_span_is_shown_with_all_its_fields(ports: tuple[int, int]) -> None:
    """Ids, times, parent, kind, status, attributes of every type, events, links."""
    full = span(1)
    full.parent_span_id = (7).to_bytes(8, "big")
    full.status.code = Status.STATUS_CODE_ERROR
    full.attributes.add(key="batch.size").value.int_value = 12
    full.attributes.add(key="tags").value.array_value.values.add().string_value = "נועה"
    full.events.add(name="exception").attributes.add(key="exception.type").value.string_value = "X"
    full.links.add(trace_id=(5).to_bytes(16, "big"), span_id=(6).to_bytes(8, "big"))
    await posted(ports[1], exported(full).SerializeToString())
    [span_json] = (await get(ports[1], "/api/traces"))["traces"][0]["spans"]
    assert span_json == {
        "span_id": f"{1:016x}",
        "parent_id": f"{7:016x}",
        "name": "GET /x",
        "service": "gateway",
        "start": 10,
        "end": 20,
        "kind": "UNSPECIFIED",
        "status": "ERROR",
        "error": True,
        "attributes": {"batch.size": 12, "tags": ["נועה"]},
        "events": [{"name": "exception", "attributes": {"exception.type": "X"}}],
        "links": [{"trace_id": f"{5:032x}", "span_id": f"{6:016x}"}],
    }


async def test_it_stops_in_silence_while_an_exporter_is_connected(tmp_path: Path) -> None:
    """As a process of its own, with exit code 0."""
    ports = {"TICKETCAP_OTLP_GRPC_PORT": str(free_port()), "TICKETCAP_OTLP_HTTP_PORT": str(http_port := free_port())}
    sink = ServiceProcess(
        "sink",
        [sys.executable, "-m", "ticketcap_local.sink"],
        ports,
        ready=lambda: not is_free(http_port),
        folder=tmp_path,
    )
    sink.start()
    connection = HttpConnection(f"http://127.0.0.1:{http_port}")
    await connection.request("GET", "/api/traces")
    assert sink.terminate() == 0
    connection.close()
    assert sink.output() == ""


async def test_an_invalid_path_is_refused(ports: tuple[int, int]) -> None:
    """With 404; the next request succeeds."""
    connection = HttpConnection(f"http://127.0.0.1:{ports[1]}")
    assert (await connection.request("GET", "//[")).status == 404
    assert (await connection.request("GET", "/api/traces?limit=2")).status == 200
    connection.close()


async def test_spans_are_refused_for_a_while_and_counted(ports: tuple[int, int]) -> None:
    """Over both protocols, with statuses that let senders retry; afterwards spans are accepted again."""
    grpc_port, http_port = ports
    body = exported(span(1), span(1, 2)).SerializeToString()
    assert b" 200 " in await posted(http_port, b"", path="/api/refuse?seconds=60")
    assert b" 503 " in await posted(http_port, body)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await traces_grpc.TraceServiceStub(channel).Export(exported(span(1)))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert b" 400 " in await posted(http_port, b"", path="/api/refuse?seconds=long")
    assert b" 200 " in await posted(http_port, b"", path="/api/refuse?seconds=0")
    assert b" 200 " in await posted(http_port, body)
    page = (await raw_page(http_port, "/metrics")).decode()
    assert 'otelcol_receiver_refused_spans_total{receiver="otlp",service_name="ticketcap-sink"} 3\n' in page
    assert 'otelcol_receiver_accepted_spans_total{receiver="otlp",service_name="ticketcap-sink"} 2\n' in page


async def raw_page(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer
