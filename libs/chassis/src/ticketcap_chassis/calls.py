"""What surrounds every RPC that a service serves: limit, deadline, caller, validation, error answers.

One interceptor does all of it, inside the telemetry's, so that every refusal is
measured like any other answer.
"""

import contextvars
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from grpc_status import rpc_status
from ticketcap_observability import get_logger, sentry

from ticketcap_chassis import deadlines
from ticketcap_chassis.callers import Callers, Gate
from ticketcap_chassis.decoding import Parse, decoding, parsing
from ticketcap_chassis.errors import InternalError, ServiceError, Unauthenticated
from ticketcap_chassis.identity import Principal, TokenVerifier, bearer_token
from ticketcap_chassis.status import to_status
from ticketcap_chassis.validation import validate

Context = grpc.aio.ServicerContext[Any, Any]
# A string: grpc's class takes type arguments only in its type stubs.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
UnaryHandler = Callable[[Any, Context], Awaitable[Any]]
StreamHandler = Callable[[Any, Context], AsyncIterator[Any]]

_OURS: Final = "/ticketcap."
_log = get_logger(__name__)
_authorization: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("authorization", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """How many calls of a kind are served at once; more get RESOURCE_EXHAUSTED with RetryInfo.

    Each caller has a share of them: see callers.Gate.
    """

    unary: int = 2048
    streams: int = 1024


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every TicketCap handler; of health and reflection only the decoding of their requests."""

    def __init__(self, limits: CallLimits, verifier: TokenVerifier | None = None) -> None:
        self._callers = Callers(verifier)
        self._unary = Gate(limits.unary, "calls")
        self._streams = Gate(limits.streams, "streams")
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the wrapped handler of a method; made once per method."""
        method = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        # Unknown methods are not kept: a caller could name ever new ones.
        if handler is None:
            return None
        self._wrapped[method] = self._wrap(handler) if method.startswith(_OURS) else decoding(handler, _refuse)
        return self._wrapped[method]

    def _wrap(self, handler: Handler) -> Handler:
        if handler.unary_unary and inspect.iscoroutinefunction(handler.unary_unary):
            return grpc.unary_unary_rpc_method_handler(
                _serve_unary(handler.unary_unary, self._callers, self._unary, parsing(handler)),  # type: ignore[arg-type]  # aio handlers are coroutines
                None,
                handler.response_serializer,
            )
        if handler.unary_stream and inspect.isasyncgenfunction(handler.unary_stream):
            return grpc.unary_stream_rpc_method_handler(
                _serve_stream(handler.unary_stream, self._callers, self._streams, parsing(handler)),  # type: ignore[arg-type]  # aio handlers are generators
                None,
                handler.response_serializer,
            )
        raise TypeError(f"{handler!r}: handlers are coroutines or async generators with one request")


def _serve_unary(behaviour: UnaryHandler, callers: Callers, gate: Gate, parse: Parse) -> UnaryHandler:
    async def serve(data: bytes, context: Context) -> Any:
        try:
            with gate.enter(await callers.of(context)), _call(context):
                request = parse(data)
                validate(request)
                return await behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - every failure becomes a status
            return await _refuse(context, error)

    return serve


def _serve_stream(behaviour: StreamHandler, callers: Callers, gate: Gate, parse: Parse) -> StreamHandler:
    async def serve(data: bytes, context: Context) -> AsyncGenerator[Any, None]:
        try:
            with gate.enter(await callers.of(context)), _call(context):
                request = parse(data)
                validate(request)
                responses = behaviour(request, context)
                assert isinstance(responses, AsyncGenerator)  # noqa: S101 - checked when it was wrapped
                async with aclosing(responses):
                    async for response in responses:
                        yield response
        except Exception as error:  # noqa: BLE001 - every failure becomes a status
            await _refuse(context, error)

    return serve


@contextmanager
def _call(context: Context) -> Iterator[None]:
    """Keep the caller's deadline and token for the code inside; the server runs each call in a context of its own."""
    metadata = dict(context.invocation_metadata() or ())
    _authorization.set(str(metadata.get("authorization", "")))
    with deadlines.within(context.time_remaining()):
        yield


async def _refuse(context: Context, error: Exception) -> None:
    """Answer with the status that ``error`` stands for; never with a text that we did not write."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, ServiceError):
        _log.error("rpc.unexpected_error", exc_info=error)
        sentry.report(error)
        error = InternalError("an unexpected error; the log has it under this trace id")
    await context.abort_with_status(rpc_status.to_status(to_status(error)))


async def caller(verifier: TokenVerifier) -> Principal:
    """Return who makes the current call, or raise Unauthenticated."""
    token = bearer_token(_authorization.get())
    if not token:
        raise Unauthenticated("this call takes a token: send 'authorization: Bearer <token>'")
    principal = await verifier.verify(token)
    sentry.set_user(principal.subject, principal.role)
    return principal


async def caller_or_none(verifier: TokenVerifier) -> Principal | None:
    """Return who makes the current call, or None when it carries no token."""
    return await caller(verifier) if bearer_token(_authorization.get()) else None
