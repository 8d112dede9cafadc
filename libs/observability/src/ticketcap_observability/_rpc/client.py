"""Trace and measure an RPC on the client; never delay its cancellation."""

import asyncio
import re
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, Final

import grpc
import grpc.aio
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import SpanKind, Tracer

from ticketcap_observability._propagation import Propagator
from ticketcap_observability._rpc.calls import METHOD, SYSTEM, Call, as_status_code, is_quiet

Details = grpc.aio.ClientCallDetails
Continuation = Callable[[Details, Any], Any]
Requests = AsyncIterable[Any] | Iterable[Any]

_SCHEME: Final = re.compile(r"^(?:dns|ipv4|ipv6):(?://[^/]*/)?")

# Strong references: the loop keeps only weak ones to its tasks.
_ending: Final[set[asyncio.Task[None]]] = set()


class _ClientTelemetry:
    """The base of the four kinds of calls."""

    def __init__(
        self, tracer: Tracer, duration: Histogram, propagator: Propagator, server: Mapping[str, str | int]
    ) -> None:
        self._tracer = tracer
        self._propagator = propagator
        self._duration = duration
        self._server = server

    def _begin(self, details: Details) -> tuple[Call, Details]:
        method = _text(details.method)
        name = method.removeprefix("/")
        span: trace.Span = trace.INVALID_SPAN
        if not is_quiet(method):
            span = self._tracer.start_span(
                name,
                kind=SpanKind.CLIENT,
                attributes={**SYSTEM, METHOD: name, **self._server},
            )
        return Call(span, name, SpanKind.CLIENT, self._duration, self._server), self._with_trace(details, span)

    def _with_trace(self, details: Details, span: trace.Span) -> Details:
        current = otel_context.get_current()
        if span.get_span_context().is_valid:
            current = trace.set_span_in_context(span, current)
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        for key, value in self._propagator.inject(current).items():
            metadata[key] = value
        return Details(
            method=details.method,
            timeout=details.timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )

    async def _unary(self, continuation: Continuation, details: Details, request: Any) -> Any:
        """Wait for the end of a call with one answer."""
        call, details = self._begin(details)
        try:
            rpc = await continuation(details, request)
            try:
                code = await rpc.code()
            except asyncio.CancelledError:
                # grpc does not cancel the call of an interceptor that is cancelled.
                rpc.cancel()
                raise
        except asyncio.CancelledError:
            call.end(grpc.StatusCode.CANCELLED)
            raise
        except BaseException as error:
            call.end(grpc.StatusCode.UNKNOWN, error)
            raise
        call.end(as_status_code(code))
        return rpc

    async def _stream(self, continuation: Continuation, details: Details, request: Any) -> Any:
        """Start a stream, and record its end in a callback. Awaiting the end here would block ``write``."""
        call, details = self._begin(details)
        try:
            rpc = await continuation(details, request)
        except asyncio.CancelledError:
            call.end(grpc.StatusCode.CANCELLED)
            raise
        except BaseException as error:
            call.end(grpc.StatusCode.UNKNOWN, error)
            raise
        rpc.add_done_callback(lambda _: _end_later(call, rpc))
        return rpc


class UnaryUnary(_ClientTelemetry, grpc.aio.UnaryUnaryClientInterceptor):
    """One request, one answer."""

    async def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: Details, request: Any
    ) -> Any:
        """Make the call under a span."""
        return await self._unary(continuation, client_call_details, request)


class UnaryStream(_ClientTelemetry, grpc.aio.UnaryStreamClientInterceptor):
    """One request, many answers."""

    async def intercept_unary_stream(
        self, continuation: Continuation, client_call_details: Details, request: Any
    ) -> Any:
        """Make the call under a span."""
        return await self._stream(continuation, client_call_details, request)


class StreamUnary(_ClientTelemetry, grpc.aio.StreamUnaryClientInterceptor):
    """Many requests, one answer."""

    async def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: Details, request_iterator: Requests
    ) -> Any:
        """Make the call under a span."""
        return await self._stream(continuation, client_call_details, request_iterator)


class StreamStream(_ClientTelemetry, grpc.aio.StreamStreamClientInterceptor):
    """Many requests, many answers."""

    async def intercept_stream_stream(
        self, continuation: Continuation, client_call_details: Details, request_iterator: Requests
    ) -> Any:
        """Make the call under a span."""
        return await self._stream(continuation, client_call_details, request_iterator)


def client_interceptors(
    tracer: Tracer, duration: Histogram, propagator: Propagator, target: str | None = None
) -> list[grpc.aio.ClientInterceptor]:
    """Return the interceptors of a channel to ``target``, one per kind of call."""
    server = server_of(target) if target else {}
    return [kind(tracer, duration, propagator, server) for kind in (UnaryUnary, UnaryStream, StreamUnary, StreamStream)]


def server_of(target: str) -> dict[str, str | int]:
    """Return the server's address, and its port if it has one, as a channel's target names it.

    https://github.com/grpc/grpc/blob/master/doc/naming.md
    """
    if target.startswith("unix:"):
        return {"server.address": target.removeprefix("unix:")}
    name = _SCHEME.sub("", target)
    host, _, port = name.rpartition(":")
    if host and port.isdecimal() and (host.endswith("]") or ":" not in host):
        return {"server.address": host.strip("[]"), "server.port": int(port)}
    return {"server.address": name.strip("[]")}


def _text(method: Any) -> str:
    """Return a method's name. grpc passes bytes although its types say str."""
    return method.decode() if isinstance(method, bytes) else str(method)


def _end_later(call: Call, rpc: Any) -> None:
    task = asyncio.ensure_future(_end(call, rpc))
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def _end(call: Call, rpc: Any) -> None:
    try:
        call.end(as_status_code(await rpc.code()))
    except asyncio.CancelledError:
        call.end(grpc.StatusCode.CANCELLED)
        raise
