"""Receive OTLP, store the newest traces and serve them as JSON.

The sink accepts metrics and logs and drops them. Prometheus can scrape it as it scrapes a collector.
"""

import asyncio
import signal
import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import grpc.aio
import uvicorn
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ticketcap_local.intake import Intake, SpansRefused
from ticketcap_local.settings import HOST, StackSettings
from ticketcap_local.trace_store import TraceStore

_MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes of one export, before and after decompression."""
_DEFAULT_LIMIT: Final = 20
_MAX_LIMIT: Final = 1000


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
    http = _http_server(intake, store)
    serve = asyncio.create_task(http.serve([socket.create_server((HOST, http_port))]))
    try:
        yield
    finally:
        http.should_exit = True
        await serve
        await server.stop(0.2)


class _Traces(traces_grpc.TraceServiceServicer):
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def Export(self, request: traces.ExportTraceServiceRequest, context: Any) -> Any:  # noqa: N802
        try:
            self._intake.add(request)
        except SpansRefused as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return traces.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return metrics.ExportMetricsServiceResponse()


class _Logs(logs_grpc.LogsServiceServicer):
    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return logs.ExportLogsServiceResponse()


class _HttpServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to ``main``, which stops both servers."""
        yield


def _http_server(intake: Intake, store: TraceStore) -> uvicorn.Server:
    sink = _HttpSink(intake, store)
    app = Starlette(
        routes=[
            Route("/v1/traces", sink.export_traces, methods=["POST"]),
            Route("/v1/{signal:str}", sink.drop, methods=["POST"]),
            Route("/api/refuse", sink.refuse, methods=["POST"]),
            Route("/api/traces", sink.newest),
            Route("/api/traces/{trace_id}", sink.trace),
            Route("/metrics", sink.metrics),
        ],
        exception_handlers={HTTPException: _problem},
    )
    return _HttpServer(
        uvicorn.Config(
            app, lifespan="off", access_log=False, log_level="error", timeout_keep_alive=75, timeout_graceful_shutdown=1
        )
    )


class _HttpSink:
    """OTLP over HTTP, the traces as JSON, and a page for Prometheus."""

    def __init__(self, intake: Intake, store: TraceStore) -> None:
        self._intake = intake
        self._store = store

    async def export_traces(self, request: Request) -> Response:
        if "json" in request.headers.get("content-type", ""):
            raise HTTPException(415, "JSON is not supported: send OTLP as protobuf")
        content = await _content(request)
        try:
            self._intake.add(traces.ExportTraceServiceRequest.FromString(content))
        except SpansRefused as error:
            raise HTTPException(503, str(error)) from error
        except DecodeError as error:
            raise HTTPException(400, f"the body is not OTLP over protobuf: {error}") from error
        return Response(media_type="application/x-protobuf")

    async def drop(self, request: Request) -> Response:
        if request.path_params["signal"] not in {"metrics", "logs"}:
            raise HTTPException(404, "unknown signal: send traces, metrics or logs")
        await _content(request)
        return Response(media_type="application/x-protobuf")

    async def refuse(self, request: Request) -> Response:
        try:
            self._intake.refuse(float(request.query_params.get("seconds", "0")))
        except ValueError as error:
            raise HTTPException(400, "seconds: must be a number") from error
        return Response()

    async def newest(self, request: Request) -> Response:
        query = request.query_params
        limit = query.get("limit", "")
        count = min(int(limit), _MAX_LIMIT) if limit.isdecimal() else _DEFAULT_LIMIT
        found = self._store.newest(count, service=query.get("service", ""), name=query.get("name", ""))
        return JSONResponse({"traces": [trace.as_json() for trace in found]})

    async def trace(self, request: Request) -> Response:
        trace = self._store.get(request.path_params["trace_id"])
        if trace is None:
            raise HTTPException(404, "no such trace")
        return JSONResponse(trace.as_json())

    async def metrics(self, _request: Request) -> Response:
        return PlainTextResponse(self._intake.metrics_page(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for no other exception
    return JSONResponse({"error": error.detail}, error.status_code)


async def _content(request: Request) -> bytes:
    """Return the body, decompressed; raise HTTPException 413 or 400 before it fills the memory."""
    too_large = HTTPException(413, f"the body is larger than {_MAX_BODY} bytes")
    if int(request.headers.get("content-length", "0")) > _MAX_BODY:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise too_large
    if request.headers.get("content-encoding") != "gzip":
        return bytes(body)
    try:
        unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        content = unzip.decompress(body, _MAX_BODY)
    except zlib.error as error:
        raise HTTPException(400, f"the body is not gzip: {error}") from error
    if not unzip.eof:
        raise HTTPException(400, f"the gzip body is cut off, or larger than {_MAX_BODY} bytes")
    return content


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
