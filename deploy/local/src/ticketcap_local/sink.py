"""An OTLP collector for one machine: takes traces over gRPC and HTTP, keeps the newest, shows them as JSON.

Metrics and logs are taken and dropped. Prometheus may read it as it reads a collector.
"""

import asyncio
import json
import signal
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import grpc.aio
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc

from ticketcap_local.intake import Full, Intake
from ticketcap_local.settings import HOST, StackSettings
from ticketcap_local.trace_store import TraceStore

_MAX_BODY: Final = 16 * 1024 * 1024
_MAX_HEAD: Final = 16 * 1024
_IDLE_SECONDS: Final = 75.0
_SHOWN: Final = 20
_SHOWN_AT_MOST: Final = 1000

Answer = tuple[str, str, bytes]
"""Status, content type, content."""


class _Traces(traces_grpc.TraceServiceServicer):
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def Export(self, request: traces.ExportTraceServiceRequest, context: Any) -> Any:  # noqa: N802
        try:
            self._intake.take(request)
        except Full:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the sink refuses spans for a while")
        return traces.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return metrics.ExportMetricsServiceResponse()


class _Logs(logs_grpc.LogsServiceServicer):
    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return logs.ExportLogsServiceResponse()


@asynccontextmanager
async def serving(store: TraceStore, grpc_port: int, http_port: int) -> AsyncIterator[None]:
    """Listen on both ports while the code inside runs."""
    intake = Intake(store)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MAX_BODY)])
    traces_grpc.add_TraceServiceServicer_to_server(_Traces(intake), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(), server)
    logs_grpc.add_LogsServiceServicer_to_server(_Logs(), server)
    server.add_insecure_port(f"{HOST}:{grpc_port}")
    await server.start()
    http = await asyncio.start_server(_HttpSink(store, intake).serve, HOST, http_port, limit=_MAX_HEAD)
    try:
        yield
    finally:
        http.close()
        await server.stop(0.2)


class _HttpSink:
    """The little HTTP that OTLP needs, two pages of JSON, and one for Prometheus."""

    def __init__(self, store: TraceStore, intake: Intake) -> None:
        self._store = store
        self._intake = intake

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
            pass  # a client that left, or that sent what no exporter sends
        except asyncio.CancelledError:
            pass  # the sink stops while an exporter keeps its connection; nothing awaits this task
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(_IDLE_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            request_line, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            length = headers.get("content-length", "0")
            if not length.isdecimal() or int(length) > _MAX_BODY or "transfer-encoding" in headers:
                await _send(writer, _json("413 Content Too Large", {"error": f"a body has at most {_MAX_BODY} bytes"}))
                return False
            body = await reader.readexactly(int(length))
        method, target, *_ = [*request_line.split(" "), ""]
        try:
            answer = self._answer(method, target, headers, body)
        except ValueError as error:  # an address or a number that is none
            answer = _json("400 Bad Request", {"error": str(error)})
        await _send(writer, answer)
        return headers.get("connection", "").lower() != "close"

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        url = urlsplit(target)
        if method == "POST" and url.path in {"/v1/traces", "/v1/metrics", "/v1/logs"}:
            return self._export(url.path, headers, body)
        if method == "POST" and url.path == "/api/refuse":
            self._intake.refuse(float(parse_qs(url.query).get("seconds", ["0"])[0]))
            return "200 OK", "text/plain", b""
        if method == "GET" and url.path == "/metrics":
            return "200 OK", "text/plain; version=0.0.4", self._intake.page().encode()
        if method == "GET" and url.path == "/api/traces":
            return _json("200 OK", self._newest(parse_qs(url.query)))
        if method == "GET" and url.path.startswith("/api/traces/"):
            trace = self._store.get(url.path.removeprefix("/api/traces/"))
            return _json("200 OK", trace.as_json()) if trace else _json("404 Not Found", {"error": "no such trace"})
        return _json("404 Not Found", {"error": "try GET /api/traces"})

    def _export(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if "json" in headers.get("content-type", ""):
            return _json("415 Unsupported Media Type", {"error": "send OTLP as protobuf"})
        try:
            content = _unzipped(body) if headers.get("content-encoding") == "gzip" else body
            if path == "/v1/traces":
                self._intake.take(traces.ExportTraceServiceRequest.FromString(content))
        except Full:
            return _json("503 Service Unavailable", {"error": "spans are refused for a while"})
        except (DecodeError, zlib.error, ValueError) as error:
            return _json("400 Bad Request", {"error": f"not OTLP over protobuf: {error}"})
        return "200 OK", "application/x-protobuf", b""

    def _newest(self, query: dict[str, list[str]]) -> dict[str, Any]:
        limit = query.get("limit", [str(_SHOWN)])[0]
        count = min(int(limit), _SHOWN_AT_MOST) if limit.isdigit() else _SHOWN
        found = self._store.newest(count, service=query.get("service", [""])[0], name=query.get("name", [""])[0])
        return {"traces": [trace.as_json() for trace in found]}


def _unzipped(body: bytes) -> bytes:
    """Return the content of a gzip body; raise ValueError when it is too large, before it fills the memory."""
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    content = unzip.decompress(body, _MAX_BODY)
    if not unzip.eof:
        raise ValueError(f"it is cut off, or larger than {_MAX_BODY} bytes")
    return content


def _json(status: str, content: object) -> Answer:
    return status, "application/json", json.dumps(content, ensure_ascii=False).encode()


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    status, content_type, content = answer
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    await writer.drain()


async def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = StackSettings.read()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(TraceStore(), settings.otlp_grpc_port, settings.otlp_http_port):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
