"""Call a service: ServiceErrors instead of statuses, health, an organiser's token."""

from collections.abc import AsyncGenerator
from typing import Any, ClassVar, Final, TypeVar

import grpc.aio
from grpc_health.v1 import health_pb2
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import DeadlineExceeded, InternalError, ServiceError, Unavailable
from ticketcap_chassis.rpc.channel import DEFAULT_TIMEOUT_SECONDS
from ticketcap_chassis.rpc.status import from_rpc_error

from ticketcap_gateway import telemetry

_STATUS_DETAILS: Final = "grpc-status-details-bin"
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Metadata = tuple[tuple[str, str], ...]


class ServiceClient:
    """Makes the calls of one service. Each raises the ServiceError that its status stands for.

    ``token`` is the organiser's JSON Web Token, passed on unchanged; "" sends none.
    """

    noun: ClassVar[str]
    """The service's name in error messages."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._check_health: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def is_serving(self, service: str, *, within: float) -> bool:
        """Say whether ``service`` ("" is the whole process) is healthy; it has ``within`` seconds to answer."""
        request = health_pb2.HealthCheckRequest(service=service)
        response = await self.call(self._check_health, request, timeout=within)
        return response.status == health_pb2.HealthCheckResponse.SERVING

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[_Request, _Response]",
        request: _Request,
        token: str = "",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - it travels to the service
        metadata: _Metadata = (),
    ) -> _Response:
        """Call ``method`` with the channel's default deadline, or ``timeout`` seconds."""
        call = method(request, metadata=metadata or _bearer(token), timeout=timeout)
        try:
            response = await call
        except grpc.aio.AioRpcError as failure:
            telemetry.read_synthetic(failure.trailing_metadata() or ())
            raise self._error(failure) from None
        telemetry.read_synthetic(await call.trailing_metadata())
        return response

    async def call_patiently(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[_Request, _Response]", request: _Request, token: str = ""
    ) -> _Response:
        """Call ``method`` with all the time that is left of the caller's: the service may have to wait for YaadPay."""
        left = deadlines.remaining()
        timeout = DEFAULT_TIMEOUT_SECONDS if left is None else max(0.0, left)
        return await self.call(method, request, token, timeout=timeout)

    async def stream(
        self, method: "grpc.aio.UnaryStreamMultiCallable[_Request, _Response]", request: _Request, token: str = ""
    ) -> AsyncGenerator[_Response, None]:
        """Yield the responses of a stream. The call starts with the first iteration, and ends with the generator."""
        call: grpc.aio.UnaryStreamCall[Any, _Response] = method(request, metadata=_bearer(token))
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as failure:
            raise self._error(failure) from None
        finally:
            # A reader that stops early, or is cancelled, must not leave the service sending.
            call.cancel()

    def _error(self, failure: grpc.aio.AioRpcError) -> ServiceError:
        """Return the error that a failed call stands for.

        A status without details was not written by a TicketCap service: its
        text, which may name addresses, is replaced.
        """
        error = from_rpc_error(failure)
        if any(key == _STATUS_DETAILS for key, _ in failure.trailing_metadata() or ()):
            return error
        if isinstance(error, Unavailable):
            return Unavailable(f"{self.noun} can't be reached; try again")
        if isinstance(error, DeadlineExceeded):
            return DeadlineExceeded(f"{self.noun} did not answer in time")
        if isinstance(error, InternalError):
            return InternalError(f"{self.noun} failed; the log has it under this trace id")
        return type(error)(f"{self.noun} refused the call", retry_after=error.retry_after)


def _bearer(token: str) -> _Metadata:
    return (("authorization", f"Bearer {token}"),) if token else ()
