"""Check OpenTelemetry's exporters under TicketCap's settings."""

import contextlib
import gzip
import http.server
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from ticketcap_observability import Telemetry
from ticketcap_observability._export.exporters import exporter
from ticketcap_observability.settings import TelemetrySettings


def partly(rejected: int) -> bytes:
    """Return the answer of a collector that rejects ``rejected`` spans."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    return answer.SerializeToString()


class HttpCollector(http.server.ThreadingHTTPServer):
    """Answers with ``statuses`` in turn, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = [200]
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.answer = b""
        self.kind = "application/x-protobuf"

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpCollector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.send_header("Content-Type", self.server.kind)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(self.server.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[HttpCollector]:
    with HttpCollector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def exported(environ: Mapping[str, str], rejected: Callable[[int], None] = lambda _: None) -> str:
    """Export one span by the settings of ``environ``; return the result's name."""
    telemetry = Telemetry.in_memory()
    telemetry.tracer.start_span("work").end()
    settings = TelemetrySettings.read(environ, "shop")
    assert settings.unused == {}
    with settings.environment():
        span_exporter = exporter(settings, "traces", rejected)
    try:
        return str(span_exporter.export(telemetry.spans).name)
    finally:
        span_exporter.shutdown()


def http_environ(collector: HttpCollector, **more: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}/base/", **more}


@pytest.mark.parametrize(
    ("more", "path", "headers", "unpack"),
    [
        ({}, "/base/v1/traces", {"content-encoding": "gzip"}, gzip.decompress),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}, "/base/v1/traces", {}, bytes),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "deflate", "OTEL_EXPORTER_OTLP_COMPRESSION": "none"},
            "/base/v1/traces",
            {"content-encoding": "deflate"},
            zlib.decompress,
        ),
        (
            {"OTEL_EXPORTER_OTLP_HEADERS": "Api-Key=a%20b", "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "api-key=no"},
            "/base/v1/traces",
            {"api-key": "a b"},
            gzip.decompress,
        ),
        (
            {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=no", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=yes"},
            "/base/v1/traces",
            {"api-key": "yes"},
            gzip.decompress,
        ),
    ],
)
def test_the_variables_of_otlp_hold(
    collector: HttpCollector,
    more: dict[str, str],
    path: str,
    headers: dict[str, str],
    unpack: Callable[[bytes], bytes],
) -> None:
    """A signal's own variable overrides the shared one."""
    assert exported(http_environ(collector, **more)) == "SUCCESS"
    [(called, sent, body)] = collector.posts
    assert called == path
    assert sent.items() >= {"content-type": "application/x-protobuf", **headers}.items()
    spans = ExportTraceServiceRequest.FromString(unpack(body)).resource_spans[0].scope_spans[0].spans
    assert [span.name for span in spans] == ["work"]


def test_a_proxy_of_the_environment_is_used(collector: HttpCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of any program that speaks HTTP."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert exported({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318"}) == "SUCCESS"
    assert collector.posts[0][0] == "http://collector.invalid:4318/v1/traces"


@pytest.mark.parametrize(
    ("statuses", "result", "posts"), [([202], "SUCCESS", 1), ([503, 200], "SUCCESS", 2), ([400], "FAILURE", 1)]
)
def test_it_retries_where_a_retry_may_help(
    collector: HttpCollector, statuses: list[int], result: str, posts: int
) -> None:
    """Within the time of OTEL_EXPORTER_OTLP_TIMEOUT."""
    collector.statuses = statuses
    assert exported(http_environ(collector)) == result
    assert len(collector.posts) == posts


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_absent_collector_is_a_failure_and_no_exception(protocol: str) -> None:
    """The queue counts the batch."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5"}
    assert exported({**environ, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}) == "FAILURE"


@pytest.mark.parametrize(
    ("kind", "answer", "counts"),
    [
        ("application/x-protobuf", partly(3), [3]),
        ("application/x-protobuf; charset=utf-8", partly(3), [3]),
        ("application/x-protobuf", partly(-1), []),
        ("application/x-protobuf", b"", []),
        ("application/x-protobuf", b"\xff\xff", []),
        ("text/html", partly(3), []),
    ],
)
def test_rejected_items_are_counted(collector: HttpCollector, kind: str, answer: bytes, counts: list[int]) -> None:
    """The export succeeds and is not repeated. An unreadable answer counts nothing."""
    collector.kind, collector.answer = kind, answer
    rejected: list[int] = []
    assert exported(http_environ(collector), rejected.append) == "SUCCESS"
    assert (rejected, len(collector.posts)) == (counts, 1)


class GrpcCollector(grpc.GenericRpcHandler):
    """Fails with ``failures`` in turn, then rejects two spans of each call."""

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.metadata: list[dict[str, Any]] = []

    def service(self, _call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            self.metadata.append(dict(context.invocation_metadata()))
            if self.failures:
                context.abort(self.failures.pop(0), "not now")
            return partly(2)

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def over_grpc(collector: GrpcCollector) -> Iterator[dict[str, str]]:
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[collector])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    server.stop(None).wait(5)


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_over_grpc_rejected_items_are_counted_after_a_lost_connection_too(compression: str) -> None:
    """UNAVAILABLE makes the exporter build its channel and its stub again."""
    collector = GrpcCollector()
    collector.failures = [grpc.StatusCode.UNAVAILABLE]
    rejected: list[int] = []
    with over_grpc(collector) as environ:
        environ |= {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=k", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": compression}
        assert exported(environ, rejected.append) == "SUCCESS"
    assert rejected == [2]
    assert [call["api-key"] for call in collector.metadata] == ["k", "k"]
