"""Trace and measure an RPC on the server, however it ends."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import SpanKind, Tracer

from ticketcap_observability import sentry
from ticketcap_observability._propagation import Propagator
from ticketcap_observability._rpc.calls import METHOD, OTHER, SYSTEM, Call, as_status_code, is_quiet

# A string: grpc's class takes type arguments only in its type stubs.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]
Coroutine = Callable[[Any, Context], Awaitable[Any]]
Generator = Callable[[Any, Context], AsyncIterator[Any]]

_LAST_MOMENTS_SECONDS: Final = 0.05
"""A caller that cancels so shortly before its deadline ran out of time: its clock is ahead."""
_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class ServerTelemetry(grpc.aio.ServerInterceptor):
    """The first interceptor of a server, so that it sees the calls that others refuse."""

    def __init__(self, tracer: Tracer, duration: Histogram, propagator: Propagator) -> None:
        self._tracer = tracer
        self._propagator = propagator
        self._duration = duration
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}
        self._unknown = self._wrap(grpc.stream_stream_rpc_method_handler(_unimplemented), OTHER)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the method's handler with telemetry around it; wrapped once per method."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None:
            return self._unknown
        pair = self._wrapped.get(method)
        if pair is None or pair[0] is not handler:
            pair = self._wrapped[method] = (handler, self._wrap(handler, method))
        return pair[1]

    def _wrap(self, handler: Handler, method: str) -> Handler:
        kind = next(kind for kind in _KINDS if getattr(handler, kind))
        behaviour = getattr(handler, kind)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        wrapped = self._around(behaviour, method)
        if wrapped is None:
            return handler
        return make(wrapped, handler.request_deserializer, handler.response_serializer)  # type: ignore[no-any-return]

    def _around(self, behaviour: Any, method: str) -> Coroutine | None:
        if inspect.iscoroutinefunction(behaviour):
            return self._around_coroutine(behaviour, method)
        if inspect.isasyncgenfunction(behaviour):
            return self._around_coroutine(_writing(behaviour), method)
        # A handler that blocks a thread: grpc tells it apart by its type, so it stays as it is.
        return None

    def _around_coroutine(self, behaviour: Coroutine, method: str) -> Coroutine:
        name = method.removeprefix("/")

        async def serve(request: Any, context: Context) -> Any:
            call, token = self._begin(method, context)
            try:
                with sentry.scope(name):
                    response = await behaviour(request, context)
            except grpc.aio.AbortError:
                call.end(as_status_code(context.code()))
                raise
            except (asyncio.CancelledError, GeneratorExit, grpc.aio.InternalError):
                # InternalError: the caller left while a message was being written to it.
                call.end(why_cancelled(context))
                raise
            except BaseException as error:
                call.end(_code_after_exception(context), error)
                raise
            else:
                call.end(as_status_code(context.code()))
                return response
            finally:
                otel_context.detach(token)

        return serve

    def _begin(self, method: str, context: Context) -> tuple[Call, Any]:
        parent = self._propagator.extract(context.invocation_metadata() or ())
        name = method.removeprefix("/")
        span: trace.Span = trace.INVALID_SPAN
        if not is_quiet(method):
            span = self._tracer.start_span(name, parent, kind=SpanKind.SERVER, attributes={**SYSTEM, METHOD: name})
        token = otel_context.attach(trace.set_span_in_context(span, parent))
        return Call(span, name, SpanKind.SERVER, self._duration), token


def _writing(behaviour: Generator) -> Coroutine:
    """Turn a generator handler into one that writes, so that its clean-up runs in the RPC's own task."""

    async def serve(request: Any, context: Context) -> None:
        responses = behaviour(request, context)
        assert isinstance(responses, AsyncGenerator)  # noqa: S101 - checked when it was wrapped
        async with aclosing(responses):
            async for response in responses:
                await context.write(response)

    return serve


async def _unimplemented(request: Any, context: Context) -> None:  # noqa: ARG001 - grpc's shape
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


def why_cancelled(context: Context) -> grpc.StatusCode:
    """Return DEADLINE_EXCEEDED for a call that ran out of time, CANCELLED when its caller left."""
    left: float | None = context.time_remaining()
    out_of_time = left is not None and left <= _LAST_MOMENTS_SECONDS
    return grpc.StatusCode.DEADLINE_EXCEEDED if out_of_time else grpc.StatusCode.CANCELLED


def _code_after_exception(context: Context) -> grpc.StatusCode:
    """Return the caller's code: one set before the exception, else UNKNOWN."""
    code = as_status_code(context.code())
    return grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code
