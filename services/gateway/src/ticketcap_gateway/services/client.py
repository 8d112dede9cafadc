"""What the clients of both services share: ServiceErrors instead of statuses, health, an organiser's token."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, ClassVar, Final, TypeVar

import grpc.aio
from grpc_health.v1 import health_pb2
from ticketcap_chassis.errors import DeadlineExceeded, InternalError, ServiceError, Unavailable
from ticketcap_chassis.rpc.status import from_rpc_error

_STATUS_DETAILS: Final = "grpc-status-details-bin"
_Answer = TypeVar("_Answer")
_Portion = TypeVar("_Portion")


class ServiceClient:
    """The calls of one service. Each raises the ServiceError that the status stands for."""

    spoken_of: ClassVar[str]
    """What a caller is told that the service is."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._check_health: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def is_serving(self, service: str, *, within: float) -> bool:
        """Say whether ``service`` ("" is the whole process) does its work, in less than ``within`` seconds."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await self._answer(self._check_health(request, timeout=within))
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    async def _answer(self, call: Awaitable[_Answer]) -> _Answer:
        try:
            return await call
        except grpc.aio.AioRpcError as failure:
            raise self._error(failure) from None

    async def _portions(
        self, begin: Callable[[], "grpc.aio.UnaryStreamCall[Any, _Portion]"]
    ) -> AsyncGenerator[_Portion, None]:
        """Yield what a stream brings. It begins with the first portion asked for, and ends with the listener."""
        call = begin()
        try:
            async for portion in call:
                yield portion
        except grpc.aio.AioRpcError as failure:
            raise self._error(failure) from None
        finally:
            call.cancel()

    def _error(self, failure: grpc.aio.AioRpcError) -> ServiceError:
        """Return the error that a failed call stands for.

        A status without details was not written by a service of ours: its text,
        which may name addresses, is replaced.
        """
        error = from_rpc_error(failure)
        if any(key == _STATUS_DETAILS for key, _ in failure.trailing_metadata() or ()):
            return error
        if isinstance(error, Unavailable):
            return Unavailable(f"{self.spoken_of} can't be reached; try again")
        if isinstance(error, DeadlineExceeded):
            return DeadlineExceeded(f"{self.spoken_of} did not answer in time")
        if isinstance(error, InternalError):
            return InternalError(f"{self.spoken_of} failed; the log has it under this trace id")
        return type(error)(f"{self.spoken_of} refused the call", retry_after=error.retry_after)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata that passes an organiser's token on; nothing for ""."""
    return (("authorization", f"Bearer {token}"),) if token else ()
