"""Surround every RPC with limits, deadline, caller, validation and error answers.

One interceptor does all of it, inside the telemetry's interceptor, so that telemetry measures every refusal.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_status import rpc_status
from ticketcap_observability import collect_synthetic_schools, get_logger, sentry, synthetic_metadata

from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import InternalError, InvalidInput, ServiceError
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_chassis.rpc.authentication import authorization
from ticketcap_chassis.rpc.call_limits import Callers, CallLimits, Gate
from ticketcap_chassis.rpc.handlers import Admit, Context, Handler, wrap
from ticketcap_chassis.rpc.status import to_status
from ticketcap_chassis.rpc.validation import validate

_TICKETCAP: Final = "/ticketcap."
_log = get_logger(__name__)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wrap every TicketCap handler; of health and reflection, only the decoding of their requests.

    Without a verifier no caller counts as a service.
    """

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
        """Return the wrapped handler of a method; wrap each method once."""
        method = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        # Unknown methods are not stored: a caller could invent them without end.
        if handler is None:
            return None
        if method.startswith(_TICKETCAP):
            self._wrapped[method] = self._wrap(handler)
        else:
            foreign = wrap(handler, admit=_admit_all, check=_accept, refuse=_refuse_undecodable)
            # A handler that blocks a thread stays as it is.
            self._wrapped[method] = foreign or handler
        return self._wrapped[method]

    def _wrap(self, handler: Handler) -> Handler:
        admit = self._admit(self._streams if handler.response_streaming else self._unary)
        wrapped = None if handler.request_streaming else wrap(handler, admit=admit, check=validate, refuse=_refuse)
        if wrapped is None:
            raise TypeError(f"{handler!r}: a handler must be a coroutine or async generator with one request")
        return wrapped

    def _admit(self, gate: Gate) -> Admit:
        @contextmanager
        def serve(slot: AbstractContextManager[None], context: Context) -> Iterator[None]:
            # The server runs each call in a context of its own: nothing has to be reset.
            metadata = dict(context.invocation_metadata() or ())
            authorization.set(str(metadata.get("authorization", "")))
            collect_synthetic_schools()
            with slot, deadlines.within(context.time_remaining()):
                yield
            if schools := synthetic_metadata():
                context.set_trailing_metadata(schools)

        async def admit(context: Context) -> AbstractContextManager[None]:
            return serve(gate.enter(await self._callers.of(context)), context)

        return admit


async def _admit_all(_context: Context) -> AbstractContextManager[None]:
    return nullcontext()


def _accept(_message: Message) -> None:
    """Accept every message: health and reflection have no rules in their protos."""


async def _refuse(context: Context, error: Exception) -> None:
    """Answer with the status of ``error``; a foreign exception's text never leaves, because it may quote a person."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, ServiceError):
        _log.error("rpc.unexpected_error", exc_info=error)
        sentry.report(error)
        error = InternalError("an unexpected error; search the log for this trace id")
    status = rpc_status.to_status(to_status(error))
    await context.abort(status.code, status.details, (*status.trailing_metadata, *synthetic_metadata()))


async def _refuse_undecodable(context: Context, error: Exception) -> None:
    if not isinstance(error, InvalidInput):
        raise error
    await _refuse(context, error)
